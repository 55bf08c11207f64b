import os

import duckdb
import pytest

from mlplatform.lake.engine import engine
from mlplatform.lake.extensions import EXTENSIONS, SQLITE


def test_nothing_of_one_connection_is_seen_by_the_next() -> None:
    with engine() as con:
        con.execute("CREATE TEMP TABLE mine AS SELECT 1 AS i")
        con.execute("ATTACH ':memory:' AS other")
    with engine() as con:
        names = con.execute("SELECT database_name FROM duckdb_databases() WHERE NOT internal").fetchall()
        assert "other" not in {name for (name,) in names}
        with pytest.raises(duckdb.CatalogException):
            con.execute("FROM mine")


def test_two_connections_at_once_are_of_different_instances() -> None:
    with engine() as one, engine() as two:
        one.execute("ATTACH ':memory:' AS only_here")
        names = {name for (name,) in two.execute("SELECT database_name FROM duckdb_databases()").fetchall()}
    assert "only_here" not in names


def test_extensions_load_from_the_wheels_and_duckdb_may_fetch_none() -> None:
    with engine() as con:
        loaded = {n for (n,) in con.execute("SELECT extension_name FROM duckdb_extensions() WHERE loaded").fetchall()}
        assert set(EXTENSIONS) <= loaded
        for name in ("autoinstall_known_extensions", "autoload_known_extensions"):
            assert con.execute("SELECT current_setting(?)", [name]).fetchone() == (False,)
        # A function of an extension that is not installed: refused at once, not looked for in the network.
        with pytest.raises(duckdb.CatalogException, match="spatial"):
            con.execute("SELECT ST_Point(1, 2)")


def test_an_instance_is_used_again_only_by_those_who_ask_for_the_same_extensions() -> None:
    with engine((SQLITE,)):
        pass
    with engine() as con:
        loaded = {n for (n,) in con.execute("SELECT extension_name FROM duckdb_extensions() WHERE loaded").fetchall()}
    assert set(EXTENSIONS) <= loaded


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_makes_its_own_instance() -> None:
    with engine():
        pass
    child = os.fork()
    if child == 0:
        with engine() as con:
            answer = con.execute("SELECT sum(i) FROM range(10) AS r(i)").fetchone()
        os._exit(0 if answer == (45,) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
