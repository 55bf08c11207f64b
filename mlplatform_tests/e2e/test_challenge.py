"""A challenger on real parts: shadow in the service, the journal scored, both compared when the labels have come.

Days 0-69 train a champion; the other candidate is registered as version 2. Days 70-83 are asked about: the first week
of the champion alone, the second with version 2 as its shadow.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from mlplatform.cli import main
from mlplatform.cli.challenge import challenge, end_challenge
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.ml.metrics import average_precision
from mlplatform.ml.model import Model
from mlplatform.resources.tracking import Tracking
from mlplatform.serving.app import create_app
from mlplatform.serving.follow import Follower
from mlplatform.serving.follow_challenger import ChallengerFollower
from mlplatform.serving.journal import Journal
from mlplatform.serving.scoring import Slot
from mlplatform.serving.trial import Trial
from mlplatform.stages.challenge_days import challenge_config, challenge_day_tags
from mlplatform.stages.clock import AS_OF_TAG
from mlplatform.stages.jobs import challenge_job, use_case_tags
from mlplatform.stages.trained import TRAINED_ON
from mlplatform_tests.small_fraud import Platform, dagster_home, small_fraud

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.io_models"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.images"),
]
DATA = ["raw_transactions", "stg_transactions", "spine", "features"]
FIRST, MIDDLE, LAST = "2018-06-10", "2018-06-17", "2018-06-24"


@pytest.fixture(scope="module")
def platform(module_home: Home) -> Iterator[Platform]:
    with dagster_home(module_home.dagster) as instance:
        made = Platform(small_fraud(days=112), instance)
        assert made.run(days=70).success
        register_the_other_candidate(made)
        assert made.run(DATA, days=84, first_day=70).success
        yield made


def register_the_other_candidate(platform: Platform) -> None:
    tracking = Tracking()
    champion = tracking.champion("fraud")
    assert champion is not None
    runs = {platform.metadata(f"candidate_{name}")["mlflow_run_id"] for name in ("lightgbm", "logistic")}
    [other] = runs - {champion.run_id}
    tracking.register("fraud", other, {TRAINED_ON: champion.tags[TRAINED_ON]})


def feature_rows(platform: Platform, first: str, behind: str) -> pd.DataFrame:
    spec = platform.declaration.spec
    names = ", ".join([*spec.training.features, *spec.entity_keys, spec.event_time])
    with Lake.at(Home.current()).read() as con:
        return con.execute(
            f"SELECT {names} FROM fraud.features WHERE event_time >= ? AND event_time < ? ORDER BY event_time",
            [first, behind],
        ).df()


def ask(module_home: Home, rows: pd.DataFrame) -> set[str]:
    """The rows through the app as the service builds it, following both files; the versions that answered."""
    slot, trial, journal = Slot(), Trial(Journal(module_home.journal("fraud"))), Journal(module_home.journal("fraud"))
    Follower(module_home.deployment("fraud"), slot).check()
    ChallengerFollower(module_home.challenger("fraud"), slot, trial).check()
    assert trial.problem is None
    app = create_app(slot, journal=journal, trial=trial)

    async def scenario() -> set[str]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            versions = set()
            for start in range(0, len(rows), 100):
                part = json.loads(rows.iloc[start : start + 100].to_json(orient="records", date_format="iso"))
                reply = await client.post("/predict", json={"rows": part, "explain": False})
                assert reply.status_code == 200, reply.text
                told = reply.json()
                versions |= {each.get("model", told["model"])["version"] for each in told["predictions"]}
            return versions

    versions = asyncio.run(scenario())
    if trial.challenge:
        trial.challenge.aside.close(timeout_seconds=60)
    trial.close()
    journal.close()
    assert trial.counts.dropped == trial.counts.failed == 0
    return versions


def compare(
    platform: Platform, as_of: str | None = None, days: dict[str, str] | None = None, **config: Any
) -> dict[str, Any]:
    """Run the challenge job; `days`: Dagster's tags of one partition, or of a range of them."""
    uc = platform.declaration
    tags = use_case_tags(uc) | ({AS_OF_TAG: as_of} if as_of else {}) | (days or {})
    result = platform.launch(challenge_job(uc), tags, config=challenge_config(uc, **config), raise_on_error=True)
    assert result.success
    return platform.metadata("challenger_report")


