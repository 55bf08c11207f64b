"""DuckDB instances with the extensions loaded, used again and again.

Loading the two extensions costs 0.37 s of CPU (DuckDB checks the signature of 50 MB); a lake that is opened for each
transaction would spend most of its time there.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from mlplatform.lake.extensions import EXTENSIONS, extension_file

__all__ = ["engine"]

# More instances of one set of extensions are closed after use; few processes ever need two at once.
_KEEP = 4

_idle: dict[tuple[str, ...], list[duckdb.DuckDBPyConnection]] = {}
_guard = threading.Lock()
# Instances of the parent process, in a forked child: their threads are gone, so even closing one could hang.
_abandoned: list[duckdb.DuckDBPyConnection] = []


@contextmanager
def engine(extensions: tuple[str, ...] = EXTENSIONS) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to an in-memory DuckDB of its own, with the extensions loaded (the lake's) and nothing attached.

    The caller may attach databases, register objects and create temporary tables: none of it is seen by the next one.
    `SET GLOBAL` is: do not use it.
    """
    instance = _take(extensions)
    connection = instance.cursor()
    try:
        # The bar of queries over 2 s would land in the middle of a command's output.
        connection.execute("SET enable_progress_bar = false")
        yield connection
    except BaseException:
        connection.close()
        instance.close()
        raise
    connection.close()
    _give_back(instance, extensions)


def _take(extensions: tuple[str, ...]) -> duckdb.DuckDBPyConnection:
    with _guard:
        if _idle.get(extensions):
            return _idle[extensions].pop()
    instance = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
    for name in extensions:
        path = str(extension_file(name)).replace("'", "''")
        instance.execute(f"LOAD '{path}'")
    return instance


def _give_back(instance: duckdb.DuckDBPyConnection, extensions: tuple[str, ...]) -> None:
    if not _is_emptied(instance):
        instance.close()
        return
    with _guard:
        kept = _idle.setdefault(extensions, [])
        if len(kept) < _KEEP:
            kept.append(instance)
            return
    instance.close()


def _is_emptied(instance: duckdb.DuckDBPyConnection) -> bool:
    """Detach everything. False if that fails (a cursor is still open): by then the caller's work is committed, so an
    error here would make it look undone, and a retry would do it twice.
    """
    attached = "SELECT database_name FROM duckdb_databases() WHERE NOT internal AND database_name <> 'memory'"
    try:
        for (name,) in instance.execute(attached).fetchall():
            instance.execute(f'DETACH DATABASE IF EXISTS "{name}"')
    except duckdb.Error:
        return False
    return True


def _forget() -> None:
    global _guard
    _abandoned.extend(instance for kept in _idle.values() for instance in kept)
    _idle.clear()
    _guard = threading.Lock()


os.register_at_fork(after_in_child=_forget)
