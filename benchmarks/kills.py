"""The loop killed (SIGKILL) at every stage, again and again: is anything lost or doubled, and does it go on?

    python -m benchmarks.kills [--json] [--rounds 2]

The small fraud use case of the tests lives through 126 days in a process of its own, which does what the daemon does:
it asks the sensors and runs what they ask for. Its service answers an application all the time. Whenever the stage on
the list begins, the process is killed some moments later and started anew; the service is killed as often. At the end
one process lives on in peace. Then every row is counted against what must be there.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

STAGES = (
    *("raw_transactions", "features", "prediction_log", "outcomes", "performance_report"),
    *("candidate_lightgbm", "champion", "bento", "deployment"),
)
SENSORS = ("fraud_healing", "fraud_succession", "fraud_retrain", "fraud_new_data")
TRAINED_UNTIL, DAYS = 70, 126
PATIENCE_SECONDS = 1500.0
BEGINS = "begins "


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--json", action="store_true")
    asked.add_argument("--rounds", type=int, default=2)
    asked.add_argument("--live", action="store_true", help=argparse.SUPPRESS)
    asked.add_argument("--first", action="store_true", help=argparse.SUPPRESS)
    asked.add_argument("--last", action="store_true", help=argparse.SUPPRESS)
    options = asked.parse_args()
    if options.live:
        live(first=options.first, last=options.last)
        return
    found = measure(options.rounds)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for stage, kills in found["kills"].items():
        print(f"{stage:<24}{kills:>4} killed")
    for name, value in found["found"].items():
        print(f"{name:<40}{value}")


# --- the process that is killed


def live(*, first: bool, last: bool) -> None:
    """Ask the sensors and run what they ask for, until none of them asks for anything."""
    from mlplatform.cli.orphans import end_orphans
    from mlplatform.cli.setup import prepare_home
    from mlplatform.home import Home
    from mlplatform_tests.small_fraud import Platform, dagster_home

    prepare_home(Home.current())
    with dagster_home(Home.current().dagster) as instance:
        platform = Platform(declaration(), instance)
        if first:
            assert platform.run(days=TRAINED_UNTIL).success
            list(asked_for(platform, begin=True))
            return
        if last:
            assert platform.run(["prediction_log", "outcomes", "performance_report"]).success
            return
        end_orphans(instance)
        watch = _Watch()
        while requests := list(asked_for(platform)):
            for request in requests:
                watch.follow(instance, platform, request)


def declaration() -> Any:
    from mlplatform_tests.small_fraud import small_fraud

    return small_fraud(
        days=DAYS,
        drift={"start_day": 84, "kind": "amounts", "size": 3.0},
        policy={"kind": "drift", "cool_down_days": 35, "attempts": 50},
        healing=[{"when": "run", "remedy": "retry", "attempts": 50, "backoff_seconds": 0}],
    )


def asked_for(platform: Any, *, begin: bool = False) -> Iterator[Any]:
    """What the first sensor asks for that asks for anything; healing first, as it owns what has died.

    Cursors are kept as the daemon keeps them: after each tick, on disk.
    """
    from mlplatform.home import Home

    kept = Home.current().root / "cursors.json"
    platform._cursors = json.loads(kept.read_text()) if kept.exists() else {}
    for sensor in ["fraud_healing"] if begin else SENSORS:
        requests = platform.tick(sensor).requests
        kept.with_suffix(".new").write_text(json.dumps(platform._cursors))
        kept.with_suffix(".new").replace(kept)
        if requests:
            yield requests[0]
            return


class _Watch:
    """Tells on standard output which stage begins: the other process decides whether this one lives on."""

    def follow(self, instance: Any, platform: Any, request: Any) -> None:
        import uuid

        run_id = str(uuid.uuid4())
        instance.add_event_listener(run_id, self)
        from mlplatform.stages.jobs import training_job

        job = request.job_name or training_job(platform.declaration)
        platform.definitions.resolve_job_def(job).execute_in_process(
            instance=instance,
            run_id=run_id,
            tags=dict(request.tags),
            run_config=request.run_config or None,
            asset_selection=list(request.asset_selection or []) or None,
            raise_on_error=False,
        )

    def __call__(self, entry: Any) -> None:
        event = entry.dagster_event
        if event is not None and event.event_type_value == "STEP_START":
            step = str(entry.step_key)
            # dbt's models are one step.
            print(f"{BEGINS}{'features' if 'dbt' in step else step.removeprefix('fraud__')}", flush=True)


# --- the process that kills


@dataclass
class _Application:
    """Scores each event once, as its features arrive, and remembers what was answered and when."""

    home: Any
    answered: dict[int, float] = field(default_factory=dict)
    url: str = ""

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(0.5):
            # A service that was killed is away for a moment: an application asks again.
            with suppress(httpx.HTTPError):
                self._ask()

    def _ask(self) -> None:
        from mlplatform.lake.lake import Lake

        with httpx.Client(base_url=self.url, timeout=30, trust_env=False) as client:
            names = client.get("/openapi.json").json()["components"]["schemas"]["Row"]["required"]
            columns = ", ".join([*names, "transaction_id", "event_time"])
            with Lake.at(self.home).read() as con:
                rows = con.execute(
                    f"SELECT {columns} FROM fraud.features WHERE event_time >= DATE '2018-04-01' + {TRAINED_UNTIL} "
                    "ORDER BY event_time, transaction_id"
                ).to_arrow_table()
            new = [row for row in rows.to_pylist() if row["transaction_id"] not in self.answered]
            for start in range(0, len(new), 50):
                part = [{**row, "event_time": row["event_time"].isoformat()} for row in new[start : start + 50]]
                client.post("/predict", json={"rows": part, "explain": False}).raise_for_status()
                now = time.time()
                self.answered.update({row["transaction_id"]: now for row in part})


def measure(rounds: int) -> dict[str, Any]:
    from mlplatform.home import Home

    with tempfile.TemporaryDirectory(prefix="mlplatform-kills-") as folder:
        for name, value in Home(Path(folder)).environment().items():
            os.environ[name] = value
        home = Home.current()
        _begin("--first").wait(timeout=PATIENCE_SECONDS)
        application, kills = _Application(home), Counter[str]()
        with _service(home, application, rounds) as service_kills, _asking(application):
            waiting = [stage for _ in range(rounds) for stage in STAGES]
            random.Random(0).shuffle(waiting)
            while _live_and_kill(waiting, kills):
                pass
            _begin().wait(timeout=PATIENCE_SECONDS)
            time.sleep(5)
        kills["service, with its worker and journal"] = len(service_kills)
        _begin("--last").wait(timeout=PATIENCE_SECONDS)
        return {"kills": dict(kills), "found": counted(home, application, service_kills), "not_reached": waiting}


def _begin(*options: str, **piped: Any) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "benchmarks.kills", "--live", *options]
    piped.setdefault("stdout", subprocess.DEVNULL)
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, text=True, start_new_session=True, **piped)


def _live_and_kill(waiting: list[str], kills: Counter[str]) -> bool:
    """Kill the process in the first stage on the list that begins; False when it came to its end."""
    process = _begin(stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as told:
        for line in told:
            stage = line.strip().removeprefix(BEGINS)
            if not line.startswith(BEGINS) or stage not in waiting:
                continue
            time.sleep(random.uniform(0, 2))
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                waiting.remove(stage)
                kills[stage] += 1
            process.wait()
            return True
    process.wait()
    return False


@contextmanager
def _service(home: Any, application: _Application, rounds: int) -> Iterator[list[float]]:
    """A service that is killed now and then and started anew; the moments of the kills."""
    from mlplatform.cli.demo import free_port
    from mlplatform.cli.serve import start_live
    from mlplatform.serving.launch import stop_service

    served = start_live("fraud", free_port(), home)
    application.url, killed, stop = served.url, list[float](), threading.Event()

    def kill_now_and_then() -> None:
        nonlocal served
        while len(killed) < 2 * rounds and not stop.wait(20):
            # The worker, which answers and journals, has a process group of its own.
            for pid in [served.pid, *_below(served.pid)]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            killed.append(time.time())
            with suppress(ChildProcessError):
                os.waitpid(served.pid, 0)
            served = start_live("fraud", free_port(), home)
            application.url = served.url

    thread = threading.Thread(target=kill_now_and_then)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join()
        stop_service(served.pid)


def _below(pid: int) -> list[int]:
    """Every process below one, its children's children too."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name, in brackets, may hold anything.
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    children = [child for child, parent in parents.items() if parent == pid]
    return [each for child in children for each in (child, *_below(child))]


