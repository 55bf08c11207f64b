"""What a person is told when a database cannot be read, and that no password is ever among it."""

import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mlplatform.errors import SourceError
from mlplatform_tests.databases import PASSWORD, USER, PostgresServer, UserDatabase
from mlplatform_tests.ingest.test_sql import APRIL, ENGINES, day, reader, rows

Open = Callable[[str], UserDatabase]


def told(database: UserDatabase, **fields: Any) -> str:
    """The message of the error that a reader meets."""
    with pytest.raises(SourceError) as caught:
        reader(database, **fields).read(*APRIL)
    shown = "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in shown
    assert str(caught.value).startswith("source `transactions`")
    return str(caught.value)


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, user_database: Open) -> UserDatabase:
    created = user_database(request.param)
    created.store("transactions", rows(day(1)))
    created.store("customers", rows(day(1)))
    return created


def test_a_missing_table_is_answered_with_the_tables_of_like_names(database: UserDatabase) -> None:
    message = told(database, table="transaction")
    assert "there is no table transaction. Did you mean `" in message
    assert "transactions`?" in message
    assert "Correct `table`." in message


def test_where_no_name_is_like_it_the_tables_are_listed(database: UserDatabase) -> None:
    message = told(database, table="zzz")
    assert "There are " in message
    assert "customers" in message


def test_a_missing_column_is_answered_with_the_nearest_and_where_to_say_its_name(database: UserDatabase) -> None:
    message = told(database, columns={"event_time": "eventtime"})
    assert "the table transactions has no column `eventtime`; it has transaction_id, event_time, amount." in message
    assert "Did you mean `event_time`? Say what it is called there under `columns:`" in message
    assert "the query has no column `transaction_id`" in told(database, query="SELECT 1 AS one")


def test_a_query_that_the_database_does_not_understand_is_told_in_the_database_s_words(database: UserDatabase) -> None:
    message = told(database, query="SELECT nothing_of_this_name FROM transactions")
    assert "nothing_of_this_name" in message
    assert message.endswith("Correct `query` of the source, or the database.")
    assert "\n" not in message


@pytest.mark.parametrize("kind", ENGINES)
def test_a_column_that_is_no_time_is_named_with_how_to_make_it_one(user_database: Open, kind: str) -> None:
    database = user_database(kind)
    table = rows(day(1)).set_column(1, "event_time", pa.array([1522540800], pa.int64()))
    database.store("transactions", table)
    makes = {
        "sqlite": "e.g. '1522540800'.* datetime(\"event_time\", 'unixepoch') AS event_time.",
        "duckdb": 'is no time but int64.* to_timestamp("event_time") AS event_time.',
        "postgres": 'is no time but int64.* to_timestamp("event_time") AS event_time.',
        "mysql": "is no time but int64.* from_unixtime(`event_time`) AS event_time.",
    }
    start, _, end = makes[kind].partition(".*")
    message = told(database)
    assert start in message
    assert message.endswith(end.strip())


