"""What a bento computes of past events is what the lake holds of them; a feature that is skewed on purpose is found."""

from dataclasses import replace

import pyarrow as pa
import pytest

from mlplatform.errors import LakeError
from mlplatform.lake.feature_query import FeatureQuery
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import replace_table
from mlplatform.serving.raw.settings import RawSettings
from mlplatform.serving.raw.skew import check_skew
from mlplatform_tests.serving.raw.conftest import HISTORY, with_text


@pytest.fixture
def full(lake: Lake, compiled: FeatureQuery, past: pa.Table) -> Lake:
    """With spine and features, as dbt would have written them."""
    features = compiled.run(past, {HISTORY: past})
    lake.commit(lambda con: replace_table(con, "fraud.spine", past), "spine")
    lake.commit(lambda con: replace_table(con, "fraud.features", features), "features")
    return lake


def test_an_honest_bento_has_no_skew(settings: RawSettings, full: Lake) -> None:
    report = check_skew(settings, full, events=150)
    assert report.passed, report.differences[:3]
    assert report.events == report.rows == 150


@pytest.mark.parametrize(
    ("honest", "skewed", "column"),
    [
        ("s.mean_30d as customer_mean_amount_30d", "s.mean_7d as customer_mean_amount_30d", "customer_mean_amount_30d"),
        ("a.amount / nullif(s.mean_30d, 0)", "a.amount / nullif(s.mean_7d, 0)", "amount_over_mean_30d"),
        ("isodow(a.event_time) >= 6", "isodow(a.event_time) >= 5", "is_weekend"),
    ],
)
def test_a_feature_that_is_skewed_on_purpose_is_named(
    settings: RawSettings, full: Lake, honest: str, skewed: str, column: str
) -> None:
    assert honest in settings.query.sql
    report = check_skew(with_text(settings, settings.query.sql.replace(honest, skewed)), full, events=150)
    assert report.columns == (column,)
    assert not report.passed


def test_a_history_that_is_cut_too_short_is_skew(settings: RawSettings, full: Lake) -> None:
    short = replace(settings.query.history[0], lookback_days=10)
    report = check_skew(replace(settings, query=replace(settings.query, history=(short,))), full, events=60)
    assert "customer_count_30d" in report.columns


def test_an_event_that_the_contract_refuses_is_skew(settings: RawSettings, full: Lake) -> None:
    fields = tuple(
        rule.model_copy(update={"maximum": 1.0}) if rule.name == "amount" else rule for rule in settings.fields
    )
    report = check_skew(replace(settings, fields=fields), full, events=20)
    assert report.columns == ("amount",)
    assert "above the maximum" in report.differences[0].served


def test_a_row_that_the_service_would_not_give_is_skew(settings: RawSettings, full: Lake) -> None:
    report = check_skew(with_text(settings, f"FROM ({settings.query.sql}) WHERE terminal_count_7d % 2 = 0"), full, 60)
    assert {(d.offline, d.served) for d in report.differences} == {("a row", "no row")}


def test_without_rows_to_replay_it_says_what_to_do(settings: RawSettings, lake: Lake, past: pa.Table) -> None:
    lake.commit(lambda con: replace_table(con, "fraud.spine", past.slice(0, 0)), "spine")
    with pytest.raises(LakeError, match="no recent rows to replay"):
        check_skew(settings, lake, events=10)
