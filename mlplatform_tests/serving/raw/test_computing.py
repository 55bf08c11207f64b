"""The service computes, of what an application knows, the very features that training would have seen."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mlplatform.home import Home
from mlplatform.lake.feature_query import FeatureQuery, HistoryTable
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import replace_table
from mlplatform.serving.raw.computing import Computing
from mlplatform.serving.raw.history import History
from mlplatform.serving.raw.keeper import LATE, PastKeeper
from mlplatform.serving.raw.seen import Seen
from mlplatform.serving.raw.settings import RawSettings
from mlplatform_tests.serving.raw.conftest import HISTORY

FIELDS = ["transaction_id", "event_time", "customer_id", "terminal_id", "amount"]


@pytest.fixture
def computing(settings: RawSettings, lake: Lake) -> Computing:
    keeper = PastKeeper(lake, settings.query)
    assert keeper.refresh(), keeper.problem
    return Computing.of(settings, keeper)


def trained(compiled: FeatureQuery, table: pa.Table) -> dict[int, dict[str, Any]]:
    return {row["transaction_id"]: row for row in compiled.run(table, {HISTORY: table}).to_pylist()}


def assert_equal(served: dict[str, Any], offline: dict[str, Any]) -> None:
    assert served["event_time"] == offline["event_time"]
    served, offline = ({name: row[name] for name in row if name != "event_time"} for row in (served, offline))
    none = [name for name, value in offline.items() if value is None]
    assert [name for name, value in served.items() if value is None] == none
    without = {name: value for name, value in served.items() if name not in none}
    assert without == pytest.approx({name: offline[name] for name in without}, rel=1e-9, nan_ok=True)


def test_batches_of_any_size_give_what_training_gave(
    computing: Computing, compiled: FeatureQuery, past: pa.Table
) -> None:
    """Each batch has other rows than the one that the plan was made with."""
    offline = trained(compiled, past)
    assert computing.keeper.past is not None
    recent = [
        event for event in past.select(FIELDS).to_pylist() if event["event_time"] >= computing.keeper.past.complete_from
    ]
    start = 0
    for size in (1, 2, 3, 16, 40, 1, 64):
        events = recent[start : start + size]
        start += size
        for event, rows in zip(events, computing.run(events, computing.keeper.past), strict=True):
            assert len(rows) == 1
            assert_equal(rows[0], offline[event["transaction_id"]])
    assert start <= len(recent)


def test_events_of_one_batch_see_those_before_them_as_training_does(
    computing: Computing, compiled: FeatureQuery, past: pa.Table
) -> None:
    """One customer four times in an hour, twice at one instant."""
    newest = past["event_time"][-1].as_py()
    events = [
        {
            "transaction_id": 10_000 + number,
            "event_time": newest + timedelta(minutes=minute),
            "customer_id": 3,
            "terminal_id": 5 + number,
            "amount": 20.0 * (number + 1),
        }
        for number, minute in enumerate((1, 11, 11, 40))
    ]
    more = pa.concat_tables([past, pa.Table.from_pylist(events, schema=past.schema)])
    offline = trained(compiled, more)
    assert computing.keeper.past is not None
    found = computing.run(events[::-1], computing.keeper.past, events)
    for event, rows in zip(events[::-1], found, strict=True):
        assert_equal(rows[0], offline[event["transaction_id"]])


def test_events_that_were_just_seen_are_part_of_the_past(
    computing: Computing, compiled: FeatureQuery, past: pa.Table
) -> None:
    """Three events of one customer, one after the other, as if the lake had known the earlier ones."""
    newest = past["event_time"][-1].as_py()
    events = [
        {
            "transaction_id": 10_000 + number,
            "event_time": newest + timedelta(minutes=10 * number + 1),
            "customer_id": 3,
            "terminal_id": 5,
            "amount": 20.0 * (number + 1),
        }
        for number in range(3)
    ]
    more = pa.concat_tables([past, pa.Table.from_pylist(events, schema=past.schema)])
    offline = trained(compiled, more)
    seen = Seen("transaction_id", ("customer_id", "terminal_id"))
    computing = replace(computing, seen=seen)
    assert computing.keeper.past is not None
    for event in events:
        (rows,) = computing.run([event], computing.keeper.past)
        assert_equal(rows[0], offline[event["transaction_id"]])
        seen.add([event])
    assert rows[0]["customer_hours_since_last"] == pytest.approx(1 / 6)
    # A retry sees its own earlier self as the same event, not as one more.
    (again,) = computing.run([events[2]], computing.keeper.past)
    assert_equal(again[0], rows[0])


def test_an_event_under_a_key_that_the_lake_knows_takes_the_place_of_the_row_there(
    computing: Computing, settings: RawSettings, past: pa.Table, tmp_path: Path
) -> None:
    *_, stored = past.select(FIELDS).to_pylist()
    corrected = {**stored, "amount": stored["amount"] * 50}
    assert computing.keeper.past is not None
    ((under_its_key,),) = computing.run([corrected], computing.keeper.past)
    without = Lake.at(Home(tmp_path / "without"))
    without.commit(lambda con: replace_table(con, HISTORY, past.slice(0, past.num_rows - 1)), "all but the last")
    keeper = PastKeeper(without, settings.query)
    assert keeper.refresh()
    assert keeper.past is not None
    ((as_if_new,),) = computing.run([corrected], keeper.past)
    assert_equal(under_its_key, as_if_new)


@pytest.mark.parametrize("change", [{"amount": 9000.0}, {"customer_id": 4_444}], ids=["amount", "customer"])
def test_later_events_see_a_corrected_one_and_not_the_row_that_it_corrects(
    computing: Computing, compiled: FeatureQuery, past: pa.Table, change: dict[str, Any]
) -> None:
    """As if the lake had held the corrected row all along; until the lake has another one there."""
    *_, stored = past.select(FIELDS).to_pylist()
    corrected = {**stored, **change}
    later = [
        {
            **stored,
            "transaction_id": 60_000 + n,
            "event_time": stored["event_time"] + timedelta(hours=n),
            "customer_id": c,
        }
        for n, c in ((1, stored["customer_id"]), (2, corrected["customer_id"]))
    ]
    mended = [*past.slice(0, past.num_rows - 1).to_pylist(), corrected, *later]
    offline = trained(compiled, pa.Table.from_pylist(mended, schema=past.schema))
    seen = Seen("transaction_id", ("customer_id", "terminal_id"))
    computing, known = replace(computing, seen=seen), computing.keeper.past
    assert known is not None
    for event in (corrected, *later):
        (rows,) = computing.run([event], known, [event])
        assert_equal(rows[0], offline[event["transaction_id"]])
        seen.add([event], computing.happened(known))

    ours = known.tables[HISTORY]
    seen.settle(History.of(ours.declared, ours.rows, "transaction_id"), None)
    assert len(seen) == 3, "a commit that left the row as it was says nothing of the event"
    newer = pa.concat_tables([past.slice(0, past.num_rows - 1), pa.Table.from_pylist([corrected], schema=past.schema)])
    seen.settle(History.of(ours.declared, newer, "transaction_id"), None)
    assert len(seen) == 2


def test_an_event_that_says_what_the_lake_knows_is_not_remembered(computing: Computing, past: pa.Table) -> None:
    *_, stored = past.select(FIELDS).to_pylist()
    assert computing.keeper.past is not None
    happened = computing.happened(computing.keeper.past)
    seen = Seen("transaction_id", ("customer_id", "terminal_id"))
    seen.add([{**stored, "amount": 1.0}], happened)
    seen.add([stored], happened)
    assert len(seen) == 0


@given(st.lists(st.integers(-20, 20) | st.none(), max_size=30, unique=True), st.integers(-25, 25))
@hypothesis_settings(deadline=None, max_examples=60)
def test_a_row_is_found_by_its_key(keys: list[int | None], wanted: int) -> None:
    declared = HistoryTable("fraud.things", "at", 1, {}, ("who",))
    at = [datetime(2020, 1, 1) + timedelta(minutes=7 * n % 31) for n in range(len(keys))]
    schema = pa.schema([("key", pa.int64()), ("who", pa.int64()), ("at", pa.timestamp("us"))])
    rows = pa.table({"key": keys, "who": [1] * len(keys), "at": at}, schema=schema)
    found = History.of(declared, rows, "key").row_of(wanted)
    assert found == next((row for row in rows.to_pylist() if row["key"] == wanted), None)


def test_an_unknown_customer_has_no_past(computing: Computing, past: pa.Table) -> None:
    event = {**past.select(FIELDS).slice(2999, 1).to_pylist()[0], "transaction_id": -1, "customer_id": 999}
    assert computing.keeper.past is not None
    ((row,),) = computing.run([event], computing.keeper.past)
    assert row["customer_count_30d"] == 0
    assert row["customer_mean_amount_30d"] is None


def test_only_what_features_look_back_on_is_kept(settings: RawSettings, lake: Lake, past: pa.Table) -> None:
    keeper = PastKeeper(lake, settings.query)
    keeper.refresh()
    assert keeper.past is not None
    newest: datetime = past["event_time"][-1].as_py()
    kept = keeper.past.tables[HISTORY]
    assert kept.rows.num_rows < past.num_rows
    assert kept.rows["event_time"][0].as_py() >= newest - LATE - timedelta(days=45)
    assert keeper.past.complete_from == newest - LATE


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3), st.integers(0, 600)), min_size=1, max_size=40))
@hypothesis_settings(deadline=None, max_examples=60)
def test_what_was_seen_is_found_by_entity_and_forgotten_in_order(added: list[tuple[int, int, int]]) -> None:
    """Against a plain list: the last event of a key counts, and the oldest make room."""
    limit = 10
    seen = Seen("key", ("who",), limit)
    plain: dict[int, dict[str, Any]] = {}
    for key, who, minute in added:
        event = {"key": key, "who": who, "at": datetime(2020, 1, 1) + timedelta(minutes=minute)}
        seen.add([event])
        plain.pop(key, None)
        plain[key] = event
        while len(plain) > limit:
            plain.pop(next(iter(plain)))
    schema = pa.schema([("key", pa.int64()), ("who", pa.int64()), ("at", pa.timestamp("us"))])
    known = pa.table({"key": [2], "who": [1], "at": [datetime(2020, 1, 1)]}, schema=schema)
    for who in range(4):
        found = seen.of_entities({"who": [who]}, known).to_pylist()
        expected = [event for event in plain.values() if event["who"] == who and event["key"] != 2]
        assert sorted(found, key=lambda event: event["key"]) == sorted(expected, key=lambda event: event["key"])
    assert len(seen) == len(plain)
