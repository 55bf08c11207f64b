"""A source that goes on where it stopped: rows and cursor are one transaction, whatever happens in the middle."""

import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform_tests.feeding import CONTRACT, Feeding

# Ten parts of ten readings, each part with the cursor behind it.
PARTS = """
import pyarrow as pa


def readings(params, cursor):
    for part in range(int(cursor or 0), params.get("parts", 10)):
        if part == params.get("breaks_at"):
            raise OSError("the wire is cut")
        ids = list(range(part * 10, part * 10 + 10))
        yield pa.table({
            "reading_id": ids,
            "event_time": [f"2024-01-{part + 1:02} 10:00:00"] * 10,
            "sensor": ["a"] * 10,
            "value": [params.get("value", 1.5)] * 10,
        }), str(part + 1)
"""


def feeding(folder: Path, code: str = PARTS, **fields: Any) -> Feeding:
    (folder / "source.py").write_text(code)
    return Feeding(folder, {"kind": "python", "function": "readings", **fields})


def test_a_run_reads_on_behind_the_cursor_of_the_one_before(tmp_path: Path, home: Home) -> None:
    assert feeding(tmp_path, params={"parts": 4}).ingested()["rows_new_or_changed"] == 40
    whole = feeding(tmp_path, params={"parts": 6})
    assert whole.ingested()["rows_new_or_changed"] == 20
    assert whole.ids() == list(range(60))
    assert whole.cursor() == "6"
    assert whole.ingested()["rows_new_or_changed"] == 0


def test_a_long_cursor_is_shortened_in_the_run_s_record_alone(tmp_path: Path, home: Home) -> None:
    source = feeding(tmp_path, changes([row(1)], cursor="x" * 5000))
    assert len(source.ingested()["cursor"]) == 200
    assert source.cursor() == "x" * 5000


def test_parts_of_a_function_are_stored_together_up_to_the_declared_rows(tmp_path: Path, home: Home) -> None:
    source = feeding(tmp_path, params={"parts": 7}, rows_per_commit=30)
    source.ingested()
    assert (source.cursor(), source.ids()) == ("7", list(range(70)))
    with Lake.at(home).read() as con:
        told = con.execute("SELECT commit_message FROM ducklake_snapshots('lake') ORDER BY snapshot_id").fetchall()
    assert [text for (text,) in told if text] == [
        f"ingest readings part {n} to {c}" for n, c in ((1, 3), (2, 6), (3, 7))
    ]


def test_parts_that_were_waiting_when_a_function_failed_are_stored(tmp_path: Path, home: Home) -> None:
    broken = feeding(tmp_path, params={"breaks_at": 5}, rows_per_commit=30)
    assert "OSError: the wire is cut" in broken.refused()
    assert (broken.cursor(), broken.ids()) == ("5", list(range(50)))


def test_what_was_stored_before_an_error_stays_and_the_next_run_begins_behind_it(tmp_path: Path, home: Home) -> None:
    broken = feeding(tmp_path, params={"breaks_at": 3})
    assert "readings in " in (told := broken.refused())
    assert "source.py failed: OSError: the wire is cut. What it yielded before is stored" in told
    assert broken.cursor() == "3"
    mended = feeding(tmp_path)
    assert mended.ingested()["rows_new_or_changed"] == 70
    assert mended.ids() == list(range(100))


@pytest.mark.slow
def test_a_run_that_is_killed_in_the_middle_is_resumed_without_a_lost_or_doubled_row(
    tmp_path: Path, home: Home
) -> None:
    slow = PARTS.replace("        ids =", "        import time; time.sleep(0.2)\n        ids =")
    source = feeding(tmp_path, slow)
    source.ingest_and_kill(lambda: (source.cursor() or "0") >= "3")
    stopped = int(source.cursor() or 0)
    assert 3 <= stopped < 10
    assert source.ids() == list(range(stopped * 10))
    source.ingested()
    assert source.ids() == list(range(100))
    assert source.ask("SELECT count(*) FROM raw_fraud.readings") == [(100,)]


def test_a_batch_with_too_many_bad_rows_leaves_the_cursor_and_the_rows_as_they_were(tmp_path: Path, home: Home) -> None:
    feeding(tmp_path, params={"parts": 2}).ingested()
    bad = feeding(tmp_path, params={"parts": 3, "value": -999.0})
    assert "10 of 10 rows (100.0%) break the contract" in bad.refused()
    assert (bad.cursor(), len(bad.ids()), len(bad.quarantined())) == ("2", 20, 10)
    assert feeding(tmp_path, params={"parts": 3}).ingested()["rows_new_or_changed"] == 10


