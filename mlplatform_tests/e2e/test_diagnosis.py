"""A cohort in three CSV files of other names: only `sources:` is another, and everything up to an answer works."""

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from mlplatform.cli.demo import free_port
from mlplatform.cli.requests import sample_requests
from mlplatform.cli.serve import ask, start_live
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.serving.launch import stop_service
from mlplatform_tests.cohort import cohort, small_diagnosis, write_cohort
from mlplatform_tests.e2e.edge import answers_of_both
from mlplatform_tests.small_fraud import Platform, dagster_home

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def platform(module_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    sources = write_cohort(tmp_path_factory.mktemp("files"), cohort())
    with dagster_home(module_home.dagster) as instance:
        yield Platform(small_diagnosis(sources), instance)


@pytest.fixture(scope="module")
def run(platform: Platform) -> dg.ExecuteInProcessResult:
    return platform.run()


def test_one_run_takes_three_files_to_a_deployed_model_and_a_decision(
    run: dg.ExecuteInProcessResult, platform: Platform
) -> None:
    assert run.success
    assert platform.metadata("deployment")["model_version"] == 1
    assert platform.metadata("drift_report")["drifted"]
    assert platform.metadata("retrain_decision")["verdict"] in {"wait", "retrain", "blocked"}


def test_no_person_lies_in_two_parts_and_those_without_a_label_are_counted(
    run: dg.ExecuteInProcessResult, platform: Platform, module_home: Home
) -> None:
    with Lake.at(module_home).read() as con:
        most = con.execute(
            "SELECT max(parts) FROM "
            "(SELECT count(DISTINCT part) AS parts FROM diagnosis.training_set GROUP BY person_id)"
        ).fetchall()
        spine, labelled = con.execute(
            "SELECT (SELECT count(*) FROM diagnosis.spine), (SELECT count(*) FROM diagnosis.training_set)"
        ).fetchall()[0]
    assert most == [(1,)]
    assert platform.metadata("training_set")["rows_without_label"] == spine - labelled > 0


def test_the_decision_curve_is_shown_where_costs_are_declared(
    run: dg.ExecuteInProcessResult, platform: Platform
) -> None:
    for name in ("lightgbm", "logistic"):
        assert "data:image/png" in platform.metadata(f"candidate_{name}")["decision_curve"]


def test_training_again_compares_with_the_incumbent_on_people_that_neither_has_seen(
    run: dg.ExecuteInProcessResult, platform: Platform
) -> None:
    stages = ["training_set", "candidate_lightgbm", "candidate_logistic", "champion"]
    assert platform.run(stages).success
    assert platform.metadata("champion")["verdict"].startswith("kept v1")


def test_the_service_answers_with_a_probability_and_reasons(
    run: dg.ExecuteInProcessResult, platform: Platform, module_home: Home
) -> None:
    positive, negative, wrong = sample_requests(platform.declaration, module_home)
    served = start_live("diagnosis", free_port(), module_home)
    try:
        answers = [ask("diagnosis", served.url, json.dumps(s.row)) for s in (positive, negative, wrong)]
    finally:
        stop_service(served.pid)
    assert [answer.status for answer in answers] == [200, 200, 422]
    assert 0 < answers[0].body["score"] < 1
    assert answers[0].body["reasons"]


def test_the_sensor_waits_until_a_file_changes(run: dg.ExecuteInProcessResult, platform: Platform) -> None:
    # This run was started by hand and is not tagged with what it read: the sensor reads once more, then rests.
    asked = platform.tick("diagnosis_new_data").requests
    assert [request.job_name for request in asked] == ["diagnosis_ingest_to_decision"]
    assert platform.start(asked[0]).success
    tick = platform.tick("diagnosis_new_data")
    assert tick.requests == []
    assert "have not changed since they were read" in tick.skipped


def test_the_exported_model_answers_like_the_service_where_there_is_only_numpy_and_onnxruntime(
    run: dg.ExecuteInProcessResult, module_home: Home, tmp_path: Path
) -> None:
    device, service = answers_of_both(module_home, "diagnosis", tmp_path)
    assert len(device) == len(service) >= 100
    for told, served in zip(device, service, strict=True):
        assert told == pytest.approx(served, rel=1e-9, abs=1e-9)
