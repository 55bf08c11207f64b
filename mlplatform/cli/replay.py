"""`mlplatform replay`: history lived through again, a few days at a time, by the real stages and the real service.

Each step is what a living system does in that time: the days arrive, the service scores their events, labels that have
come since find their predictions, the reports are made, a decision is taken, and if it says so, a model is trained and
deployed under the running service. All of it are ordinary runs: they stand in the Dagster UI while it goes on.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click
import httpx
from filelock import FileLock, Timeout

from mlplatform.cli.run import run_job
from mlplatform.cli.serve import find_service, own_key, start_live
from mlplatform.errors import PlatformError, SpecError
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.serving.codec import dumps
from mlplatform.serving.launch import stop_service
from mlplatform.spec import Declaration, load_declaration

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["json_rows", "replay_use_case"]

_ROWS_PER_REQUEST = 1000
_MOST_WAITING = 5000
"""Predictions that may wait to be journalled before more are asked for: a full queue turns them away."""
_MONITORING = ("prediction_log", "outcomes", "drift_report", "performance_report", "succession", "retrain_decision")


@dataclass
class _Tally:
    """What one step did."""

    served: int = 0
    refused: int = 0
    """Rows that break the contract: a service answers 422 for them."""


def replay_use_case(name: str, start: str, end: str, step: int, speed: float | None) -> bool:
    """Replay [start, end) `step` days at a time; True when every run went well.

    Raises:
        SpecError: there is no such use case, the dates make no sense, or a model or a decision knows later days.
        PlatformError: another replay of it goes on, or the service cannot be started.
    """
    uc = load_declaration(name)
    steps = list(_steps(_day("--from", start), _day("--to", end), step))
    if not steps:
        raise SpecError(f"--from {start} is not before --to {end}")
    home = Home.current()
    with _alone(home, uc):
        _refuse_what_was_lived(uc, Lake.at(home), steps[0][0])
        if not home.deployment(name).exists() and not _first_model(uc, steps[0][0]):
            return False
        with _service(home, uc) as url:
            return _take_in_the_journal(uc, home) and all(
                _live_through(uc, home, url, first, behind, speed) for first, behind in steps
            )


def _refuse_what_was_lived(uc: Declaration, lake: Lake, first: date) -> None:
    """A model that has learned from later days would be judged on what it knows, and later decisions be acted on."""
    from mlplatform.stages.champion import champion_table
    from mlplatform.stages.retrain_decision import decision_table

    told = [table for table in (champion_table(uc), decision_table(uc)) if lake.has_table(table)]
    if not told:
        return
    with lake.read() as con:
        moments = [con.execute(f"SELECT max(as_of)::TIMESTAMP FROM {table}").fetchone() for table in told]
    newest = max((moment[0] for moment in moments if moment and moment[0]), default=datetime.min)
    if newest > datetime.combine(first, datetime.min.time()):
        raise SpecError(
            f"{uc.spec.name} has been trained or decided on as of {newest:%Y-%m-%d}; replaying from {first} would show "
            f"models days that they know. Go on from there (--from {newest:%Y-%m-%d}), or begin in a home of its own: "
            f"MLPLATFORM_HOME=<an empty folder> mlplatform replay {uc.spec.name} ..."
        )


def _steps(first: date, behind: date, days: int) -> Iterator[tuple[date, date]]:
    while first < behind:
        after = min(first + timedelta(days=days), behind)
        yield first, after
        first = after


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise SpecError(f"{option} takes a day like 2018-08-01, not {text!r}") from None


@contextmanager
def _alone(home: Home, uc: Declaration) -> Iterator[None]:
    """The sensors of a running `mlplatform up` rest while this lock is held: time is moved from here."""
    from mlplatform.stages.replaying import replay_lock

    path = replay_lock(home, uc)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=0):
            yield
    except Timeout:
        raise PlatformError(f"another replay of {uc.spec.name} goes on; wait for it or end it") from None


@contextmanager
def _service(home: Home, uc: Declaration) -> Iterator[str]:
    """The running service, else one that ends with the replay."""
    url = _running(uc)
    if url is not None:
        yield url
        return
    from mlplatform.cli.demo import free_port

    served = start_live(uc.spec.name, free_port(), home)
    click.echo(f"{uc.spec.name} answers at {served.url} until the replay ends")
    try:
        yield served.url
    finally:
        stop_service(served.pid)


def _running(uc: Declaration) -> str | None:
    try:
        return find_service(uc.spec.name)
    except PlatformError:
        return None


def _first_model(uc: Declaration, first: date) -> bool:
    """Everything, on the days before the replay begins."""
    from mlplatform.stages.jobs import everything_job

    click.secho(f"\n{uc.spec.name}: nothing is deployed; training on what was known on {first}", bold=True)
    return run_job(uc, everything_job(uc), lambda: _tags(uc, _beginning(uc), first))


def _beginning(uc: Declaration) -> date:
    partitioned = uc.spec.partitioned_sources
    return date.fromisoformat(partitioned[0].start or "") if partitioned else date.min


def _tags(uc: Declaration, first: date, behind: date) -> dict[str, str]:
    """Of a run over [first, behind), as of its end."""
    from mlplatform.stages.clock import AS_OF_TAG
    from mlplatform.stages.jobs import range_tags, use_case_tags

    moment = datetime.combine(behind, datetime.min.time()).isoformat()
    return {**use_case_tags(uc), **range_tags(uc, first, behind), AS_OF_TAG: moment}


def _live_through(uc: Declaration, home: Home, url: str, first: date, behind: date, speed: float | None) -> bool:
    began, name = time.monotonic(), uc.spec.name
    click.secho(f"\n{name}: {first} to before {behind}", bold=True)
    from mlplatform.stages.jobs import everything_job

    ahead = f"+key:{name}/features"
    if uc.spec.partitioned_sources and not run_job(
        uc, everything_job(uc), lambda: _tags(uc, first, behind), select=ahead
    ):
        return False
    tally = _score(uc, home, url, first, behind)
    watched = " or ".join(f"key:{name}/{stage}" for stage in _MONITORING)
    moment = {k: v for k, v in _tags(uc, first, behind).items() if not k.startswith("dagster/")}
    if not run_job(uc, everything_job(uc), lambda: moment, select=watched):
        return False
    well = _retrain(uc)
    _tell(uc, home, behind, tally)
    if speed:
        time.sleep(max(0.0, (behind - first).days / speed - (time.monotonic() - began)))
    return well


def _retrain(uc: Declaration) -> bool:
    """What the sensors would ask for, if anything: to take a champion back, or to train. False where the run broke."""
    import dagster as dg

    from mlplatform.stages.jobs import training_job
    from mlplatform.stages.retrain import settled, wanted_run
    from mlplatform.stages.retrain_decision import DECISION_TAG
    from mlplatform.stages.succession import wanted_rollback

    with dg.DagsterInstance.from_config(str(Home.current().dagster)) as instance:
        asked = wanted_rollback(instance, uc)
        if isinstance(asked, dg.SkipReason):
            asked = wanted_run(instance, uc)
    if isinstance(asked, dg.SkipReason):
        return True
    keys = asked.asset_selection
    select = " or ".join(f"key:{'/'.join(key.path)}" for key in keys) if keys else None
    if run_job(uc, asked.job_name or training_job(uc), lambda: dict(asked.tags), select, asked.run_config):
        return True
    # A challenger that a gate refuses fails its run, and the champion stays: that is no fault of the replay.
    return DECISION_TAG in asked.tags and settled(uc)


def _score(uc: Declaration, home: Home, url: str, first: date, behind: date) -> _Tally:
    """Every event of the days, as an application would ask: features, keys and time. Those that a replay asked for
    before it was killed are in the log, and are not asked for again.

    Raises PlatformError where the service lost predictions, which no report would miss.
    """
    from mlplatform.lake.predictions import not_served, register_hash
    from mlplatform.stages.outcomes import key_hash

    tally = _Tally()
    bounds = [datetime.combine(day, datetime.min.time()) for day in (first, behind)]
    features = _served_features(url)
    columns = ", ".join(dict.fromkeys([*features, *uc.spec.entity_keys, uc.spec.event_time]))
    time_column = uc.spec.event_time
    with (
        Lake.at(home).read() as con,
        httpx.Client(base_url=url, headers=own_key(), timeout=60, trust_env=False) as client,
    ):
        register_hash(con, uc.spec, key_hash(uc))
        reader = con.execute(
            f"SELECT {columns} FROM {uc.spec.name}.features AS s WHERE {time_column} >= ? AND {time_column} < ? "
            f"AND {not_served(con, uc.spec)} ORDER BY {time_column}",
            bounds,
        ).to_arrow_reader(_ROWS_PER_REQUEST)
        lost_before = _lost(client)
        for batch in reader:
            _ask(client, json_rows(batch, time_column), tally)
            _wait_for_the_journal(client, _MOST_WAITING)
        _wait_for_the_journal(client)
        if lost := _lost(client) - lost_before:
            raise PlatformError(
                f"the service could not write down {lost:,.0f} predictions of {first} to {behind}: its log says why. "
                f"Then run it again with --from {first}, which asks for those that are missing"
            )
    return tally


def _served_features(url: str) -> list[str]:
    told = httpx.get(f"{url}/openapi.json", headers=own_key(), timeout=30, trust_env=False)
    if told.status_code != httpx.codes.OK:
        raise PlatformError(f"the service answered {told.status_code}: {told.text[:300]}")
    return list(told.json()["components"]["schemas"]["Row"]["required"])


def json_rows(batch: "pa.RecordBatch", time_column: str) -> list[dict[str, Any]]:
    """Rows as a request has them."""
    rows = [{name: _plain(value) for name, value in row.items()} for row in batch.to_pylist()]
    return [{**row, time_column: row[time_column].isoformat()} for row in rows]


def _plain(value: Any) -> Any:
    """DuckDB's sums of whole numbers are decimals, which JSON does not have."""
    return float(value) if isinstance(value, Decimal) else value


