"""What is served is known afterwards: journal, labels that come late, the metric when it is mature.

Days 0-69 train a champion. It scores the transactions of days 70-83 through the service's own app; their labels come
with the following fortnights.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pandas as pd
import pytest
from click.testing import CliRunner

from mlplatform.cli import main
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.serving.app import create_app
from mlplatform.serving.follow import load_live
from mlplatform.serving.journal import Journal
from mlplatform.serving.pointer import read_pointer
from mlplatform.serving.scoring import Slot
from mlplatform.stages.batch_scores import batch_scores_job
from mlplatform.stages.jobs import served_skew_job, use_case_tags
from mlplatform.stages.performance_report import performance_windows
from mlplatform_tests.serving.edge.bare import make_bare_python, run_runner
from mlplatform_tests.small_fraud import Platform, dagster_home, failed_checks, small_fraud

pytestmark = pytest.mark.slow
MONITORING = ["prediction_log", "outcomes", "drift_report", "performance_report", "retrain_decision"]
TRAINING = ["training_set", "candidate_lightgbm", "candidate_logistic", "champion"]
DATA = ["raw_transactions", "stg_transactions", "spine", "features"]


@pytest.fixture(scope="module")
def platform(module_home: Home) -> Iterator[Platform]:
    kept = {"hashed": ["transaction_id", "amount"], "columns": ["amount", "terminal_risk_7d"]}
    with dagster_home(module_home.dagster) as instance:
        yield Platform(small_fraud(days=112, journal=kept), instance)


@pytest.fixture(scope="module")
def trained(platform: Platform) -> Platform:
    assert platform.run(days=70).success
    return platform


def skew_check(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (check,) = [e for e in result.get_asset_check_evaluations() if e.check_name == "served_skew"]
    return check


def score(module_home: Home, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows through the app of the live bundle, with its journal."""
    from mlplatform.serving.journal_key import journal_key

    journal = Journal(module_home.journal("fraud"), journal_key(module_home).encode())
    answers = answers_to(module_home, rows, journal)
    journal.close()
    return answers


def answers_to(module_home: Home, rows: pd.DataFrame, journal: Journal | None) -> list[dict[str, Any]]:
    pointer = read_pointer(module_home.deployment("fraud"))
    app = create_app(Slot(load_live(Path(pointer.path), pointer.bento)), journal=journal)

    async def ask() -> list[dict[str, Any]]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            answers = []
            for start in range(0, len(rows), 500):
                part = json.loads(rows.iloc[start : start + 500].to_json(orient="records", date_format="iso"))
                reply = await client.post("/predict", json={"rows": part, "explain": False})
                assert reply.status_code == 200, reply.text
                answers += reply.json()["predictions"]
            return answers

    return asyncio.run(ask())


def feature_rows(platform: Platform, first: str, behind: str) -> pd.DataFrame:
    spec = platform.declaration.spec
    names = ", ".join([*spec.training.features, *spec.entity_keys, spec.event_time])
    with Lake.at(Home.current()).read() as con:
        return con.execute(
            f"SELECT {names} FROM fraud.features WHERE event_time >= ? AND event_time < ? ORDER BY event_time",
            [first, behind],
        ).df()


def test_before_the_first_request_the_reports_say_that_nothing_was_served(trained: Platform) -> None:
    assert trained.metadata("prediction_log")["dagster/row_count"] == 0
    assert trained.metadata("performance_report")["told"] == "no service has journalled a prediction yet"


def test_served_predictions_are_logged_once_and_wait_for_their_labels(trained: Platform, module_home: Home) -> None:
    assert trained.run(DATA, days=84, first_day=70).success
    rows = feature_rows(trained, "2018-06-10", "2018-06-24")
    answers = score(module_home, rows)
    for _ in range(2):
        assert trained.run(MONITORING).success
    assert trained.metadata("prediction_log")["dagster/row_count"] == len(rows) == len(answers)
    assert trained.metadata("prediction_log")["new_predictions"] == 0, "the second run found nothing new"

    with Lake.at(module_home).read() as con:
        logged = con.execute("SELECT transaction_id, features, score FROM fraud.prediction_log").fetchall()
    assert {len(key) for key, *_ in logged} == {64}, "keys are kept as hashes"
    assert {frozenset(json.loads(features)) for _, features, _ in logged} == {frozenset({"amount", "terminal_risk_7d"})}
    assert sorted(score for *_, score in logged) == sorted(answer["score"] for answer in answers)


def test_before_their_labels_are_there_windows_are_provisional_and_have_an_estimate(
    trained: Platform, module_home: Home
) -> None:
    windows = performance_windows(trained.declaration, Lake.at(module_home), 1)
    assert [str(window.start.date()) for window in windows] == ["2018-06-04", "2018-06-11", "2018-06-18"]
    # The first week holds one day of predictions, and its labels have had their time.
    assert [window.state for window in windows] == ["mature", "provisional", "provisional"]
    assert windows[-1].coverage < 0.5
    assert all(0 < window.estimate < 1 for window in windows)


