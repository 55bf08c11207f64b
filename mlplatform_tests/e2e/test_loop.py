"""The loop, on real parts: lake, dbt, MLflow, Bento, sensors, service. One timeline, told in order.

Days 0-69 train the first champion; then two weeks come at a time. Day 84 brings a drift: everybody spends three times
as much. On day 98 the policy is still cooling down. On day 112 it retrains, and tunes on days that have seen the drift.
"""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mlplatform.cli.demo import free_port
from mlplatform.cli.reproduce import reproduce
from mlplatform.cli.serve import start_live
from mlplatform.errors import SpecError
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.serving.launch import Served, stop_service
from mlplatform.spec import Declaration
from mlplatform.stages.jobs import use_case_tags
from mlplatform.stages.rollback import rollback_config, rollback_job
from mlplatform_tests.small_fraud import Platform, dagster_home, failed_checks, small_fraud

TRAINED_UNTIL = 70
DRIFT_FROM = 84
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def platform(module_home: Home) -> Iterator[Platform]:
    drift = {"start_day": DRIFT_FROM, "kind": "amounts", "size": 3.0}
    with dagster_home(module_home.dagster) as instance:
        yield Platform(small_fraud(days=126, drift=drift, policy={"cool_down_days": 35}), instance)


@pytest.fixture(scope="module")
def service(platform: Platform, module_home: Home) -> Iterator[Served]:
    served = start_live("fraud", free_port(), module_home)
    yield served
    stop_service(served.pid)


def test_one_run_takes_raw_events_to_a_deployed_model(platform: Platform, module_home: Home) -> None:
    result = platform.run(days=TRAINED_UNTIL)
    assert result.success
    assert platform.metadata("deployment")["model_version"] == 1
    assert json.loads(module_home.deployment("fraud").read_text())["version"] == "1"


def test_every_stage_with_something_to_show_shows_a_picture(platform: Platform) -> None:
    of_a_model = {"precision_recall", "calibration", "decision_curve", "importance", "contributions"}
    shown = {
        "training_set": {"rows_over_time"},
        "candidate_lightgbm": of_a_model,
        "candidate_logistic": of_a_model,
        "champion": {"picture"},
        "model_card": {"precision_recall"},
        "drift_report": {
            *("columns", "over_time", "by_column_over_time", "predictions_over_time", "what_moved_the_score")
        },
        "retrain_decision": {"weighed"},
    }
    for stage, names in shown.items():
        metadata = platform.metadata(stage)
        assert all("data:image/png;base64," in metadata[name] for name in names), stage


def test_each_candidate_has_one_finished_mlflow_run_with_its_figures_and_no_pickle(platform: Platform) -> None:
    from mlplatform.resources.tracking import Tracking

    for candidate in ("lightgbm", "logistic"):
        run = Tracking().client().get_run(platform.metadata(f"candidate_{candidate}")["mlflow_run_id"])
        assert run.info.status == "FINISHED"
        assert run.data.metrics["test_average_precision"] > 0
        files = {p.suffix for p in Path(Tracking().model_folder(run.info.run_id)).iterdir()}
        assert files <= {".json", ".txt", ".onnx"}


def test_the_card_of_the_champion_is_a_page_with_its_figures(platform: Platform) -> None:
    page = Path(platform.metadata("model_card")["page_file"]).read_text()
    assert "<h1>fraud v1</h1>" in page
    assert "<td>average precision</td>" in page
    assert page.count("data:image/png;base64,") == 3


def test_the_champion_is_rebuilt_byte_for_byte_from_what_was_recorded(platform: Platform) -> None:
    assert platform.metadata("deployment")["model_version"] == 1
    assert reproduce("fraud")
    with pytest.raises(SpecError, match="fraud has no version 7; registered: 1"):
        reproduce("fraud@7")


def test_the_same_rows_give_the_same_model_and_nothing_new_is_promoted(platform: Platform) -> None:
    stages = ["training_set", "candidate_lightgbm", "candidate_logistic", "champion", "bento", "deployment"]
    assert platform.run(stages, days=TRAINED_UNTIL).success
    assert "byte for byte" in platform.metadata("champion")["verdict"]
    assert platform.metadata("deployment")["model_version"] == 1
    assert platform.metadata("deployment")["changed"] is False


def test_without_drift_new_data_is_reported_and_nothing_is_retrained(platform: Platform) -> None:
    [request] = platform.tick("fraud_new_data").requests
    assert platform.start(request).success
    assert platform.metadata("retrain_decision")["verdict"] == "wait"
    tick = platform.tick("fraud_retrain")
    assert tick.requests == []
    assert "wait" in tick.skipped


def test_a_drift_soon_after_a_training_waits_for_the_cool_down(platform: Platform) -> None:
    [request] = platform.tick("fraud_new_data").requests
    assert platform.start(request).success
    assert "amount" in platform.metadata("drift_report")["drifted"]
    tick = platform.tick("fraud_retrain")
    assert tick.requests == []
    assert "cooling down until 2018-07-15" in tick.skipped