def test_the_remedy_for_a_number_that_is_no_time_works(database: UserDatabase) -> None:
    functions = {"sqlite": "datetime(1522540800, 'unixepoch')", "mysql": "from_unixtime(1522540800)"}
    made = functions.get(database.kind, "to_timestamp(1522540800)")
    query = f"SELECT transaction_id, {made} AS event_time FROM transactions"
    assert len(reader(database, query=query).read(*APRIL)) == 1


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_file_that_is_not_there_or_no_database_is_named(
    user_database: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = UserDatabase({"engine": kind, "path": "shop.db"}, "shop.db")
    assert told(relative).endswith(f"there is no file shop.db (looked in {tmp_path}). Correct `database.path`.")
    Path("shop.db").write_text("This is a letter, not a database. " * 100)
    assert "file shop.db: the file is no database of this kind." in told(relative)


def test_a_duckdb_file_that_another_process_writes_is_named(user_database: Open) -> None:
    database = user_database("duckdb")
    database.store("transactions", rows(day(1)))
    program = "import duckdb, sys; con = duckdb.connect(sys.argv[1]); print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, database.place], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        assert "another process has the file open for writing" in told(database)
        writer.communicate(b"")
    assert len(reader(database).read(*APRIL)) == 1


def test_a_variable_that_is_not_set_is_named_with_what_to_set_it_to(monkeypatch: pytest.MonkeyPatch) -> None:
    unset = UserDatabase({"engine": "postgres", "dsn_variable": "SHOP_DATABASE"}, "")
    monkeypatch.delenv("SHOP_DATABASE", raising=False)
    assert "the environment variable SHOP_DATABASE is not set. Set it" in told(unset)
    monkeypatch.setenv("SHOP_DATABASE", " ")
    assert "is not set" in told(unset)


@pytest.mark.parametrize(
    ("dsn", "says"),
    [
        (f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{{closed}}/postgres", "no server answers at this host and port"),
        (f"postgresql://{USER}:{PASSWORD}@nowhere.invalid/postgres", "its host is not known"),
        (f"postgresql://{USER}:{PASSWORD}%zz@127.0.0.1/postgres", "holds no connection string"),
        (f"{PASSWORD}", "holds no connection string"),
        (f"host=127.0.0.1 password={PASSWORD} port=many", "holds no connection string"),
        (f"postgresql://{USER}:{PASSWORD}/x@127.0.0.1/postgres", "SHOP_DATABASE"),
    ],
)
def test_a_server_that_cannot_be_reached_is_told_without_a_word_of_the_connection_string(
    monkeypatch: pytest.MonkeyPatch, dsn: str, says: str
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("SHOP_DATABASE", dsn.format(closed=closed.getsockname()[1]))
        message = told(UserDatabase({"engine": "postgres", "dsn_variable": "SHOP_DATABASE"}, ""))
    assert "Postgres of $SHOP_DATABASE: " in message
    assert says in message
    assert USER not in message


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"password": "wrong-" + PASSWORD}, "the server refuses this user or password. Correct them in SHOP_DATABASE."),
        ({"user": "nobody_here"}, "the server refuses this user or password"),
        ({"database": "no_such_shop"}, "the server has no such database"),
        ({"database": "postgres?sslmode=require"}, "no encrypted connection came about"),
    ],
)
def test_what_a_server_refuses_is_told(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], says: str
) -> None:
    monkeypatch.setenv("SHOP_DATABASE", postgres.dsn(**change))
    message = told(UserDatabase({"engine": "postgres", "dsn_variable": "SHOP_DATABASE"}, ""))
    assert says in message
    assert not any(part in message for part in [*change.values(), USER])


def test_a_table_that_the_user_may_not_read_is_told(
    user_database: Open, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = user_database("postgres")
    database.store("transactions", rows(day(1)))
    database.run("CREATE ROLE guest LOGIN PASSWORD 'guest-of-the-house'")
    monkeypatch.setenv("SHOP_DATABASE", database.place.replace(f"{USER}:{PASSWORD}", "guest:guest-of-the-house"))
    assert "this user may not read transactions. Let the database's owner run `GRANT SELECT`." in told(database)
    database.run("DROP ROLE guest")


def test_a_table_of_another_schema_is_found_for_the_hint(user_database: Open) -> None:
    database = user_database("postgres")
    database.run("CREATE SCHEMA sales")
    database.run('CREATE TABLE sales."Transactions" (transaction_id int)')
    assert "Did you mean `sales.Transactions`?" in told(database)


def test_a_lost_server_is_no_traceback(user_database: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    database = user_database("postgres")
    database.store("transactions", rows(day(1)))
    query = "SELECT 1 AS transaction_id, now() AS event_time, pg_terminate_backend(pg_backend_pid()) AS gone"
    assert "the connection broke while rows were read" in told(database, query=query)
