"""DuckDB instances with the extensions loaded, used again and again.

Loading the two extensions costs 0.37 s of CPU (DuckDB checks the signature of 50 MB); a lake that is opened for each
transaction would spend most of its time there.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from mlplatform.lake.extensions import EXTENSIONS, extension_file

__all__ = ["engine"]

# More instances than this are closed after use; few processes ever need two at once.
_KEEP = 4

_idle: list[duckdb.DuckDBPyConnection] = []
_guard = threading.Lock()


@contextmanager
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to an in-memory DuckDB of its own, with nothing attached.

    The caller may attach databases, register objects and create temporary tables: none of it is seen by the next one.
    """
    instance = _take()
    connection = instance.cursor()
    try:
        yield connection
    except BaseException:
        connection.close()
        instance.close()
        raise
    connection.close()
    _give_back(instance)


def _take() -> duckdb.DuckDBPyConnection:
    with _guard:
        if _idle:
            return _idle.pop()
    config = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    instance = duckdb.connect(":memory:", config=config)
    for name in EXTENSIONS:
        path = str(extension_file(name)).replace("'", "''")
        instance.execute(f"LOAD '{path}'")
    return instance


def _give_back(instance: duckdb.DuckDBPyConnection) -> None:
    attached = "SELECT database_name FROM duckdb_databases() WHERE NOT internal AND database_name <> 'memory'"
    for (name,) in instance.execute(attached).fetchall():
        instance.execute(f'DETACH DATABASE IF EXISTS "{name}"')
    with _guard:
        if len(_idle) < _KEEP:
            _idle.append(instance)
            return
    instance.close()