def test_when_the_labels_have_come_the_window_is_mature_and_measured(trained: Platform, module_home: Home) -> None:
    assert trained.run([*DATA, *MONITORING], days=98, first_day=84).success
    windows = {str(w.start.date()): w for w in performance_windows(trained.declaration, Lake.at(module_home), 1)}
    week = windows["2018-06-11"]
    assert week.state == "mature"
    assert week.coverage == 1
    assert week.low <= week.value <= week.high
    assert abs(week.estimate - week.value) < 0.35
    assert week.expected == pytest.approx(_promoted_by(module_home))
    assert "data:image/png" in trained.metadata("performance_report")["over_time"]
    with Lake.at(module_home).read() as con:
        rows = con.execute("SELECT count(*), count(DISTINCT prediction_id), sum(label) FROM fraud.outcomes").fetchone()
    assert rows is not None
    assert rows[0] == rows[1]
    assert rows[2] > 0


def test_a_batch_gets_the_scores_that_the_service_gives_and_again_the_same_rows_once(
    trained: Platform, module_home: Home
) -> None:
    uc = trained.declaration
    config = {
        "ops": {"fraud__batch_scores": {"config": {"start": "2018-06-10", "end": "2018-06-24", "batch_rows": 700}}}
    }
    for _ in range(2):
        assert trained.launch(batch_scores_job(uc), use_case_tags(uc), config=config).success
    with Lake.at(module_home).read() as con:
        batch = con.execute("SELECT score, decision FROM fraud.batch_scores ORDER BY ALL").fetchall()
        served = con.execute("SELECT score, decision FROM fraud.prediction_log ORDER BY ALL").fetchall()
    assert batch == served
    assert trained.metadata("batch_scores")["scored_rows"] == len(served)


def test_days_of_a_table_are_partitions_and_replace_nothing_but_their_own_scores(
    trained: Platform, module_home: Home
) -> None:
    """After the fortnight before: one day again, then two days that lie before it."""
    job, tags = batch_scores_job(trained.declaration), use_case_tags(trained.declaration)
    one, two = (scores(module_home, day) for day in ("2018-06-12", "2018-06-08"))
    assert one
    assert not two
    assert trained.launch(job, tags | {"dagster/partition": "2018-06-12"}).success
    assert trained.metadata("batch_scores")["scored_rows"] == len(one)
    assert scores(module_home, "2018-06-12") == one
    days = {f"dagster/asset_partition_range_{edge}": f"2018-06-0{day}" for edge, day in (("start", 8), ("end", 9))}
    assert trained.launch(job, tags | days).success
    found = [len(scores(module_home, f"2018-06-{day}")) for day in ("07", "08", "09", "10", "12")]
    assert found[0] == 0
    assert all(found[1:])
    assert trained.metadata("batch_scores")["scored_rows"] == found[1] + found[2]
    made = trained.instance.get_materialized_partitions(dg.AssetKey(["fraud", "batch_scores"]))
    assert made == {"2018-06-12", "2018-06-08", "2018-06-09"}


def scores(module_home: Home, day: str) -> list[tuple[object, ...]]:
    with Lake.at(module_home).read() as con:
        return con.execute(
            "SELECT transaction_id, score FROM fraud.batch_scores WHERE event_time::DATE = ? ORDER BY ALL", [day]
        ).fetchall()


def test_the_exported_model_answers_like_the_service_where_there_is_only_numpy_and_onnxruntime(
    trained: Platform, module_home: Home, tmp_path: Path
) -> None:
    told = CliRunner().invoke(main, ["export", "fraud", "--out", str(tmp_path / "edge")])
    assert told.exit_code == 0, told.output
    assert "same answers as the service" in told.output
    rows = feature_rows(trained, "2018-06-10", "2018-06-12")
    lines = rows.to_json(orient="records", lines=True, date_format="iso")
    done = run_runner(make_bare_python(tmp_path / "python"), tmp_path / "edge", lines)
    assert (done.returncode, done.stderr) == (0, "")
    found, served = [json.loads(line) for line in done.stdout.splitlines()], answers_to(module_home, rows, None)
    assert [answer["decision"] for answer in found] == [answer["decision"] for answer in served]
    assert [answer["score"] for answer in found] == pytest.approx([answer["score"] for answer in served], rel=1e-12)
    assert len(found) == len(rows) > 100
    notes = (tmp_path / "edge" / "FEATURES.md").read_text()
    for feature in trained.declaration.spec.training.features:
        assert f"## `{feature}`" in notes
    assert "Share of fraud among the terminal's labels that became known in the last 7 days" in notes
    assert "a.amount / NULLIF(s.mean_30d, 0)" in notes


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"table": "fraud.nothing"}, "the lake has no table fraud.nothing"),
        ({"table": "fraud.spine"}, "fraud.spine lacks"),
        ({"table": "fraud; DROP"}, "names a table of the lake"),
        ({"start": "June"}, "takes a day like 2018-08-01"),
        ({"start": "2030-01-01"}, "has no row"),
    ],
)
def test_a_batch_that_cannot_be_scored_says_why(trained: Platform, config: dict[str, str], why: str) -> None:
    uc = trained.declaration
    asked = {"ops": {"fraud__batch_scores": {"config": config}}}
    result = trained.launch(batch_scores_job(uc), use_case_tags(uc), config=asked)
    assert not result.success
    assert any(why in str(event.event_specific_data) for event in result.get_step_failure_events())