def _ask(client: httpx.Client, rows: list[dict[str, Any]], tally: _Tally) -> None:
    """Rows that the service names as wrong are left out, and the others asked again."""
    while rows:
        body = dumps({"rows": rows, "explain": False})
        reply = client.post("/predict", content=body, headers={"content-type": "application/json"})
        if reply.status_code == httpx.codes.OK:
            tally.served += len(rows)
            return
        wrong = {problem["row"] for problem in reply.json().get("problems", [])}
        if reply.status_code != httpx.codes.UNPROCESSABLE_ENTITY or not wrong:
            raise PlatformError(f"the service answered {reply.status_code}: {reply.text[:300]}")
        tally.refused += len(wrong)
        rows = [row for number, row in enumerate(rows) if number not in wrong]


def _take_in_the_journal(uc: Declaration, home: Home) -> bool:
    """What a replay asked for before it was killed: the log must know it before the same days are asked for."""
    from mlplatform.serving.segments import segments
    from mlplatform.stages.jobs import everything_job, use_case_tags

    if not any(True for _ in segments(home.journal(uc.spec.name))):
        return True
    return run_job(uc, everything_job(uc), lambda: use_case_tags(uc), select=f"key:{uc.spec.name}/prediction_log")


def _wait_for_the_journal(client: httpx.Client, most: int = 0, seconds: float = 30) -> None:
    """Until the service has written down what it answered, but for `most` predictions."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if _journalled(client, "waiting") <= most:
            return
        time.sleep(0.1)
    raise PlatformError(f"the journal was not written within {seconds:.0f} s; see the service's log")


def _lost(client: httpx.Client) -> float:
    """Predictions that a full queue turned away, or that the disk refused."""
    return _journalled(client, "dropped") + _journalled(client, "failed")


def _journalled(client: httpx.Client, what: str) -> float:
    """A figure of the journal, over all workers."""
    lines = client.get("/metrics").text.splitlines()
    names = (f"mlplatform_journal_{what}{{", f"mlplatform_journal_{what}_total{{")
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(names))


def _tell(uc: Declaration, home: Home, behind: date, tally: _Tally) -> None:
    """One line: what was served, how well, what was decided, what is live."""
    from mlplatform.stages.performance_report import performance_windows
    from mlplatform.stages.retrain_decision import newest_decision

    lake = Lake.at(home)
    live = json.loads(home.deployment(uc.spec.name).read_text())["version"]
    decision = newest_decision(uc, lake)
    mature = [w for w in performance_windows(uc, lake, int(live)) if w.state == "mature"]
    figure = f"{mature[-1].metric} {mature[-1].value:.3f}" if mature else "nothing mature yet"
    refused = f", {tally.refused} refused" if tally.refused else ""
    said = f"{decision['verdict']}: {decision['reason']}" if decision else "no decision"
    click.secho(f"as of {behind}: {tally.served:,} served{refused} · {figure} · live v{live} · {said}", fg="cyan")
