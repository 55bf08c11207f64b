"""The closed loop on real parts, nobody in between: Dagster's daemon, the sensors, the service, an application.

The application scores each event as its features arrive and never stops asking. Fortnights come by the new-data sensor;
a drift comes with one of them; the retrain sensor does what the decision says.
"""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import httpx
import pytest

from mlplatform.cli.demo import free_port
from mlplatform.cli.processes import start_part, stop_parts
from mlplatform.cli.replay import json_rows
from mlplatform.cli.serve import start_live
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.resources.dbt import dbt_environment
from mlplatform.serving.launch import Served, stop_service
from mlplatform.stages.performance_report import performance_windows
from mlplatform.stages.retrain_decision import newest_decision
from mlplatform_tests.small_fraud import START, Platform, dagster_home

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 1800
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lived(module_home: Home) -> Iterator["_Life"]:
    """The whole timeline, lived through once; the tests look at what is left of it."""
    from mlplatform_tests.e2e import daemon_bad_challenger as spoiled
    from mlplatform_tests.e2e import daemon_platform as world

    with dagster_home(module_home.dagster) as instance:
        assert Platform(world.declaration, instance).run(days=world.TRAINED_UNTIL).success
        service = start_live("fraud", free_port(), module_home)
        application = _Application(module_home, service, START + timedelta(days=world.TRAINED_UNTIL))
        try:
            with application:
                with _daemon(module_home, world.__name__):
                    last = START + timedelta(days=world.DAYS)
                    _wait(lambda: _decided(module_home) >= last, f"no decision as of {last}")
                    _wait(lambda: not instance.get_runs_count(_running()), "a run does not end")
                served = _live(module_home)
                with _daemon(module_home, spoiled.__name__):
                    last = START + timedelta(days=spoiled.DAYS)
                    _wait(lambda: _compared(module_home) >= last, f"no comparison as of {last}")
                    _wait(lambda: not instance.get_runs_count(_running()), "a run does not end")
        finally:
            stop_service(service.pid)
        yield _Life(Platform(world.declaration, instance), application, served)


@dataclass
class _Life:
    platform: Platform
    application: "_Application"
    served_before_the_bad_challenger: str


def test_no_request_failed_while_models_were_trained_and_exchanged(lived: _Life) -> None:
    assert lived.application.failed == []
    assert lived.application.answered > 10_000


def test_without_drift_nothing_is_retrained_although_nothing_but_the_evidence_forbids_it(
    lived: _Life, module_home: Home
) -> None:
    decisions = _decisions(module_home)
    quiet = [decisions[day] for day in ("2018-08-05", "2018-08-19")]
    assert [verdict for verdict, _ in quiet] == ["wait", "wait"]
    assert all("of the importance drifted" in reason for _, reason in quiet), quiet


def test_the_drift_was_reported_and_the_decision_says_why_it_retrained(lived: _Life, module_home: Home) -> None:
    from mlplatform_tests.e2e.daemon_platform import DRIFT_FROM

    retrained = {day: reason for day, (verdict, reason) in _decisions(module_home).items() if verdict == "retrain"}
    assert retrained
    first = min(retrained)
    assert date.fromisoformat(first) > START + timedelta(days=DRIFT_FROM)
    assert "drift" in retrained[first]
    with Lake.at(module_home).read() as con:
        drifted = con.execute('SELECT DISTINCT "column" FROM fraud.drift_report WHERE drifted').fetchall()
    assert ("amount",) in drifted


def test_a_new_version_was_trained_promoted_and_served(lived: _Life, module_home: Home) -> None:
    assert int(lived.served_before_the_bad_challenger) >= 2
    assert {"1", lived.served_before_the_bad_challenger} <= lived.application.versions


def test_a_bad_challenger_was_trained_refused_and_never_served(lived: _Life, module_home: Home) -> None:
    assert _decisions(module_home)["2018-10-14"][0] == "retrain"
    with Lake.at(module_home).read() as con:
        promoted = con.execute("SELECT promoted FROM fraud.champion WHERE as_of >= '2018-10-14'").fetchall()
    assert promoted
    assert not any(each for (each,) in promoted)
    assert _live(module_home) == lived.served_before_the_bad_challenger
    assert max(lived.application.versions, key=int) == lived.served_before_the_bad_challenger


def test_every_event_is_in_the_log_once(lived: _Life, module_home: Home) -> None:
    # What was answered after the last ingest is still in the journal.
    assert lived.platform.run(["prediction_log", "outcomes", "performance_report"]).success
    with Lake.at(module_home).read() as con:
        row = con.execute(
            "SELECT count(*), count(DISTINCT transaction_id), count(DISTINCT prediction_id) FROM fraud.prediction_log"
        ).fetchone()
    assert row == (lived.application.answered,) * 3