def roles(module_home: Home) -> dict[tuple[int, str], int]:
    with Lake.at(module_home).read() as con:
        found = con.execute("SELECT model_version, role, count(*) FROM fraud.prediction_log GROUP BY ALL").fetchall()
    return {(version, role): count for version, role, count in found}


def test_a_version_that_is_not_live_can_be_exported(platform: Platform, tmp_path: Path) -> None:
    told = CliRunner().invoke(main, ["export", "fraud", "--version", "2", "--out", str(tmp_path / "edge")])
    assert told.exit_code == 0, told.output
    manifest = json.loads((tmp_path / "edge" / "manifest.json").read_text())
    assert (manifest["version"], manifest["of"]["bento"][:8]) == ("2", "fraud:v2")
    told = CliRunner().invoke(main, ["export", "fraud", "--version", "9"])
    assert told.exit_code == 1
    assert "fraud has no version 9; registered: 1, 2" in told.output


def test_a_day_of_the_journal_can_be_chosen_and_is_scored_once(platform: Platform, module_home: Home) -> None:
    week = feature_rows(platform, FIRST, MIDDLE)
    assert ask(module_home, week) == {"1"}
    day = len(feature_rows(platform, "2018-06-12", "2018-06-13"))
    for scored in (day, 0):
        compare(platform, as_of=MIDDLE, days={"dagster/partition": "2018-06-12"}, version=2)
        assert roles(module_home) == {(1, "champion"): len(week), (2, "journal"): day}
        assert platform.metadata("challenger_log")["challenger_scored"] == scored
    assert report_row(module_home)["pairs"] == day


def test_a_range_of_days_is_backfilled_in_one_run_and_each_day_tells_of_itself(
    platform: Platform, module_home: Home
) -> None:
    days = {name: f"2018-06-{name}" for name in ("11", "12", "13")}
    sizes = {day: len(feature_rows(platform, day, f"{day} 23:59:59.999999")) for day in days.values()}
    chosen = challenge_day_tags(platform.declaration, pd.Timestamp(days["11"]), pd.Timestamp("2018-06-14"))
    told = compare(platform, as_of=MIDDLE, days=chosen)

    assert platform.metadata("challenger_log")["challenger_scored"] == sizes[days["11"]] + sizes[days["13"]]
    assert roles(module_home)[2, "journal"] == sum(sizes.values())
    assert answers_told(platform) == {day: (size, size) for day, size in sizes.items()}
    assert f"on {sum(sizes.values()):,} pairs" in told["told"]


def answers_told(platform: Platform) -> dict[str, tuple[int, int]]:
    """Per partition, what its newest materialisation says: answers of the champion and of the challenger."""
    key = dg.AssetKey(["fraud", "challenger_log"])
    told = {}
    for record in reversed(platform.instance.fetch_materializations(key, limit=100).records):
        made = record.asset_materialization
        assert made is not None
        if made.partition:
            told[made.partition] = tuple(
                int(made.metadata[f"{name}_answers"].value) for name in ("champion", "challenger")
            )
    return told


def test_a_week_that_only_the_champion_answered_is_scored_from_the_journal(
    platform: Platform, module_home: Home
) -> None:
    rows, before = feature_rows(platform, FIRST, MIDDLE), roles(module_home)[2, "journal"]
    told = compare(platform, as_of=MIDDLE)

    assert roles(module_home) == {(1, "champion"): len(rows), (2, "journal"): len(rows)}
    logged = platform.metadata("challenger_log")
    assert (logged["model_version"], logged["challenger_not_kept"]) == (2, 0)
    assert logged["challenger_scored"] == len(rows) - before
    assert set(answers_told(platform)) == {f"2018-06-{day}" for day in range(10, 17)}
    assert "no label has come" in told["told"]
    assert report_row(module_home)["state"] == "provisional"
    assert "data:image/png" in told["answers"]


