"""A range of days, chosen in the UI and read once more: Dagster's web server, its daemon, real sources."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from mlplatform.cli.processes import start_part, stop_parts
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform_tests.databases import UserDatabase
from mlplatform_tests.feeding import CONTRACT
from mlplatform_tests.processes import accepts, free_port
from mlplatform_tests.small_fraud import dagster_home
from mlplatform_tests.web import Answer, Asked, web_server

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 480
DEFINITIONS = "mlplatform_tests.ingest.backfill_platform"
LAUNCH = """
mutation($given: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $given) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}
"""
STATUS = "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"
DAYS = [f"2024-01-{day:02}" for day in range(1, 11)]
KINDS = ["files", "sql", "rest"]


def rows(value: float) -> pa.Table:
    """A reading a day."""
    return pa.table(
        {
            "reading_id": list(range(1, 11)),
            "event_time": [f"{day} 10:00:00" for day in DAYS],
            "sensor": ["a"] * 10,
            "value": [value] * 10,
        }
    )


class Shop:
    """The same readings as a file, in a database and behind an API, all of which can be put right at once."""

    def __init__(self, folder: Path, database: UserDatabase, servers: ExitStack) -> None:
        self._file, self._database = folder / "readings.csv", database
        pacsv.write_csv(rows(1.0), self._file)
        at = pa.array([datetime.fromisoformat(text) for text in rows(1.0)["event_time"].to_pylist()])
        database.store("readings", rows(1.0).set_column(1, "event_time", at))
        self._rows = rows(1.0).to_pylist()
        web = servers.enter_context(web_server(self._answer))
        given = {"key": ["reading_id"], "start": DAYS[0], "end": DAYS[-1]}
        days = {"start": "from", "end": "to", "end_is_included": True}
        self.sources: list[dict[str, Any]] = [
            {"name": "files", "kind": "files", "path": str(self._file), **given},
            {"name": "sql", "kind": "sql", "database": database.declared, "table": "readings", **given},
            {"name": "rest", "kind": "rest", "url": web.url("/readings"), "rows": "items", "days": days, **given},
        ]

    def put_right(self) -> None:
        pacsv.write_csv(rows(2.0), self._file)
        self._database.run("UPDATE readings SET value = 2")
        self._rows = rows(2.0).to_pylist()

    def _answer(self, asked: Asked) -> Answer:
        first, last = asked.query["from"], asked.query["to"]
        found = [row for row in self._rows if first <= row["event_time"][:10] <= last]
        return Answer(json.dumps({"items": found}).encode(), headers={"Content-Type": "application/json"})


@pytest.fixture
def dagster(
    prepared: Home, tmp_path: Path, user_database: Callable[[str], UserDatabase]
) -> Iterator[tuple[Shop, Callable[[list[str]], None]]]:
    """The shop, and what a person does in the UI: choose the assets and days, and wait."""
    with ExitStack() as servers:
        shop = Shop(tmp_path, user_database("postgres"), servers)
        (tmp_path / "sources.json").write_text(json.dumps(shop.sources))
        (tmp_path / "contract.py").write_text(
            "".join(CONTRACT.replace("class Readings", f"class {kind.capitalize()}") for kind in KINDS)
        )
        environment = {**os.environ, "MLPLATFORM_TESTS_SOURCES": str(tmp_path), "PYTHONPATH": str(ROOT)}
        port = free_port()
        web = ["-m", "dagster_webserver", "-m", DEFINITIONS, "-h", "127.0.0.1", "-p", str(port)]
        with dagster_home(prepared.dagster) as instance:
            # Two processes at once would both make its databases.
            instance.get_runs(limit=1)
            instance.all_instigator_state()
        for name, command in (("web", web), ("daemon", ["-m", "dagster._daemon", "run", "-m", DEFINITIONS])):
            part = start_part(name, 0, [sys.executable, *command], logs=tmp_path, folder=ROOT, environment=environment)
            servers.callback(stop_parts, [part])
        wait_for(lambda: accepts(port), "the web server does not start")
        yield shop, lambda days: backfill(f"http://127.0.0.1:{port}/graphql", days)


def wait_for(ready: Callable[[], Any], otherwise: str) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        assert time.monotonic() < until, otherwise
        time.sleep(0.2)


def backfill(url: str, days: list[str]) -> None:
    def ask(query: str, **variables: Any) -> Any:
        answer = httpx.post(url, json={"query": query, "variables": variables}, timeout=60).json()
        assert "errors" not in answer, answer
        return next(iter(answer["data"].values()))

    chosen = [{"path": ["fraud", f"raw_{kind}"]} for kind in KINDS]
    given = {"assetSelection": chosen, "partitionNames": days, "title": "put right"}
    launched = ask(LAUNCH, given=given)
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    seen: list[str] = []

    def over() -> bool:
        seen.append(ask(STATUS, id=launched["backfillId"])["status"])
        return seen[-1] not in {"REQUESTED", "COMPLETING"}

    wait_for(over, "the backfill does not end")
    assert seen[-1] == "COMPLETED_SUCCESS"


def stored(home: Home, source: str) -> dict[str, float]:
    """Day -> value."""
    with Lake.at(home).read() as con:
        found = con.execute(f"SELECT event_time::DATE::VARCHAR, value FROM raw_fraud.{source} ORDER BY 1").fetchall()
    return dict(found)


@pytest.mark.slow
def test_a_range_of_days_that_is_chosen_in_the_ui_is_read_and_read_again_and_no_other(
    dagster: tuple[Shop, Callable[[list[str]], None]], home: Home
) -> None:
    shop, choose = dagster
    choose(DAYS[:6])
    for kind in KINDS:
        assert stored(home, kind) == dict.fromkeys(DAYS[:6], 1.0)
    shop.put_right()
    choose(DAYS[2:4])
    for kind in KINDS:
        assert stored(home, kind) == dict.fromkeys(DAYS[:6], 1.0) | dict.fromkeys(DAYS[2:4], 2.0)