def test_the_metric_recovers_with_the_new_version(lived: _Life, module_home: Home) -> None:
    from mlplatform_tests.e2e.daemon_platform import DRIFT_FROM

    uc, lake, newest = lived.platform.declaration, Lake.at(module_home), int(lived.served_before_the_bad_challenger)
    windows = [*performance_windows(uc, lake, 1), *performance_windows(uc, lake, newest)]
    mature = [w for w in windows if w.state == "mature"]
    told = [(str(w.start.date()), w.model_version, round(w.value, 3), round(w.estimate, 3)) for w in mature]
    new = [w.value for w in mature if str(w.model_version) == lived.served_before_the_bad_challenger]
    drifted = [
        w.value for w in mature if str(w.model_version) == "1" and w.start.date() >= START + timedelta(days=DRIFT_FROM)
    ]
    assert new, told
    assert sum(new) / len(new) > sum(drifted) / len(drifted), told


class _Application:
    """Scores every event once its features are there, oldest first, as long as it runs."""

    def __init__(self, module_home: Home, service: Served, since: date) -> None:
        self.failed: list[str] = []
        self.answered = 0
        self.versions: set[str] = set()
        self._home, self._url, self._since = module_home, service.url, f"{since}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> "_Application":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60, trust_env=False) as client:
            names = client.get("/openapi.json").json()["components"]["schemas"]["Row"]["required"]
            while not self._stop.wait(1.0):
                rows = self._new_rows(names)
                for start in range(0, len(rows), 100):
                    self._score(client, rows[start : start + 100])

    def _new_rows(self, names: list[str]) -> list[dict[str, object]]:
        columns = ", ".join([*names, "transaction_id", "event_time"])
        with Lake.at(self._home).read() as con:
            found = con.execute(
                f"SELECT {columns} FROM fraud.features WHERE event_time >= ? ORDER BY event_time, transaction_id",
                [self._since],
            ).to_arrow_table()
        if not len(found):
            return []
        # Days come whole.
        newest = max(found["event_time"].to_pylist()).date()
        self._since = f"{newest + timedelta(days=1)}"
        return [row for batch in found.to_batches() for row in json_rows(batch, "event_time")]

    def _score(self, client: httpx.Client, rows: list[dict[str, object]]) -> None:
        try:
            reply = client.post("/predict", json={"rows": rows, "explain": False})
        except httpx.HTTPError as error:
            self.failed.append(repr(error))
            return
        if reply.status_code != httpx.codes.OK:
            self.failed.append(reply.text)
            return
        self.answered += len(rows)
        self.versions.add(reply.json()["model"]["version"])


def _decisions(module_home: Home) -> dict[str, tuple[str, str]]:
    with Lake.at(module_home).read() as con:
        found = con.execute("SELECT as_of, verdict, reason FROM fraud.retrain_decision ORDER BY as_of").fetchall()
    return {str(day.date()): (str(verdict), str(reason)) for day, verdict, reason in found}


def _decided(module_home: Home) -> date:
    from mlplatform_tests.e2e.daemon_platform import declaration

    decision = newest_decision(declaration, Lake.at(module_home))
    return decision["as_of"].date() if decision else date.min


def _compared(module_home: Home) -> date:
    with Lake.at(module_home).read() as con:
        found = con.execute("SELECT max(as_of) FROM fraud.champion").fetchone()
    assert found
    return found[0].date()


def _live(module_home: Home) -> str:
    return str(json.loads(module_home.deployment("fraud").read_text())["version"])


@contextmanager
def _daemon(module_home: Home, definitions: str) -> Iterator[None]:
    command = [sys.executable, "-m", "dagster._daemon", "run", "-m", definitions]
    environment = {**dbt_environment(module_home), **module_home.environment(), "PYTHONPATH": str(ROOT)}
    daemon = start_part(
        "daemon", 0, command, logs=module_home.root / "logs", folder=ROOT, environment=_with(environment)
    )
    try:
        yield
    finally:
        stop_parts([daemon])


def _running() -> object:
    import dagster as dg

    states = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED"]
    return dg.RunsFilter(statuses=[dg.DagsterRunStatus[state] for state in states])


def _with(environment: dict[str, str]) -> dict[str, str]:
    import os

    return {**os.environ, **environment}


def _wait(condition: object, otherwise: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, otherwise
        time.sleep(1)