def test_with_lasting_drift_the_service_moves_to_a_newly_trained_version_without_a_failed_request(
    platform: Platform, service: Served, module_home: Home
) -> None:
    load = _Load(service.url)
    [request] = platform.tick("fraud_new_data").requests
    assert platform.start(request).success
    decision = platform.metadata("retrain_decision")
    assert decision["verdict"] == "retrain", decision
    assert "amount" in platform.metadata("drift_report")["drifted"]
    assert platform.metadata("drift_report")["prediction_drifted"]
    assert_the_amount_moved_the_score_since_the_drift_began(Lake.at(module_home))
    [request] = platform.tick("fraud_retrain").requests
    with load:
        result = platform.start(request)
        assert result.success
        load.wait_for_version("2")
    assert platform.metadata("deployment")["model_version"] == 2
    assert load.failed == []
    assert load.answered > 50


def assert_the_amount_moved_the_score_since_the_drift_began(lake: Lake) -> None:
    with lake.read() as con:
        causes = con.execute("FROM fraud.drift_causes WHERE window_end = '2018-07-22' AND cause = 'column'").df()
    assert causes["change"].sum() == pytest.approx(causes["shift"].iloc[0], abs=1e-6)
    most = causes.loc[causes["change"].abs().idxmax()]
    assert (most["name"], f"{most['since']:%Y-%m-%d}") == ("amount", "2018-06-24")


def test_one_decision_trains_once(platform: Platform) -> None:
    tick = platform.tick("fraud_retrain")
    assert tick.requests == []
    assert "has led to a comparison" in tick.skipped


def test_a_champion_that_a_dead_run_left_undeployed_is_deployed(platform: Platform, module_home: Home) -> None:
    """As after a kill between the comparison and the pointer: the service is a version behind the registry."""
    pointer = module_home.deployment("fraud")
    live = pointer.read_text()
    pointer.write_text(live.replace('"version": "2"', '"version": "1"'))
    [request] = platform.tick("fraud_retrain").requests
    assert platform.start(request).success
    assert json.loads(pointer.read_text())["version"] == "2"


def test_right_after_a_training_the_next_window_waits(platform: Platform) -> None:
    [request] = platform.tick("fraud_new_data").requests
    assert platform.start(request).success
    assert platform.metadata("retrain_decision")["verdict"] == "wait"
    assert "no source has rows beyond 2018-08-04" in platform.tick("fraud_new_data").skipped


def test_a_model_that_fails_a_gate_is_refused_and_never_served(platform: Platform) -> None:
    declared = platform.declaration
    gates = declared.spec.training.gates.model_copy(update={"floor": 0.999})
    training = declared.spec.training.model_copy(update={"gates": gates})
    strict = Declaration(declared.spec.model_copy(update={"training": training}), declared.folder)
    stages = ["training_set", "candidate_lightgbm", "candidate_logistic", "champion", "bento", "deployment"]
    result = Platform(strict, platform.instance).run(stages)
    assert not result.success
    assert "metric_floor" in failed_checks(result)
    assert "kept incumbent v2" in platform.metadata("champion")["verdict"]
    assert platform.metadata("deployment")["model_version"] == 2


def test_a_rollback_takes_the_running_service_back_and_pauses_retraining(platform: Platform, service: Served) -> None:
    uc, load = platform.declaration, _Load(service.url)
    with load:
        result = platform.launch(
            rollback_job(uc), use_case_tags(uc), config=rollback_config(uc, "v2 blocks good customers", pause_days=14)
        )
        assert result.success
        load.wait_for_version("1")
    assert load.failed == []
    assert platform.metadata("deployment")["model_version"] == 1
    assert platform.metadata("rollback")["instead_of"] == 2
    assert "paused" in platform.tick("fraud_retrain").skipped


def test_a_rollback_that_makes_no_sense_says_why_and_changes_nothing(platform: Platform) -> None:
    uc = platform.declaration
    for version, why in ((1, "v1 is the champion of fraud already"), (9, "fraud has no version 9; registered: 1, 2")):
        result = platform.launch(
            rollback_job(uc), use_case_tags(uc), config=rollback_config(uc, "a mistake", to_version=version)
        )
        assert not result.success
        assert any(why in str(event.event_specific_data) for event in result.get_step_failure_events())
    assert platform.metadata("deployment")["model_version"] == 1


class _Load:
    """Requests, one after the other, from a thread: what an application would see."""

    def __init__(self, url: str) -> None:
        self.url, self.failed, self.answered = url, list[str](), 0
        self._versions: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> "_Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        with httpx.Client(base_url=self.url, timeout=30, trust_env=False) as client:
            document = client.get("/openapi.json").json()
            body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]
            row = next(iter(body.values()))["value"]
            while not self._stop.wait(0.01):
                reply = client.post("/predict", json=row)
                if reply.status_code != httpx.codes.OK:
                    self.failed.append(reply.text)
                    continue
                self.answered += 1
                self._versions.add(reply.json()["model"]["version"])

    def wait_for_version(self, version: str, seconds: float = 20) -> None:
        waiting = threading.Event()
        for _ in range(int(seconds / 0.1)):
            if version in self._versions:
                return
            waiting.wait(0.1)
        raise AssertionError(f"the service never answered as version {version}; it answered as {self._versions}")