@contextmanager
def _asking(application: _Application) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=application.run, args=[stop])
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def counted(home: Any, application: _Application, service_kills: list[float]) -> dict[str, Any]:
    """What is there, beside what must be there."""
    from mlplatform.lake.lake import Lake
    from mlplatform.resources.tracking import Tracking

    with Lake.at(home).read() as con:
        raw = con.execute("SELECT count(*), count(DISTINCT transaction_id) FROM raw_fraud.transactions").fetchone()
        log = con.execute("SELECT prediction_id, transaction_id FROM fraud.prediction_log").fetchall()
        outcomes = con.execute("SELECT count(*), count(DISTINCT prediction_id) FROM fraud.outcomes").fetchone()
        labelled = con.execute(
            "SELECT count(*) FROM fraud.prediction_log l "
            "JOIN fraud.spine s ON l.transaction_id = s.transaction_id::VARCHAR WHERE s.label IS NOT NULL "
            "AND s.label_known_at <= (SELECT max(as_of) FROM fraud.retrain_decision)"
        ).fetchone()
        decisions = con.execute("SELECT max(as_of)::DATE FROM fraud.retrain_decision").fetchone()
    assert raw
    assert outcomes
    assert labelled
    assert decisions
    kept = Counter(int(key) for _, key in log)
    lost = [key for key in application.answered if key not in kept]
    ages = [_age(application.answered[key], service_kills) for key in lost]
    versions = Tracking().versions("fraud")
    live = json.loads(home.deployment("fraud").read_text())["version"]
    return {
        "raw rows": raw[0],
        "raw rows doubled": raw[0] - raw[1],
        "predictions answered": len(application.answered),
        "predictions lost": len(lost),
        "oldest lost prediction, s before its kill": round(max(ages, default=0.0), 2),
        "predictions with one id twice": len(log) - len({identity for identity, _ in log}),
        "labels missing": labelled[0] - outcomes[0],
        "labels doubled": outcomes[0] - outcomes[1],
        "versions": versions,
        "live version": live,
        "newest decision": str(decisions[0]),
    }


def _age(answered: float, kills: list[float]) -> float:
    """Seconds from an answer to the next kill of the service."""
    return min((kill - answered for kill in kills if kill >= answered), default=float("inf"))


if __name__ == "__main__":
    main()