def test_the_same_again_scores_nothing_and_compares_the_same(platform: Platform, module_home: Home) -> None:
    before, told = roles(module_home), platform.metadata("challenger_report")["told"]
    again = compare(platform, as_of=MIDDLE, version=2)

    assert platform.metadata("challenger_log")["challenger_scored"] == 0
    assert roles(module_home) == before
    assert again["told"] == told
    with Lake.at(module_home).read() as con:
        spans = con.execute("SELECT count(*), count(DISTINCT since) FROM fraud.challenger_report").fetchone()
    assert spans == (3, 3), "a day, some days, and the week"


def test_a_shadow_is_packaged_followed_and_compared_with_what_it_took(platform: Platform, module_home: Home) -> None:
    challenge("fraud", 2, share=None)
    rows = feature_rows(platform, MIDDLE, LAST)
    assert ask(module_home, rows) == {"1"}
    compare(platform)

    assert roles(module_home)[2, "shadow"] == len(rows)
    row = report_row(module_home)
    assert row["pairs"] == len(rows) + len(feature_rows(platform, FIRST, MIDDLE))
    assert row["challenger_requests"] == row["champion_requests"] == -(-len(rows) // 100)
    assert row["labelled"] == len(feature_rows(platform, FIRST, MIDDLE)), "the labels of the shadow's week are not due"
    assert 0 < row["challenger_p50_ms"] <= row["challenger_p99_ms"]


def report_row(module_home: Home) -> dict[str, Any]:
    """The newest comparison; of several, that of the most days."""
    with Lake.at(module_home).read() as con:
        [row] = (
            con.execute("FROM fraud.challenger_report ORDER BY as_of DESC, until - since DESC LIMIT 1")
            .df()
            .to_dict("records")
        )
    return dict(row)


def test_when_the_labels_have_come_the_difference_is_mature_and_that_of_the_models_themselves(
    platform: Platform, module_home: Home
) -> None:
    assert platform.run(DATA, days=98, first_day=84).success
    compare(platform)
    row = report_row(module_home)

    with Lake.at(module_home).read() as con:
        rows = con.execute(
            "SELECT f.*, s.label FROM fraud.features f JOIN fraud.spine s USING (transaction_id) "
            "WHERE f.event_time >= ? AND f.event_time < ?",
            [FIRST, LAST],
        ).df()
    tracking = Tracking()
    metric = {}
    for number in (1, 2):
        registered = tracking.version("fraud", number)
        assert registered is not None
        model = Model.load(tracking.model_folder(registered.run_id))
        metric[number] = average_precision(np.asarray(rows["label"]), model.predict(model.matrix(rows)))
    assert row["state"] == "mature"
    assert row["labelled"] == len(rows)
    assert (row["champion_metric"], row["challenger_metric"]) == pytest.approx((metric[1], metric[2]))
    assert row["metric_difference"] == pytest.approx(metric[2] - metric[1])
    assert row["low"] <= row["metric_difference"] <= row["high"]


def test_a_canary_answers_its_share_and_the_champion_scores_those_requests_from_the_journal(
    platform: Platform, module_home: Home
) -> None:
    challenge("fraud", 2, share=0.3)
    rows = feature_rows(platform, LAST, "2018-06-27")
    assert ask(module_home, rows) == {"1", "2"}
    compare(platform)

    answered = roles(module_home)[2, "challenger"]
    assert abs(answered - 0.3 * len(rows)) < 5 * (0.21 * len(rows)) ** 0.5
    assert platform.metadata("challenger_log")["champion_scored"] == answered
    assert roles(module_home)[1, "journal"] == answered


def test_without_its_file_the_service_answers_alone_again(platform: Platform, module_home: Home) -> None:
    end_challenge("fraud")

    assert not Path(module_home.challenger("fraud")).exists()
    assert ask(module_home, feature_rows(platform, "2018-06-27", "2018-06-28")) == {"1"}
