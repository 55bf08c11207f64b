"""Late history is told from skew: the same text, on the lake as it was when the answer was given."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mlplatform.home import Home
from mlplatform.lake.feature_query import FeatureQuery
from mlplatform.lake.lake import Lake
from mlplatform.lake.served_skew import served_skew
from mlplatform.lake.skew_causes import LATE, NOT_LOOKED_AT, OTHER_DEFINITION, OTHER_EVENT, SKEW, with_causes
from mlplatform.lake.tables import replace_table
from mlplatform.resources.dbt import compile_features
from mlplatform.spec import UseCase, load_declaration
from mlplatform_tests.lake.feature_history import transactions

HISTORY = "fraud.stg_transactions"


@pytest.fixture(scope="session")
def query(tmp_path_factory: pytest.TempPathFactory) -> FeatureQuery:
    return compile_features(Home(tmp_path_factory.mktemp("compiled")), "fraud")


@pytest.fixture(scope="module")
def spec() -> UseCase:
    return load_declaration("fraud").spec


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def build(lake: Lake, query: FeatureQuery, table: pa.Table) -> dict[int, dict[str, Any]]:
    """History, spine and features of these transactions, as dbt would leave them."""
    features = query.run(table, {HISTORY: table})
    for name, rows in ((HISTORY, table), (query.spine, table), (query.table, features)):
        lake.commit(lambda con, name=name, rows=rows: replace_table(con, name, rows), name)
    return {row["transaction_id"]: row for row in features.to_pylist()}


def answer(lake: Lake, spec: UseCase, served: dict[int, dict[str, Any]], at: datetime) -> None:
    """These features in the journal, as answers given at `at`."""
    rows = pa.table(
        {
            "prediction_id": [f"p{key}" for key in served],
            "transaction_id": [str(key) for key in served],
            "predicted_at": pa.array([at] * len(served), pa.timestamp("us")),
            "event_time": pa.array([row["event_time"] for row in served.values()], pa.timestamp("us")),
            "model_version": [1] * len(served),
            "role": ["champion"] * len(served),
            "features": [json.dumps({n: row[n] for n in spec.training.features}) for row in served.values()],
        }
    )
    lake.commit(lambda con: replace_table(con, "fraud.prediction_log", rows), "served")


def causes(lake: Lake, spec: UseCase, query: FeatureQuery, *other: int) -> dict[tuple[str, str], str]:
    _, differences = served_skew(lake, spec, now() - timedelta(days=7), key=query.key)
    found = with_causes(lake, query, differences, other)
    assert not {"example", "known_from"} & set(found.column_names), "keys may be hashed in the journal"
    return {(row["prediction_id"], row["column"]): row["cause"] for row in found.to_pylist()}


KEYS = (700, 1500, 2200, 2999)


def test_an_honest_service_differs_nowhere(lake: Lake, spec: UseCase, query: FeatureQuery) -> None:
    features = build(lake, query, transactions())
    answer(lake, spec, {key: features[key] for key in KEYS}, now())
    assert causes(lake, spec, query) == {}


def test_a_feature_that_is_computed_otherwise_is_skew(lake: Lake, spec: UseCase, query: FeatureQuery) -> None:
    features = build(lake, query, transactions())
    skewed = {key: features[key] | {"customer_mean_amount_30d": 1000.0} for key in KEYS}
    answer(lake, spec, skewed, now())
    assert causes(lake, spec, query) == {(f"p{key}", "customer_mean_amount_30d"): SKEW for key in KEYS}


def test_a_past_that_came_after_the_answer_is_late_and_skew_beside_it_is_skew(
    lake: Lake, spec: UseCase, query: FeatureQuery
) -> None:
    table = transactions()
    late_row = table.slice(2100, 1)
    customer, moment = late_row["customer_id"][0].as_py(), late_row["event_time"][0].as_py()
    then = build(lake, query, pa.concat_tables([table.slice(0, 2100), table.slice(2101)]))
    answered = now()
    time.sleep(0.01)
    after = build(lake, query, table)
    week = pc.and_(
        pc.and_(pc.greater(table["event_time"], moment), pc.less(table["event_time"], moment + timedelta(days=2))),
        pc.equal(table["customer_id"], customer),
    )
    touched = table.filter(week)["transaction_id"].to_pylist()
    assert any(then[key] != after[key] for key in touched)
    served = {key: then[key] | {"amount": then[key]["amount"] + 1} for key in touched}
    answer(lake, spec, served, answered)
    found = causes(lake, spec, query)

    assert {cause for (_, column), cause in found.items() if column == "amount"} == {SKEW}
    others = {cause for (_, column), cause in found.items() if column != "amount"}
    assert others == {LATE}
    assert len(found) > len(touched)


def test_a_service_that_had_not_read_the_newest_commit_yet_is_late(
    lake: Lake, spec: UseCase, query: FeatureQuery
) -> None:
    table = transactions()
    then = build(lake, query, pa.concat_tables([table.slice(0, 2100), table.slice(2101)]))
    first = now()
    time.sleep(0.01)
    after = build(lake, query, table)
    differing = {key: then[key] for key in after if key in then and then[key] != after[key]}
    # Less than a minute behind the commit: the lake of a minute before is that of `first`.
    answer(lake, spec, differing, first + timedelta(seconds=60, milliseconds=1))
    assert set(causes(lake, spec, query).values()) == {LATE}


def test_a_key_that_was_used_for_another_event_is_no_skew(lake: Lake, spec: UseCase, query: FeatureQuery) -> None:
    features = build(lake, query, transactions())
    hour = timedelta(hours=1)
    others = {key: features[key] | {"amount": 1.0, "event_time": features[key]["event_time"] + hour} for key in KEYS}
    answer(lake, spec, others, now())
    assert set(causes(lake, spec, query).values()) == {OTHER_EVENT}


def test_another_text_and_a_lake_that_is_gone_are_said_and_are_no_skew(
    lake: Lake, spec: UseCase, query: FeatureQuery
) -> None:
    features = build(lake, query, transactions())
    skewed = {key: features[key] | {"amount": -1.0} for key in KEYS}
    answer(lake, spec, skewed, now())
    assert set(causes(lake, spec, query, 1).values()) == {OTHER_DEFINITION}
    answer(lake, spec, skewed, now() - timedelta(days=1))
    assert set(causes(lake, spec, query).values()) == {NOT_LOOKED_AT}
