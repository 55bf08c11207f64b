"""Tables and queries of a user's own database: what is read, when it counts as new, and that nothing is written."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mlplatform.contracts.arrow import cast_table
from mlplatform.contracts.types import ColumnType
from mlplatform.errors import SourceError
from mlplatform.ingest.open import open_reader, open_source, open_table
from mlplatform.ingest.sql import SqlReader, SqlTable
from mlplatform.spec import SqlSource
from mlplatform_tests.databases import PostgresServer, UserDatabase

ENGINES = ["sqlite", "duckdb", "postgres", "mysql"]
APRIL = (date(2018, 4, 1), date(2018, 5, 1))
Open = Callable[[str], UserDatabase]


def declare(database: UserDatabase, **fields: Any) -> SqlSource:
    given: dict[str, Any] = {"name": "transactions", "key": ["transaction_id"], "start": "2018-04-01"}
    given |= {"kind": "sql", "database": database.declared}
    given |= {} if "query" in fields else {"table": "transactions"}
    return SqlSource.model_validate(given | fields)


def reader(database: UserDatabase, **fields: Any) -> SqlReader:
    return SqlReader(declare(database, **fields))


def rows(*times: datetime | None, first: int = 1) -> pa.Table:
    return pa.table(
        {
            "transaction_id": pa.array(range(first, first + len(times)), pa.int64()),
            "event_time": pa.array(times, pa.timestamp("us")),
            "amount": pa.array([0.1 * i for i in range(len(times))]),
        }
    )


def day(number: int, hour: int = 10) -> datetime:
    return datetime(2018, 4, number, hour)


def ids(table: pa.Table) -> list[int]:
    return sorted(int(value) for value in table["transaction_id"].to_pylist())


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, user_database: Open) -> UserDatabase:
    created = user_database(request.param)
    created.store("transactions", rows(day(1), day(2, 0), day(2), day(3, 23), day(5)))
    return created


def test_a_table_gives_back_the_rows_of_the_days_asked_for(database: UserDatabase) -> None:
    source = reader(database)
    assert source.available() == (date(2018, 4, 1), date(2018, 4, 6))
    assert ids(source.read(date(2018, 4, 2), date(2018, 4, 4))) == [2, 3, 4]
    days = [source.read(date(2018, 4, d), date(2018, 4, d + 1)) for d in range(1, 6)]
    assert [ids(rows) for rows in days] == [[1], [2, 3], [4], [], [5]]


def test_values_arrive_to_the_last_digit(database: UserDatabase) -> None:
    types = {"amount": ColumnType("float", "DOUBLE"), "event_time": ColumnType("timestamp", "TIMESTAMP")}
    cast = cast_table(reader(database).read(*APRIL).sort_by("transaction_id"), types)
    assert cast.values["amount"].to_pylist() == [0.1 * i for i in range(5)]
    assert cast.values["event_time"].to_pylist() == [day(1), day(2, 0), day(2), day(3, 23), day(5)]


def test_a_query_is_a_table_too(database: UserDatabase) -> None:
    query = "SELECT transaction_id AS id, event_time AS at FROM transactions WHERE transaction_id > 2 -- the others;\n"
    source = reader(database, query=query, columns={"transaction_id": "id", "event_time": "at"})
    assert source.available() == (date(2018, 4, 2), date(2018, 4, 6))
    assert source.read(date(2018, 4, 2), date(2018, 4, 3)).column_names == ["transaction_id", "event_time"]
    assert ids(source.read(*APRIL)) == [3, 4, 5]


def test_own_names_become_the_contract_s_names(database: UserDatabase) -> None:
    database.store(
        "buchungen", rows(day(1)).rename_columns(["Id", "amount", "Betrag (€)"]).append_column("note", [["x"]])
    )
    columns = {"transaction_id": "Id", "event_time": "amount", "amount": "Betrag (€)"}
    read = reader(database, table="buchungen", columns=columns).read(*APRIL)
    assert read.column_names == ["transaction_id", "event_time", "amount", "note"]
    assert len(read) == 1


def test_a_row_without_a_usable_time_comes_with_the_newest_day_for_the_contract_to_refuse(
    database: UserDatabase,
) -> None:
    database.insert("transactions", rows(None, datetime(2199, 1, 1), first=10))
    source = reader(database)
    assert source.available() == (date(2018, 4, 1), date(2018, 4, 6))
    assert ids(source.read(date(2018, 4, 1), date(2018, 4, 5))) == [1, 2, 3, 4]
    assert ids(source.read(date(2018, 4, 5), date(2018, 4, 6))) == [5, 10, 11]


def test_an_empty_table_has_nothing_available(database: UserDatabase) -> None:
    database.store("nothing", rows())
    source = reader(database, table="nothing")
    assert source.available() is None
    assert len(source.read(*APRIL)) == 0
    assert source.fingerprint() == reader(database, table="nothing").fingerprint()


def test_a_table_without_a_time_is_read_whole(database: UserDatabase) -> None:
    spec = declare(database, time_column=None, start=None)
    table = open_table(spec, None)  # type: ignore[arg-type] - a database needs no folder
    assert isinstance(table, SqlTable)
    assert isinstance(open_source(spec, None), SqlTable)  # type: ignore[arg-type]
    assert isinstance(open_reader(declare(database), None), SqlReader)  # type: ignore[arg-type]
    assert ids(table.read_all()) == [1, 2, 3, 4, 5]
    before = table.fingerprint()
    database.insert("transactions", rows(day(1), first=6))
    assert table.fingerprint() != before


def test_the_fingerprint_changes_with_new_rows_on_new_and_on_old_days(database: UserDatabase) -> None:
    source = reader(database)
    seen = [source.fingerprint(), source.fingerprint()]
    assert seen[0] == seen[1]
    for number, time in enumerate([day(6), day(2, 7), day(6, 3)]):
        database.insert("transactions", rows(time, first=20 + number))
        seen.append(source.fingerprint())
    assert len(set(seen)) == 4


def test_rows_older_than_what_is_read_again_are_not_counted(database: UserDatabase) -> None:
    before = reader(database, look_back_days=2).fingerprint()
    database.insert("transactions", rows(day(1, 12), first=20))
    assert reader(database, look_back_days=2).fingerprint() == before
    whole = reader(database, look_back_days=2, partition="none").fingerprint()
    database.insert("transactions", rows(day(1, 13), first=21))
    assert reader(database, look_back_days=2, partition="none").fingerprint() != whole


def test_of_the_present_day_the_first_row_counts_so_that_a_live_table_is_not_always_new(database: UserDatabase) -> None:
    today = datetime.now(UTC).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    before = reader(database).fingerprint()
    database.insert("transactions", rows(today, first=30))
    first = reader(database).fingerprint()
    database.insert("transactions", rows(today + timedelta(seconds=1), first=31))
    assert first != before
    if datetime.now(UTC).date() == today.date():
        assert reader(database).fingerprint() == first
    assert ids(reader(database).read(today.date(), today.date() + timedelta(days=1))) == [30, 31]


def test_sqlite_times_are_read_in_every_way_they_are_written(user_database: Open) -> None:
    database = user_database("sqlite")
    written = ["2018-04-01 23:30:00", "2018-04-01T23:30:00.5", "2018-04-02T01:00:00+02:00", "2018-04-01T22:30:00-02:00"]
    with sqlite3.connect(database.place) as con:
        con.execute("CREATE TABLE transactions (transaction_id INTEGER, event_time DATETIME, amount REAL)")
        con.executemany("INSERT INTO transactions VALUES (?, ?, 1)", enumerate([*written, "2018-04-02", "soon", 12]))
    con.close()
    source = reader(database)
    assert source.available() == (date(2018, 4, 1), date(2018, 4, 3))
    assert ids(source.read(date(2018, 4, 1), date(2018, 4, 2))) == [0, 1, 2]
    assert ids(source.read(date(2018, 4, 2), date(2018, 4, 3))) == [3, 4, 5, 6]


def test_a_sqlite_value_that_is_not_of_its_column_s_type_stays_as_it_was_written(user_database: Open) -> None:
    database = user_database("sqlite")
    with sqlite3.connect(database.place) as con:
        con.execute("CREATE TABLE transactions (transaction_id INTEGER, event_time TEXT, amount REAL, picture BLOB)")
        con.execute("INSERT INTO transactions VALUES ('seven', '2018-04-01', 'a lot', x'00ff')")
    con.close()
    found = reader(database).read(*APRIL).to_pylist()
    assert found == [{"transaction_id": "seven", "event_time": "2018-04-01", "amount": "a lot", "picture": "00FF"}]


def test_postgres_columns_of_every_common_type_are_read(user_database: Open) -> None:
    database = user_database("postgres")
    database.run("CREATE TYPE mood AS ENUM ('fine', 'tired')")
    values = (
        "1::bigint AS transaction_id, '2018-04-02 01:00+02'::timestamptz AS event_time, 12.34::numeric(8, 2) AS amount,"
        "1e10::numeric AS wide, true AS flag, 'tired'::mood AS mood, 2::smallint AS small, gen_random_uuid() AS code,"
        "'{\"a\": 1}'::jsonb AS document, ARRAY[1, 2] AS list, '\\x00ff'::bytea AS bytes, '1 day'::interval AS gap,"
        "date '2018-04-01' AS day, time '10:00' AS hour, 'é'::varchar(5) AS word, NULL::int AS none"
    )
    database.run(f"CREATE TABLE transactions AS SELECT {values}")
    source = reader(database)
    assert source.available() == (date(2018, 4, 1), date(2018, 4, 2))  # 23:00 UTC
    read = source.read(*APRIL)
    to = {"amount": ColumnType("float", "DOUBLE"), "mood": ColumnType("string", "VARCHAR")}
    cast = cast_table(read, to | {"flag": ColumnType("integer", "BIGINT"), "code": ColumnType("string", "VARCHAR")})
    assert [cast.values[name][0].as_py() for name in ("amount", "mood", "flag")] == [12.34, "tired", 1]
    assert len(cast.values["code"][0].as_py()) == 36
    assert read["wide"].to_pylist() == ["10000000000"]
    assert not any(len(rows) for rows in cast.refused.values())


def test_no_number_of_postgres_arrives_as_another(user_database: Open) -> None:
    database = user_database("postgres")
    written = ["12345678901234567890.5", "NaN", "Infinity", "0.1"]
    numbers = ", ".join(f"({i}, timestamp '2018-04-01', '{text}'::numeric)" for i, text in enumerate(written))
    database.run(
        "CREATE TABLE transactions AS SELECT *, NULLIF(amount, 'Infinity')::numeric(30, 1) AS declared, amount::float8 "
        f"AS binary FROM (VALUES {numbers}) AS v(transaction_id, event_time, amount)"
    )
    read = reader(database).read(*APRIL).sort_by("transaction_id")
    assert read["amount"].to_pylist() == ["12345678901234567890.5", None, "Infinity", "0.1"]
    assert read["declared"].to_pylist() == ["12345678901234567890.5", None, None, "0.1"]
    cast = cast_table(read, {name: ColumnType("float", "DOUBLE") for name in ("amount", "binary")})
    assert (
        cast.values["amount"].to_pylist()
        == cast.values["binary"].to_pylist()
        == [12345678901234567890.5, None, None, 0.1]
    )
    assert cast.refused["amount"].tolist() == cast.refused["binary"].tolist() == [2]


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "date"])
def test_postgres_is_asked_for_the_days_with_a_condition_that_its_index_answers(
    user_database: Open, postgres: PostgresServer, kind: str
) -> None:
    database = user_database("postgres")
    database.run(
        f"CREATE TABLE transactions AS SELECT g AS transaction_id, (timestamptz '2018-04-01 00:00+00' + g * interval "
        f"'1 hour')::{kind} AS event_time, repeat('x', 100) AS note FROM generate_series(1, 20000) g"
    )
    database.run("CREATE INDEX ON transactions (event_time)")
    database.run("ANALYZE transactions")
    source = reader(database)
    source.available()
    before = postgres.log.stat().st_size
    assert len(source.read(date(2018, 4, 10), date(2018, 4, 12))) == 48
    asked = postgres.log.read_text()[before:]
    wanted = next(line for line in asked.splitlines() if "COPY" in line and "2018-04-10" in line)
    statement = wanted.partition("COPY (")[2].rpartition(") TO STDOUT")[0]
    plan = _plan(database, statement)
    assert "Index Scan" in plan
    assert "2018-04-12" in plan


def _plan(database: UserDatabase, statement: str) -> str:
    """What Postgres says that it does, by way of a function: its EXPLAIN is no SELECT."""
    database.run(
        "CREATE FUNCTION plan_of(s text) RETURNS SETOF text LANGUAGE plpgsql AS "
        "$$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN ' || s; END $$"
    )
    spec = declare(
        database,
        time_column=None,
        start=None,
        key=["line"],
        query=f"SELECT line FROM plan_of($s${statement}$s$) AS line",
    )
    return "\n".join(SqlTable(spec).read_all()["line"].to_pylist())


def test_postgres_is_opened_read_only(user_database: Open) -> None:
    database = user_database("postgres")
    database.store("transactions", rows(day(1)))
    database.run(
        "CREATE FUNCTION clear() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN DELETE FROM transactions; RETURN 1; END $$"
    )
    query = "SELECT clear() AS transaction_id, now() AS event_time"
    with pytest.raises(SourceError, match="a source is only read"):
        reader(database, query=query).available()
    assert ids(reader(database).read(*APRIL)) == [1]


def test_other_clients_may_use_the_files_while_they_are_read(user_database: Open) -> None:
    database = user_database("sqlite")
    database.store("transactions", rows(day(1)))
    source = reader(database)
    source.available()
    with sqlite3.connect(database.place) as con:
        con.execute("INSERT INTO transactions VALUES (2, '2018-04-01 12:00:00', 1)")
        con.commit()
        assert ids(source.read(*APRIL)) == [1, 2]
    con.close()


def test_all_days_together_are_all_rows(database: UserDatabase) -> None:
    times = [day(1, 0) + timedelta(minutes=37 * i) for i in range(1500)]
    database.store("many", rows(*times))
    source = reader(database, table="many")
    first, behind = source.available() or APRIL
    days = [source.read(first + timedelta(d), first + timedelta(d + 1)) for d in range((behind - first).days)]
    assert sorted(i for rows in days for i in ids(rows)) == list(range(1, 1501))
    assert pc.count(source.read(first, behind)["transaction_id"]).as_py() == 1500
