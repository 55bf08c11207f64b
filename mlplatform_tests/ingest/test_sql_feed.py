"""Tables of real databases read on from the newest value of a column."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mlplatform.errors import SourceError
from mlplatform.home import Home
from mlplatform.ingest.sql_feed import SqlFeed
from mlplatform.spec import SqlSource
from mlplatform_tests.databases import PASSWORD, USER, MariaDbServer, UserDatabase
from mlplatform_tests.feeding import Feeding
from mlplatform_tests.processes import free_port

ENGINES = ["sqlite", "duckdb", "postgres", "mysql"]
Open = Callable[[str], UserDatabase]
FIRST = datetime(2024, 1, 1, 10)
MINUTES_OF_A_YEAR = 365 * 24 * 60


def rows(*numbers: int, minutes: dict[int, int | None] | None = None, **values: Any) -> pa.Table:
    """Row `n` was changed at minute `n`, or at that of `minutes`."""
    at = [(minutes or {}).get(n, n) for n in numbers]
    return pa.table(
        {
            "reading_id": pa.array(numbers, pa.int64()),
            "event_time": pa.array([FIRST + timedelta(minutes=n) for n in numbers], pa.timestamp("us")),
            "sensor": pa.array(["a"] * len(numbers), pa.string()),
            "value": pa.array([values.get("value", n + 0.5) for n in numbers], pa.float64()),
            "updated_at": pa.array(
                [None if m is None else FIRST + timedelta(minutes=m) for m in at], pa.timestamp("us")
            ),
        }
    )


def declared(database: UserDatabase, column: str = "updated_at", **fields: Any) -> dict[str, Any]:
    cursor = {"column": column, **fields}
    return {"kind": "sql", "database": database.declared, "table": "readings", "cursor": cursor}


def feed(source: dict[str, Any]) -> SqlFeed:
    return SqlFeed(SqlSource.model_validate({"name": "readings", "key": ["reading_id"], **source}))


def feeding(folder: Path, database: UserDatabase, *numbers: int, **fields: Any) -> Feeding:
    database.store("readings", rows(*numbers))
    return Feeding(folder, declared(database, **fields))


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, user_database: Open) -> UserDatabase:
    return user_database(request.param)


@pytest.mark.parametrize("column", ["updated_at", "reading_id"])
def test_a_run_reads_new_and_changed_rows_alone(
    database: UserDatabase, tmp_path: Path, home: Home, column: str
) -> None:
    source = feeding(tmp_path, database, *range(20), column=column, rows=7)
    assert source.ingested()["rows_new_or_changed"] == 20
    found = feed(source.source)
    assert found.pending(source.cursor()) is None
    database.insert("readings", rows(*range(20, 25)))
    assert found.pending(source.cursor()) is not None
    assert [len(batch.rows) for batch in found.batches(source.cursor())] == [1 + 5], (
        "the newest of the rows it knows comes again"
    )
    assert source.ingested()["rows_new_or_changed"] == 5
    assert source.ids() == list(range(25))
    assert found.pending(source.cursor()) is None


def test_rows_of_one_value_stay_together_however_many_there_are(database: UserDatabase) -> None:
    database.store("readings", rows(*range(30), minutes={n: n // 10 for n in range(30)}))
    batches = list(feed(declared(database, rows=4)).batches(None))
    assert [sorted(map(int, batch.rows["reading_id"].to_pylist())) for batch in batches] == [
        list(range(10)),
        list(range(10, 20)),
        list(range(20, 30)),
    ]


def test_a_row_that_comes_later_with_the_newest_value_is_not_lost(
    database: UserDatabase, tmp_path: Path, home: Home
) -> None:
    source = feeding(tmp_path, database, *range(5), rows=2)
    source.ingested()
    database.insert("readings", rows(50, 51, 52, 6, minutes={50: 4, 51: 4, 52: 4}))
    assert source.ingested()["rows_new_or_changed"] == 4
    assert source.ids() == [0, 1, 2, 3, 4, 6, 50, 51, 52]


def test_a_time_ahead_of_the_clock_is_named_and_ends_no_source(
    database: UserDatabase, tmp_path: Path, home: Home
) -> None:
    database.store("readings", rows(1, 2, minutes={2: 600 * MINUTES_OF_A_YEAR}))
    source = Feeding(tmp_path, declared(database))
    told = source.ingested()["left_out"]
    assert "1 rows whose `updated_at` lies more than a day ahead of the source's clock, up to 26" in told
    assert source.ids() == [1]
    assert feed(source.source).pending(source.cursor()) is None
    database.insert("readings", rows(3))
    assert "1 rows" in source.ingested()["left_out"]
    assert (source.ids(), source.quarantined()) == ([1, 3], [])


def test_an_infinite_time_of_postgres_ends_no_source(user_database: Open, tmp_path: Path, home: Home) -> None:
    database = user_database("postgres")
    source = feeding(tmp_path, database, 1, 2)
    database.run("UPDATE readings SET updated_at = 'infinity' WHERE reading_id = 2")
    assert "infinity" in source.ingested()["left_out"]
    database.insert("readings", rows(3))
    source.ingested()
    assert source.ids() == [1, 3]


@pytest.mark.parametrize(
    ("engine", "kind"),
    [
        ("postgres", "real"),
        ("postgres", "double precision"),
        ("mysql", "float"),
        ("mysql", "double"),
        ("duckdb", "FLOAT"),
    ],
)
def test_a_floating_cursor_loses_no_digit_and_no_row(
    user_database: Open, tmp_path: Path, home: Home, engine: str, kind: str
) -> None:
    database = user_database(engine)
    database.store("readings", rows())
    database.run(f"ALTER TABLE readings ADD COLUMN place {kind}")
    source = Feeding(tmp_path, declared(database, "place", rows=1))
    places = [0.05, 0.1, 16777217.3]
    for number, place in enumerate(places):
        database.run(
            f"INSERT INTO readings VALUES ({number}, '2024-01-01', 'a', 1, '2024-01-01', {place})",
        )
        source.ingested()
        assert source.ids() == list(range(number + 1))
    whole = [i for batch in feed(source.source).batches(None) for i in batch.rows["reading_id"].to_pylist()]
    assert whole == [0, 1, 2]


def test_bytes_of_mysql_come_as_hexadecimal_digits(user_database: Open) -> None:
    database = user_database("mysql")
    database.run("CREATE TABLE readings (reading_id binary(2), value blob, note text, event_time datetime)")
    for digits in ("C3FF", "C3FE"):
        database.run(f"INSERT INTO readings VALUES (x'{digits}', x'FF00', 'ä', '2024-01-01')")
    (batch,) = feed(declared(database, "event_time")).batches(None)
    found = sorted((row["reading_id"], row["value"], row["note"]) for row in batch.rows.to_pylist())
    assert found == [("C3FE", "FF00", "ä"), ("C3FF", "FF00", "ä")]


def test_a_row_without_a_value_is_not_lost(database: UserDatabase, tmp_path: Path, home: Home) -> None:
    database.store("readings", rows(1, 2, 3, minutes={2: None}))
    source = Feeding(tmp_path, declared(database))
    source.ingested()
    assert source.ids() == [1, 2, 3]
    assert source.ingested()["rows_new_or_changed"] == 0


def test_what_was_committed_late_is_found_by_the_overlap(database: UserDatabase, tmp_path: Path, home: Home) -> None:
    source = feeding(tmp_path, database, *range(10), overlap=120.0)
    source.ingested()
    database.insert("readings", rows(50, 51, minutes={50: 8, 51: 5}))
    assert source.ingested()["rows_new_or_changed"] == 1
    assert source.ids() == [*range(10), 50]


@pytest.mark.parametrize(
    ("overlap", "stored", "begins"),
    [
        (2, "9007199254740995", "9007199254740993"),
        (10, "1234567890123456789012", "1234567890123456789002"),
        (0.5, "7", "6"),
        (1, "7.25", "6.25"),
        (60, "2024-01-01 10:00:00", "2024-01-01 09:59:00"),
    ],
)
def test_a_run_begins_the_overlap_behind_to_the_last_digit(
    user_database: Open, overlap: float, stored: str, begins: str
) -> None:
    assert feed(declared(user_database("sqlite"), overlap=overlap))._set_back(stored) == begins


@pytest.mark.parametrize("stored", ["nan", "Infinity", "abc"])
def test_what_has_no_distance_has_no_overlap(user_database: Open, stored: str) -> None:
    with pytest.raises(SourceError, match="is neither a number nor a time"):
        feed(declared(user_database("sqlite"), overlap=1))._set_back(stored)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_that_is_killed_in_the_middle_is_resumed(
    user_database: Open, tmp_path: Path, home: Home, engine: str
) -> None:
    source = feeding(tmp_path, user_database(engine), *range(3000), rows=100)
    source.ingest_and_kill(lambda: source.cursor() is not None)
    stored = source.ids()
    assert 0 < len(stored) < 3000
    assert stored == list(range(len(stored)))
    source.ingested()
    assert source.ids() == list(range(3000))


def test_days_are_read_again_without_moving_the_cursor(user_database: Open, tmp_path: Path, home: Home) -> None:
    database = user_database("postgres")
    source = feeding(tmp_path, database, *range(5))
    source.ingested()
    cursor = source.cursor()
    database.run("UPDATE readings SET value = 99")  # and `updated_at` was forgotten
    assert source.ingested()["rows_new_or_changed"] == 1, "that of the newest row, which is looked at again"
    assert source.ingested(first_day="2024-01-01", last_day="2024-01-01")["rows_new_or_changed"] == 4
    assert source.cursor() == cursor


def test_a_column_that_is_not_there_and_a_table_that_changed_leave_the_cursor(
    user_database: Open, tmp_path: Path, home: Home
) -> None:
    database = user_database("mysql")
    source = feeding(tmp_path, database, 1, 2)
    assert "has no column `changed_at`" in Feeding(tmp_path, declared(database, "changed_at")).refused()
    source.ingested()
    cursor = source.cursor()
    database.run("ALTER TABLE readings DROP COLUMN value")
    database.run("INSERT INTO readings VALUES (3, '2024-01-02', 'a', '2024-01-02')")
    assert "column value is missing" in source.refused()
    assert (source.cursor(), source.ids()) == (cursor, [1, 2])


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("mysql://{user}:wrong@127.0.0.1:{port}/shop", "the server refuses this user or password"),
        ("mysql://{user}:{password}@127.0.0.1:{port}/nowhere", "the server has no such database"),
        ("mysql://{user}:{password}@127.0.0.1:{free}/shop", "no server answers at this host and port"),
        ("mysql://{user}:a@b/{password}@127.0.0.1:{port}/shop", "SHOP_DATABASE holds no connection string"),
        ("{user} {password}", "SHOP_DATABASE holds no connection string. Write mysql://user:password@host"),
    ],
    ids=["password", "database", "down", "a password not encoded", "no string"],
)
def test_how_a_connection_to_mysql_fails_is_told_without_a_word_of_the_password(
    mysql: MariaDbServer, monkeypatch: pytest.MonkeyPatch, place: str, says: str
) -> None:
    given = {"user": USER, "password": PASSWORD, "port": mysql.port, "free": free_port()}
    monkeypatch.setenv("SHOP_DATABASE", place.format(**given))
    database = UserDatabase({"engine": "mysql", "dsn_variable": "SHOP_DATABASE"}, "")
    with pytest.raises(SourceError, match=says) as caught:
        feed(declared(database)).pending(None)
    assert PASSWORD not in str(caught.value)


def test_json_of_mysql_arrives_as_text_and_times_as_utc(user_database: Open) -> None:
    database = user_database("mysql")
    database.run("CREATE TABLE readings (reading_id bigint, event_time timestamp, value json, at datetime(6))")
    database.run("SET time_zone = '+00:00'")
    database.run("""INSERT INTO readings VALUES (1, '2024-01-01 10:00:00', '{"ä": 1}', '2024-01-01 10:00:00.123456')""")
    (batch,) = feed(declared(database, "at")).batches(None)
    (row,) = batch.rows.to_pylist()
    assert row["value"] == '{"ä": 1}'
    assert row["at"] == datetime(2024, 1, 1, 10, 0, 0, 123456)
    assert batch.cursor == "2024-01-01 10:00:00.123456"