def changes(rows: list[dict[str, Any]], cursor: str = "x") -> str:
    return f"import pandas as pd\n\n\ndef readings(params, cursor):\n    yield pd.DataFrame({rows!r}), {cursor!r}\n"


def row(number: int, value: Any = 1.0, **more: Any) -> dict[str, Any]:
    return {"reading_id": number, "event_time": "2024-01-01 10:00:00", "sensor": "a", "value": value, **more}


def test_of_two_changes_of_one_row_the_last_counts_in_a_batch_and_across_batches(tmp_path: Path, home: Home) -> None:
    first = feeding(tmp_path, changes([row(1, 1.0), row(2, 5.0), row(1, 2.0)]))
    assert first.ingested()["rows_replaced_within_a_batch"] == 1
    assert first.rows() == [(1, "a", 2.0), (2, "a", 5.0)]
    assert first.quarantined() == []
    assert feeding(tmp_path, changes([row(1, 3.0)])).ingested()["rows_new_or_changed"] == 1
    assert first.rows() == [(1, "a", 3.0), (2, "a", 5.0)]


def test_a_row_of_a_day_long_ago_is_taken(tmp_path: Path, home: Home) -> None:
    feeding(tmp_path, params={"parts": 2}).ingested()
    late = row(500) | {"event_time": "2019-01-01 00:00:00"}
    assert feeding(tmp_path, changes([late])).ingested()["rows_new_or_changed"] == 1


NEW_COLUMN = [row(1), row(2, unit="bar", place={"hall": 3})]


def test_by_default_a_new_column_is_left_out_and_named(tmp_path: Path, home: Home) -> None:
    source = feeding(tmp_path, changes(NEW_COLUMN))
    assert source.ingested()["columns_not_in_the_contract"] == "unit, place"
    assert source.ids() == [1, 2]


def test_evolve_adds_the_column_as_text_and_gives_it_its_type_when_the_contract_names_it(
    tmp_path: Path, home: Home
) -> None:
    feeding(tmp_path, changes([row(0)]), schema_change="evolve").ingested()
    source = feeding(tmp_path, changes([row(1, level=3), row(2, level="4")]), schema_change="evolve")
    source.ingested()
    assert source.rows("reading_id, level") == [(0, None), (1, "3"), (2, "4")]
    (tmp_path / "contract.py").write_text(CONTRACT + "    level: int | None = pa.Field(nullable=True)\n")
    os.utime(tmp_path / "contract.py", (1, 1))
    feeding(tmp_path, changes([row(3, level=7)]), schema_change="evolve").ingested()
    assert source.rows("reading_id, level") == [(0, None), (1, 3), (2, 4), (3, 7)]


@pytest.mark.parametrize(
    ("stored", "kind", "becomes"),
    [
        ("1.7", "int | None", None),
        ("4.0", "int | None", 4),
        ("9007199254740993", "int | None", 9007199254740993),
        ("2024-01-01T10:00:00+02:00", "pd.Timestamp", datetime(2024, 1, 1, 8)),
        ("2024-01-01T10:00:00Z", "pd.Timestamp", datetime(2024, 1, 1, 10)),
    ],
)
def test_text_that_gets_a_type_is_neither_rounded_nor_moved(
    tmp_path: Path, home: Home, stored: str, kind: str, becomes: Any
) -> None:
    feeding(tmp_path, changes([row(0)]), schema_change="evolve").ingested()
    source = feeding(tmp_path, changes([row(1, level=stored)]), schema_change="evolve")
    source.ingested()
    (tmp_path / "contract.py").write_text(CONTRACT + f"    level: {kind} = pa.Field(nullable=True)\n")
    os.utime(tmp_path / "contract.py", (1, 1))
    again = feeding(tmp_path, changes([row(3, level=None)]), schema_change="evolve")
    if becomes is None:
        assert f"1 stored values are none, e.g. '{stored}'" in again.refused()
    else:
        again.ingested()
    assert source.rows("reading_id, level")[1] == (1, stored if becomes is None else becomes)


def test_evolve_lets_a_nullable_column_go(tmp_path: Path, home: Home) -> None:
    gone = {name: value for name, value in row(1).items() if name != "sensor"}
    assert "column sensor is missing" in feeding(tmp_path, changes([gone])).refused()
    source = feeding(tmp_path, changes([gone]), schema_change="evolve")
    source.ingested()
    assert source.rows() == [(1, None, 1.0)]