def _promoted_by(module_home: Home) -> float:
    with Lake.at(module_home).read() as con:
        row = con.execute("SELECT metric FROM fraud.champion WHERE promoted").fetchone()
    assert row is not None
    return float(row[0])


def test_a_window_that_turned_out_worse_than_promised_fails_the_check_and_not_the_run(
    trained: Platform, module_home: Home
) -> None:
    rows = feature_rows(trained, "2018-06-25", "2018-07-02")
    features = trained.declaration.spec.training.features
    mixed = {name: rows[name].sample(frac=1, random_state=1).to_numpy() for name in features}
    score(module_home, rows.assign(**mixed))
    result = trained.run([*DATA, *MONITORING], days=112, first_day=98)
    assert result.success
    assert "as_promised" in failed_checks(result)


def test_a_skewed_feature_of_the_live_service_fails_the_daily_check_alerts_and_blocks_promotion_until_accepted(
    trained: Platform, module_home: Home
) -> None:
    uc, lake = trained.declaration, Lake.at(module_home)
    trained.tick("fraud_healing")
    before = trained.launch(served_skew_job(uc), use_case_tags(uc))
    assert skew_check(before).passed is False, "the test before served mixed-up features"
    told = CliRunner().invoke(main, ["accept-skew", "fraud", "--reason", "mixed up on purpose"])
    assert "block no promotion any more" in told.output, told.output
    assert skew_check(trained.launch(served_skew_job(uc), use_case_tags(uc))).passed

    rows = feature_rows(trained, "2018-07-02", "2018-07-04")
    score(module_home, rows.assign(terminal_risk_7d=rows["terminal_risk_7d"] / 2 + 0.25))
    daily = trained.launch(served_skew_job(uc), use_case_tags(uc))
    assert daily.success, "the run goes on"
    check = skew_check(daily)
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert check.metadata["skewed"].value == "terminal_risk_7d"
    with lake.read() as con:
        listed = con.execute(
            "SELECT count(*) FROM fraud.skew_differences WHERE cause = 'skew' AND event_time >= '2018-07-02'"
        ).fetchone()
    assert listed == (check.metadata["values_skewed"].value,)

    trained.tick("fraud_healing")
    alerts = [json.loads(line)["title"] for line in module_home.alert_log.read_text().splitlines()]
    assert any("skew_report.served_skew failed" in title for title in alerts)
    status = CliRunner().invoke(main, ["status"]).output
    assert "nothing is promoted" in status
    assert "served values of terminal_risk_7d are not those that training reads" in status

    version = trained.metadata("champion")["model_version"]
    assert trained.run(TRAINING).success
    verdict = trained.metadata("champion")["verdict"]
    assert verdict.startswith(f"kept v{version}: ")
    assert "served values of terminal_risk_7d are not those that training reads" in verdict

    CliRunner().invoke(main, ["accept-skew", "fraud", "--reason", "the gateway is mended"])
    assert "nothing is promoted" not in CliRunner().invoke(main, ["status"]).output
    assert trained.run(["champion"]).success
    assert "not those that training reads" not in trained.metadata("champion")["verdict"]


def test_a_bento_that_computes_other_features_than_the_lake_holds_is_not_deployed(
    trained: Platform, module_home: Home
) -> None:
    """As if somebody had edited the features' SQL behind the model's back."""
    before = read_pointer(module_home.deployment("fraud"))
    assert trained.run(["bento"]).success, "an honest one is packaged"
    Lake.at(module_home).commit(
        lambda con: con.execute("UPDATE fraud.features SET customer_mean_amount_30d = 2 * customer_mean_amount_30d"),
        "skewed on purpose",
    )
    result = trained.run(["bento", "deployment"])
    assert not result.success
    assert failed_checks(result) == {"skew"}
    (check,) = [e for e in result.get_asset_check_evaluations() if e.check_name == "skew"]
    assert check.metadata["skewed"].value == "customer_mean_amount_30d"
    with Lake.at(module_home).read() as con:
        listed = con.execute('SELECT count(*) FROM fraud.bento_skew WHERE "column" = ?', ["customer_mean_amount_30d"])
        assert listed.fetchone() == (check.metadata["values_that_differ"].value,)
    assert read_pointer(module_home.deployment("fraud")) == before
    assert trained.run(["features"]).success
    assert trained.run(["bento", "deployment"]).success
