"""Scoring the journal, and a rollback, killed (SIGKILL) again and again: run once more, they end as if nobody had."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.resources.tracking import Tracking
from mlplatform.stages.challenge_days import challenge_config
from mlplatform.stages.jobs import challenge_job, use_case_tags
from mlplatform.stages.rollback import rollback_config, rollback_job
from mlplatform_tests.e2e.killed_job import CHUNK, DAYS
from mlplatform_tests.e2e.test_automatic_rollback import BUG, MODEL
from mlplatform_tests.e2e.test_challenge import DATA, FIRST, MIDDLE, ask, feature_rows, register_the_other_candidate
from mlplatform_tests.small_fraud import Platform, dagster_home, small_fraud

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.io_models"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.images"),
]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def platform(module_home: Home) -> Iterator[Platform]:
    with dagster_home(module_home.dagster) as instance:
        made = Platform(small_fraud(days=DAYS), instance)
        assert made.run(days=70).success
        register_the_other_candidate(made)
        assert made.run(DATA, days=84, first_day=70).success
        assert ask(module_home, feature_rows(made, FIRST, MIDDLE)) == {"1"}
        assert made.run(["prediction_log"]).success
        yield made


def begin(home: Home, job: str, config: dict[str, Any]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "mlplatform_tests.e2e.killed_job", job, json.dumps(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env={**os.environ, **home.environment()},
        start_new_session=True,
    )


def kill(process: "subprocess.Popen[str]") -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_scoring_the_journal_loses_and_doubles_nothing_whenever_it_is_killed(
    platform: Platform, module_home: Home
) -> None:
    job, config = challenge_job(platform.declaration), challenge_config(platform.declaration, version=2)
    whole, done = len(feature_rows(platform, FIRST, MIDDLE)), [0]
    for _ in range(3):
        process = begin(module_home, job, config)
        while scored(module_home)[0] < done[-1] + CHUNK:
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.02)
        kill(process)
        done.append(scored(module_home)[0])
    assert 0 < done[1] < done[2] < done[3] < whole

    process = begin(module_home, job, config)
    process.communicate()
    assert process.returncode == 0
    assert scored(module_home) == (whole, whole)
    assert platform.metadata("challenger_log")["challenger_scored"] == whole - done[3]


def scored(home: Home) -> tuple[int, int]:
    """Predictions of version 2 from the journal, and requests that they are about."""
    with Lake.at(home).read() as con:
        row = con.execute(
            "SELECT count(*), count(DISTINCT transaction_id) FROM fraud.prediction_log WHERE role = 'journal'"
        ).fetchone()
    assert row
    return int(row[0]), int(row[1])


def test_a_version_that_nobody_compared_is_refused_before_anything_moves(platform: Platform, module_home: Home) -> None:
    uc, before = platform.declaration, moves(module_home)
    result = platform.launch(rollback_job(uc), use_case_tags(uc), config=rollback_config(uc, "a mistake", to_version=2))
    told = [str(event.event_specific_data) for event in result.get_step_failure_events()]
    assert any("v2 of fraud was registered by hand" in each for each in told)
    assert moves(module_home) == before


@pytest.fixture(scope="module")
def promoted(platform: Platform, module_home: Home) -> int:
    """The version that beat v1 on labels with a bug, and is live."""
    Lake.at(module_home).commit(lambda con: con.execute(BUG), "a bug in the labels")
    assert platform.run(MODEL).success
    assert version(module_home) == 3
    return 3


@pytest.mark.parametrize("stage", ["rollback", "bento", "deployment"])
def test_a_rollback_that_is_killed_is_finished_once(
    platform: Platform, module_home: Home, promoted: int, stage: str
) -> None:
    wanted, moments = {1: promoted, promoted: 1}[version(module_home)], random.Random(stage)
    config = rollback_config(platform.declaration, f"killed in {stage}", to_version=wanted)
    job, before = rollback_job(platform.declaration), moves(module_home)
    for _ in range(2):
        process = begin(module_home, job, config)
        assert process.stdout is not None
        if any(line.strip() == f"begins {stage}" for line in process.stdout):
            time.sleep(moments.uniform(0, 1.5))
        kill(process)
    # Once it is written down, whoever finishes it may be somebody who knows nothing of the first, and asks for a pause.
    another = stage != "rollback" and version(module_home) != wanted
    if version(module_home) != wanted:
        other = rollback_config(platform.declaration, f"another {stage}", to_version=wanted, pause_days=9)
        process = begin(module_home, job, other if another else config)
        process.communicate()
        assert process.returncode == 0
    asked = {f"rolled back: killed in {stage}", *([f"rolled back: another {stage}"] if another else [])}
    assert asked <= pauses(module_home)

    champion = Tracking().champion("fraud")
    assert champion is not None
    assert (champion.version, version(module_home)) == (wanted, wanted)
    assert moves(module_home) == [*before, (wanted, "rollback", f"killed in {stage}")]


def pauses(home: Home) -> set[str]:
    with Lake.at(home).read() as con:
        return {reason for (reason,) in con.execute("SELECT reason FROM fraud.retraining_pause").fetchall()}


def version(home: Home) -> int:
    return int(json.loads(home.deployment("fraud").read_text())["version"])


def moves(home: Home) -> list[tuple[int, str, str]]:
    with Lake.at(home).read() as con:
        found = con.execute("SELECT version, cause, reason FROM fraud.champion_alias ORDER BY moved_at").fetchall()
    return [(int(number), str(cause), str(reason)) for number, cause, reason in found]