def test_freeze_refuses_the_batch_and_quarantine_the_rows_that_hold_a_value(tmp_path: Path, home: Home) -> None:
    frozen = feeding(tmp_path, changes(NEW_COLUMN), schema_change="freeze")
    assert "the source has a new column unit, place, and `schema_change: freeze` takes none" in frozen.refused()
    assert (frozen.cursor(), frozen.ids()) == (None, [])
    many = [row(i) for i in range(10, 300)]
    aside = feeding(tmp_path, changes(NEW_COLUMN + many), schema_change="quarantine")
    aside.ingested()
    assert aside.ids() == [1, *range(10, 300)]
    ((reason, kept),) = aside.quarantined()
    assert "unit 'bar' is a column that the contract does not name" in reason
    assert '"unit":"bar"' in kept


def test_a_function_that_yields_no_cursor_is_read_whole_in_every_run(tmp_path: Path, home: Home) -> None:
    code = changes([row(1), row(2)]).replace(", 'x'", "")
    assert feeding(tmp_path, code).ingested()["cursor"] == "none"
    again = feeding(tmp_path, code.replace("'value': 1.0", "'value': 4.0", 1))
    assert again.ingested()["rows_new_or_changed"] == 1


@pytest.mark.parametrize("cursor", ["", ", 'x'"])
@pytest.mark.parametrize("kind", ["pandas", "pa.Table", "pa.RecordBatch"])
def test_rows_that_a_function_returns_are_its_only_part(tmp_path: Path, home: Home, kind: str, cursor: str) -> None:
    rows = "pd.DataFrame(ROWS)" if kind == "pandas" else f"{kind}.from_pylist(ROWS)"
    head = f"import pandas as pd\nimport pyarrow as pa\n\nROWS = {[row(1), row(2)]!r}\n\n\n"
    source = feeding(tmp_path, f"{head}def readings(params, cursor):\n    return {rows}{cursor}\n")
    source.ingested()
    assert (source.ids(), source.cursor()) == ([1, 2], "x" if cursor else None)


def test_numbers_in_arrow_s_longest_decimals_are_stored(tmp_path: Path, home: Home) -> None:
    code = """
import decimal

import pyarrow as pa


def readings(params, cursor):
    number = decimal.Decimal("9007199254740993.00")
    yield pa.table({
        "reading_id": pa.array([number, 7], pa.decimal256(60, 2)),
        "event_time": ["2024-01-01 10:00:00"] * 2,
        "sensor": pa.array([[number], None], pa.list_(pa.decimal256(60, 2))),
        "value": pa.array([0.5, 1.5], pa.float16()),
    })
"""
    source = feeding(tmp_path, code)
    source.ingested()
    assert source.rows() == [(7, None, 1.5), (2**53 + 1, '["9007199254740993.00"]', 0.5)]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("x = 1", "must hold `def readings(params, cursor)`"),
        (
            "def readings(params, cursor):\n    yield [1]\n",
            "yielded rows of type list; it must yield a pyarrow.Table or",
        ),
        (changes([row(1)]).replace("'x'", "7"), "yielded a cursor of type int"),
        ("def readings(params, cursor):\n    [1]\n", "returned nothing (None): is its `yield` missing?; it must yield"),
        ("def readings(params, cursor):\n    return 7\n", "source.py returned a value of type int; it must yield"),
        ("def readings(params, cursor):\n    return 'rows'\n", "source.py returned a value of type str; it must yield"),
        (
            changes([row(1)]).replace("), 'x'", ").rename(columns={'sensor': 'value'})"),
            "source.py yielded rows that cannot be stored: there are two columns `value`. Rename one of each",
        ),
        (
            "import pyarrow as pa\n\n\ndef readings(params, cursor):\n"
            "    yield pa.table([[1], [2]], names=['reading_id', 'reading_id'])\n",
            "source.py yielded rows that cannot be stored: there are two columns `reading_id`. Rename one of each",
        ),
        ("def readings(params, cursor):\n    yield from ()\n", "holds no row: readings in source.py yielded none"),
    ],
    ids=["no function", "no table", "no text", "None", "number", "text", "twice, pandas", "twice, Arrow", "nothing"],
)
def test_a_function_that_is_not_right_is_named_with_what_it_must_be(
    tmp_path: Path, home: Home, code: str, says: str
) -> None:
    source = feeding(tmp_path, code)
    assert says in source.refused()
    assert source.cursor() is None
