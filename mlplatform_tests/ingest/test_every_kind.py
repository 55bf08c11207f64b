"""What holds for a source of every kind that goes on: late and repeated rows, and columns that come and go."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from mlplatform.home import Home
from mlplatform_tests.brokers import PASSWORD, USER, nats_server
from mlplatform_tests.databases import UserDatabase
from mlplatform_tests.feeding import CONTRACT, Feeding
from mlplatform_tests.web import Answer, Asked, web_server

Row = dict[str, Any]
Send = Callable[[list[Row]], None]
KINDS = ["files", "sql", "rest", "stream", "python"]
FUNCTION = """
import pandas as pd


def readings(params, cursor):
    rows = pd.read_json({path!r}, lines=True, convert_dates=False)
    rows = rows[rows["change"] > int(cursor or 0)]
    if len(rows):
        yield rows.dropna(axis="columns", how="all"), str(rows["change"].max())
"""


def row(number: int, change: int, **more: Any) -> Row:
    """Reading `number` as its `change`, counted over all of them, left it."""
    given = {"reading_id": number, "event_time": "2024-01-02 10:00:00", "sensor": "a", "value": 1.5, "change": change}
    return given | more


class World:
    """A source of one kind, and how its rows come."""

    def __init__(self, kind: str, folder: Path, database: Callable[[str], UserDatabase], servers: ExitStack) -> None:
        (folder / "contract.py").write_text(CONTRACT + "    change: int\n")
        self._kind, self._folder, self._sent = kind, folder, list[Row]()
        self._source: dict[str, Any] = {"kind": kind}
        if kind == "files":
            self._source |= {"path": str(folder / "*.csv"), "new_files": True}
        elif kind == "sql":
            self._database = database("sqlite")
            self._source |= {"database": self._database.declared, "table": "readings", "cursor": {"column": "change"}}
        elif kind == "rest":
            web = servers.enter_context(web_server(self._answer))
            cursor = {"param": "since", "column": "change", "ascending": True}
            self._source |= {"url": web.url("/readings"), "rows": "items", "cursor": cursor}
        elif kind == "python":
            (folder / "source.py").write_text(FUNCTION.format(path=str(folder / "rows.jsonl")))
            self._source |= {"function": "readings"}
        else:
            self._server = nats_server(folder)
            servers.enter_context(self._server.up())
            self._server.make_stream()
            login = {"user_variable": "BROKER_USER", "password_variable": "BROKER_PASSWORD"}
            self._source |= {"broker": {"kind": "nats", "url": self._server.url, "stream": "PLANT", **login}}

    def declared(self, **fields: Any) -> Feeding:
        return Feeding(self._folder, self._source | fields)

    def send(self, rows: list[Row]) -> None:
        before, self._sent = self._sent, self._sent + rows
        if self._kind == "files":
            pacsv.write_csv(pa.Table.from_pylist(rows), self._folder / f"{len(before)}.csv")
        elif self._kind == "sql":
            self._insert(rows, first=not before)
        elif self._kind == "python":
            (self._folder / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in self._sent))
        elif self._kind == "stream":
            self._server.publish(rows)

    def _insert(self, rows: list[Row], *, first: bool) -> None:
        if first:
            self._database.store("readings", pa.Table.from_pylist(rows))
            return
        for name in [name for name in rows[0] if not any(name in one for one in self._sent[: -len(rows)])]:
            self._database.run(f"ALTER TABLE readings ADD COLUMN {name} TEXT")
        for name in [name for name in self._sent[0] if name not in rows[0]]:
            self._database.run(f"ALTER TABLE readings DROP COLUMN {name}")
        self._database.insert("readings BY NAME", pa.Table.from_pylist(rows))

    def _answer(self, asked: Asked) -> Answer:
        rows = [one for one in self._sent if one["change"] >= int(asked.query.get("since", 0))]
        return Answer(json.dumps({"items": rows}).encode(), headers={"Content-Type": "application/json"})


@pytest.fixture(params=KINDS)
def world(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    home: Home,
    user_database: Callable[[str], UserDatabase],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    monkeypatch.setenv("BROKER_USER", USER)
    monkeypatch.setenv("BROKER_PASSWORD", PASSWORD)
    with ExitStack() as servers:
        made = World(request.param, tmp_path, user_database, servers)
        made.send([row(1, 1), row(2, 2)])
        yield made


def test_a_repeated_row_is_the_same_row_a_later_change_counts_and_a_late_row_is_taken(world: World) -> None:
    source = world.declared()
    assert source.ingested()["rows_new_or_changed"] == 2
    assert source.ingested()["rows_new_or_changed"] == 0
    late = row(3, 5, event_time="2019-05-01 00:00:00")
    world.send([row(1, 3, value=2.5), row(1, 4, value=3.5), late])
    assert source.ingested()["rows_new_or_changed"] == 2
    assert source.rows("reading_id, value, year(event_time)") == [(1, 3.5, 2024), (2, 1.5, 2024), (3, 1.5, 2019)]
    assert source.quarantined() == []


def test_a_new_column_is_left_out_and_named(world: World) -> None:
    world.declared().ingested()
    world.send([row(3, 3, unit="bar")])
    assert world.declared().ingested()["columns_not_in_the_contract"] == "unit"
    assert world.declared().ids() == [1, 2, 3]


def test_evolve_adds_a_new_column_as_text(world: World) -> None:
    source = world.declared(schema_change="evolve")
    source.ingested()
    world.send([row(3, 3, unit="bar")])
    source.ingested()
    assert source.rows("reading_id, unit") == [(1, None), (2, None), (3, "bar")]


def test_freeze_refuses_a_batch_with_a_new_column_and_the_cursor_stays(world: World) -> None:
    source = world.declared(schema_change="freeze")
    source.ingested()
    cursor = source.cursor()
    world.send([row(3, 3, unit="bar")])
    assert "the source has a new column unit, and `schema_change: freeze` takes none" in source.refused()
    assert (source.cursor(), source.ids()) == (cursor, [1, 2])
    world.declared().ingested()
    assert source.ids() == [1, 2, 3]


def test_quarantine_puts_the_rows_aside_that_hold_a_value_in_a_new_column(world: World) -> None:
    source = world.declared(schema_change="quarantine")
    source.ingested()
    world.send([row(3, 3, unit="bar"), *[row(i, i, unit=None) for i in range(4, 300)]])
    source.ingested()
    assert source.ids() == [1, 2, *range(4, 300)]
    ((reason, _),) = source.quarantined()
    assert "unit 'bar' is a column that the contract does not name" in reason


def test_a_column_that_is_gone_is_said_and_nothing_of_it_is_lost(world: World) -> None:
    source = world.declared(tolerated_messages=0) if world.declared().source["kind"] == "stream" else world.declared()
    source.ingested()
    cursor = source.cursor()
    gone = row(3, 3)
    del gone["value"]
    world.send([gone])
    assert "value" in (told := source.refused())
    assert "missing" in told
    assert (source.cursor(), source.ids()) == (cursor, [1, 2])
