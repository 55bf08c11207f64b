"""Somebody's own sales, two files of other names: only `sources:` is another, and everything up to an answer works."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from mlplatform.cli.demo import free_port
from mlplatform.cli.serve import ask, start_live
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.serving.launch import stop_service
from mlplatform.spec import Declaration, UseCase, load_declaration
from mlplatform_tests.e2e.edge import answers_of_both
from mlplatform_tests.small_fraud import Platform, dagster_home

pytestmark = pytest.mark.slow
DAYS = 200
LATE = 170
"""The first day of the item that starts late."""


def write_sales(folder: Path) -> list[dict[str, Any]]:
    """Four goods of a bakery, busier on Saturdays and shut on Sundays; what to declare as `sources:`."""
    random = np.random.default_rng(0)
    rows = [
        (day, good, int(random.poisson(level * (1.5 if day.dayofweek == 5 else 1.0))))
        for good, level, first in (("bread", 20, 0), ("rolls", 30, 0), ("cake", 5, 0), ("pie", 8, LATE))
        for day in pd.date_range("2023-03-01", periods=DAYS)[first:]
        if day.dayofweek != 6
    ]
    pd.DataFrame(rows, columns=["date", "good", "pieces"]).to_csv(folder / "sales.csv", index=False)
    days = pd.date_range("2023-03-01", periods=DAYS + 7)
    pd.DataFrame(
        {"day": days, "known_at": "2022-01-01", "holiday": None, "closed": (days.dayofweek == 6).astype(int)}
    ).to_csv(folder / "calendar.csv", index=False)
    return [
        {
            "name": "sales",
            "kind": "files",
            "path": str(folder / "sales.csv"),
            "columns": {"event_time": "date", "item_id": "good", "quantity": "pieces"},
            "key": ["event_time", "item_id"],
            "partition": "none",
        },
        {
            "name": "calendar",
            "kind": "files",
            "path": str(folder / "calendar.csv"),
            "key": ["day"],
            "time_column": None,
        },
    ]


def small_demand(sources: list[dict[str, Any]]) -> Declaration:
    """The demand use case on other sources, without a search and with gates that a toy world passes."""
    declared = load_declaration("demand")
    content = declared.spec.model_dump()
    content["sources"] = sources
    content["leakage"] |= {"rows": 6}
    training = content["training"]
    training["split"] |= {"train_days": 70, "tune_days": 21, "test_days": 21}
    for candidate in training["candidates"]:
        candidate["tuning"] |= {"trials": 0}
        if candidate["kind"] == "lightgbm":
            candidate |= {"rounds": 40}
    training["gates"] |= {"floor": 0.0, "slice_floor": 0.0, "margin": 0.5, "max_calibration_error": 0.5}
    return Declaration(UseCase.model_validate(content), declared.folder)


@pytest.fixture(scope="module")
def platform(module_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    sources = write_sales(tmp_path_factory.mktemp("files"))
    with dagster_home(module_home.dagster) as instance:
        yield Platform(small_demand(sources), instance)


@pytest.fixture(scope="module")
def run(platform: Platform) -> dg.ExecuteInProcessResult:
    return platform.run()


def test_one_run_takes_two_files_to_a_deployed_model_that_beats_the_naive_forecast(
    run: dg.ExecuteInProcessResult, platform: Platform
) -> None:
    assert run.success
    assert platform.metadata("deployment")["model_version"] == 1


def test_sundays_have_no_label_and_the_item_that_starts_late_is_there(
    run: dg.ExecuteInProcessResult, module_home: Home
) -> None:
    with Lake.at(module_home).read() as con:
        labelled = con.execute("SELECT count(label) FROM demand.spine WHERE isodow(target_time) = 7").fetchone()
        first = con.execute("SELECT min(event_time) FROM demand.spine WHERE item_id = 'pie'").fetchone()
    assert labelled == (0,)
    assert first is not None
    assert first[0] >= pd.Timestamp("2023-03-01") + pd.Timedelta(days=LATE + 1)


@pytest.fixture(scope="module")
def service(run: dg.ExecuteInProcessResult, module_home: Home) -> Iterator[str]:
    served = start_live("demand", free_port(), module_home)
    yield served.url
    stop_service(served.pid)


def answer(service: str, **request: Any) -> Any:
    return ask("demand", service, json.dumps(request))


@pytest.mark.parametrize("item", ["bread", "pie"])
def test_the_service_forecasts_an_item_of_many_days_and_one_of_few(service: str, item: str) -> None:
    found = answer(service, item_id=item, horizon=5)
    assert found.status == 200
    assert [f["quantiles"]["0.1"] <= f["forecast"] <= f["quantiles"]["0.9"] for f in found.body["forecasts"]] == [
        True
    ] * 5


def test_beyond_the_calendar_the_answer_says_so(service: str) -> None:
    told = [f["is_calendar_known"] for f in answer(service, item_id="bread", horizon=14).body["forecasts"]]
    assert told[0] == 1
    assert told[-1] == 0


def test_a_horizon_beyond_and_an_unknown_item_are_refused_with_what_there_is(service: str) -> None:
    far, unknown = answer(service, item_id="bread", horizon=15), answer(service, item_id="baguette")
    assert far.status == unknown.status == 422
    assert "14" in json.dumps(far.body)
    assert "item_id" in json.dumps(unknown.body)


def test_the_exported_model_answers_like_the_service_where_there_is_only_numpy_and_onnxruntime(
    run: dg.ExecuteInProcessResult, module_home: Home, tmp_path: Path
) -> None:
    device, service = answers_of_both(module_home, "demand", tmp_path)
    assert len(device) == len(service) >= 100
    for told, served in zip(device, service, strict=True):
        assert told == pytest.approx(served, rel=1e-9, abs=1e-9)
