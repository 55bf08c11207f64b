import json
import shlex
import socket
from pathlib import Path

import pandas as pd
import pytest

from mlplatform.cli.run import _selected
from mlplatform.definitions import defs
from mlplatform.errors import SpecError
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import append_rows
from mlplatform_tests.cli.conftest import Ask, Run


def test_asking_about_an_empty_home_creates_nothing(ask: Ask, empty_home: Path) -> None:
    told = ask("status")
    assert told.exit_code == 0
    assert "nothing yet; run `mlplatform run fraud`" in told.output
    assert ask("serve", "fraud").exit_code == 1
    assert ask("doctor").exit_code == 1
    assert not empty_home.exists()


def test_doctor_says_what_to_do_about_a_home_that_is_not_prepared(ask: Ask) -> None:
    told = ask("doctor").output
    assert "is not prepared; run `mlplatform setup`" in told
    assert "✓ duckdb" in told


def test_env_names_places_below_the_home_only(ask: Ask, empty_home: Path) -> None:
    lines = ask("env").output.splitlines()
    told = dict(line.removeprefix("export ").split("=", 1) for line in lines)
    for name in ("DAGSTER_HOME", "BENTOML_HOME", "DBT_TARGET_PATH", "MLFLOW_BACKEND_STORE_URI"):
        assert str(empty_home) in shlex.split(told[name])[0], name


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("run frod", "there is no use case 'frod'"),
        ("run fraud --until yesterday", "--until takes a date like 2018-09-30, not 'yesterday'"),
        ("run fraud --until 2017-01-01", "lies before the first day of `transactions`, 2018-04-01"),
        ("run fraud --until 2019-01-01", "lies behind the last day of `transactions`, 2018-09-30"),
        ("reproduce frod", "there is no use case 'frod'"),
        ("reproduce fraud@first", "a version is a number, e.g. fraud@1"),
        ("reproduce fraud@1", "no model is registered"),
        ("backtest frod", "there is no use case 'frod'"),
        ("backtest fraud", "there is no history to replay; run `mlplatform run fraud` first"),
        ("challenge frod", "there is no use case 'frod'"),
        ("challenge fraud --version 2", "a challenger needs a champion"),
        ("challenge fraud --compare", "a challenger needs a champion"),
        ("rollback fraud --reason bad", "nothing of fraud is deployed: there is nothing to go back from"),
        ("rollback fraud --reason bad --pause 7q", "--pause takes days or hours like 7d or 12h, not '7q'"),
        ("replay fraud --from 2018-09-03 --to 2018-09-03", "--from 2018-09-03 is not before --to 2018-09-03"),
        ("export frod", "there is no use case 'frod'"),
        ("export fraud", "nothing is deployed for fraud yet; run `mlplatform run fraud` first, or name a --version"),
        ("export fraud --version 3", "no model is registered"),
        ("serve fraud", "nothing is deployed for fraud yet; run `mlplatform run fraud` first"),
        ("predict fraud --json {amount --url http://127.0.0.1:9", "--json is not JSON"),
        ("predict frod --json {}", "there is no use case 'frod'"),
        ("predict fraud --json {} --url localhost", "--url takes an address like http://"),
        ("predict fraud --json {} --url http://127.0.0.1:9", "start the service: mlplatform serve fraud"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_code_1(ask: Ask, arguments: str, said: str) -> None:
    told = ask(*arguments.split())
    assert told.exit_code == 1
    assert said in told.output
    assert isinstance(told.exception, SystemExit)


@pytest.mark.parametrize("command", ["pause", "rollback", "accept-skew"])
@pytest.mark.parametrize("reason", ["", " \t"])
def test_a_reason_that_says_nothing_is_refused_before_anything_is_written(
    ask: Ask, empty_home: Path, command: str, reason: str
) -> None:
    told = ask(command, "fraud", "--reason", reason)
    assert told.exit_code == 1
    assert "--reason must say why" in told.output
    assert not empty_home.exists()


def test_a_challenger_runs_in_one_way_at_a_time(ask: Ask) -> None:
    told = ask("challenge", "fraud", "--shadow", "--share", "0.1")
    assert told.exit_code == 2
    assert "exclude each other" in told.output


def test_a_replay_refuses_days_that_a_decision_or_a_model_knows(ask: Ask, prepared: Home) -> None:
    frame = pd.DataFrame({"as_of": [pd.Timestamp("2018-09-10")], "decision_id": ["d"], "verdict": ["wait"]})
    Lake.at(prepared).commit(lambda con: append_rows(con, "fraud.retrain_decision", frame), "a decision")
    told = ask(*["replay", "fraud", "--from", "2018-09-03", "--to", "2018-09-17"])
    assert told.exit_code == 1
    assert "decided on as of 2018-09-10" in told.output
    assert "--from 2018-09-10" in told.output


def test_a_replay_without_speed_is_no_replay(ask: Ask) -> None:
    assert ask(*["replay", "fraud", "--from", "2018-09-03", "--to", "2018-09-10", "--speed", "0"]).exit_code == 2


def test_up_names_the_port_that_is_taken_and_starts_nothing(ask: Ask, empty_home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = ask("up", "--port", str(port - 1))
    assert told.exit_code == 1
    assert f"{port} (MLflow)" in told.output
    assert not empty_home.exists()


@pytest.mark.slow
def test_setup_twice_keeps_what_a_person_changed(run: Run) -> None:
    first = run("setup")
    assert first.returncode == 0, first.stderr
    settings = Path(first.stdout.removeprefix("home ready: ").strip()) / "dagster" / "dagster.yaml"
    changed = settings.read_text().replace("max_concurrent_runs: 2", "max_concurrent_runs: 1")
    settings.write_text(changed)
    assert run("setup").returncode == 0
    assert settings.read_text() == changed
    assert run("doctor").returncode == 0
    assert json.loads(run("status", "--json").stdout)["use_cases"][0]["rows"] == {}


@pytest.mark.slow
def test_a_selection_that_selects_nothing_is_said_before_anything_runs(run: Run) -> None:
    told = run("run", "fraud", "--select", "key:fraud/nothing")
    assert told.returncode == 1
    assert "--select 'key:fraud/nothing' selects no asset" in told.stderr
    assert "Traceback" not in told.stderr


def test_the_selection_of_the_help_leaves_out_what_a_job_of_its_own_runs(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """`champion+` takes in the rollback, which asks for a reason that a run does not give."""
    job = defs().resolve_job_def("fraud_everything")
    chosen = [key.path[-1] for key in _selected(job, "key:fraud/champion+")]
    assert {"champion", "bento", "deployment"} <= set(chosen)
    assert "rollback" not in chosen
    assert "since a job of its own runs it: rollback\n" in capsys.readouterr().out


def test_a_selection_of_nothing_but_what_a_job_of_its_own_runs_is_refused(home: Home) -> None:
    job = defs().resolve_job_def("fraud_everything")
    with pytest.raises(SpecError, match=r"selects only what a job of its own runs \(rollback\)"):
        _selected(job, "key:fraud/rollback")


@pytest.mark.slow
def test_the_selection_of_the_help_runs_into_what_is_missing_and_into_no_traceback(run: Run) -> None:
    told = run("run", "fraud", "--select", "key:fraud/champion+")
    assert told.returncode == 1
    assert "Traceback" not in told.stderr
    assert "left out of --select" in told.stdout
