"""Parquet files as an SQL relation in which no value is another one than in its file."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeAlias

import duckdb

from mlplatform.contracts.casting import quote
from mlplatform.errors import SourceError
from mlplatform.ingest.named_files import NO_FOLDERS, listed
from mlplatform.ingest.place import File

__all__ = ["parquet_sql"]

_FLOATING = ("FLOAT", "DOUBLE")

_Types: TypeAlias = dict[tuple[str, ...], str]
"""The column and the members within it that lead to a value -> the value's type."""


def parquet_sql(con: duckdb.DuckDBPyConnection, files: Sequence[File]) -> str:
    """The files by their columns' names. A column that is floating in some and not in others is text, from which each
    number is cast exactly; as one floating column its whole numbers beyond 2^53 would change.

    Raises SourceError for an empty file, or where such a value lies within a column.
    """
    for file in files:
        if file.size == 0:
            raise SourceError(f"{file.name} is empty (0 bytes). Export it again, or take it out of the folder.")
    scan = _scan(files)
    if len(files) == 1 or not _may_be_mixed(con, files):
        return scan
    types = _types(con, files)
    mixed = _mixed(types)
    if not mixed:
        return scan
    runs = groupby(files, key=lambda file: [_type_of(types[file.name], column) for column in mixed])
    return " UNION ALL BY NAME ".join(_scan(list(run), dict(zip(mixed, kinds, strict=True))) for kinds, run in runs)


def _scan(files: Sequence[File], as_text: Mapping[str, str | None] | None = None) -> str:
    """`as_text`: column -> its type in all of these files; None where they lack it."""
    texts = ", ".join(_text(column, kind) for column, kind in (as_text or {}).items() if kind is not None)
    replaced = f" REPLACE ({texts})" if texts else ""
    return f"SELECT *{replaced} FROM read_parquet({listed(files)}, {NO_FOLDERS}, union_by_name = true)"


def _text(column: str, kind: str) -> str:
    name = quote(column)
    # NaN is a missing number, and not the text `nan`.
    given = f"CASE WHEN NOT isnan({name}) THEN {name} END" if kind in _FLOATING else name
    return f"CAST({given} AS VARCHAR) AS {name}"


def _may_be_mixed(con: duckdb.DuckDBPyConnection, files: Sequence[File]) -> bool:
    """Whether any name is that of a floating value and of another one: seldom, so that few pay for a closer look."""
    query = (
        f"SELECT lower(name) FROM parquet_schema({listed(files)}) WHERE coalesce(num_children, 0) = 0 GROUP BY ALL "
        f"HAVING bool_or(duckdb_type IN {_FLOATING}) AND NOT bool_and(duckdb_type IN {_FLOATING}) LIMIT 1"
    )
    return con.execute(query).fetchone() is not None


def _types(con: duckdb.DuckDBPyConnection, files: Sequence[File]) -> dict[str, _Types]:
    nodes = con.execute(
        f"SELECT file_name, name, duckdb_type, coalesce(num_children, 0) FROM parquet_schema({listed(files)})"
    ).fetchall()
    return {file: dict(_values(found)) for file, found in groupby(nodes, key=lambda node: node[0])}


def _values(nodes: Iterator[tuple[Any, ...]], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Of a file's tree, which is told from its root down, each node before those within it."""
    _, name, kind, children = next(nodes)
    path = (*above, name)
    if not children:
        yield path[1:], kind
    for _ in range(children):
        yield from _values(nodes, path)


def _type_of(types: _Types, column: str) -> str | None:
    return next((kind for path, kind in types.items() if len(path) == 1 and path[0].lower() == column.lower()), None)


def _mixed(types: Mapping[str, _Types]) -> list[str]:
    """The columns that are floating in some files only. Raises SourceError for one that lies within a column."""
    seen: dict[tuple[str, ...], dict[str, tuple[str, tuple[str, ...]]]] = {}
    for file, values in types.items():
        for path, kind in values.items():
            # Names that differ in case only are one column.
            seen.setdefault(tuple(name.lower() for name in path), {}).setdefault(kind, (file, path))
    mixed = [kinds for kinds in seen.values() if 0 < sum(kind in _FLOATING for kind in kinds) < len(kinds)]
    for kinds in mixed:
        (one, (file, path)), (other, (other_file, _)), *_ = kinds.items()
        if len(path) > 1:
            raise SourceError(
                f"{'.'.join(path)} is {one} in {file} and {other} in {other_file}: as one type its whole numbers "
                "beyond 2^53 would change. Export them with one type, or read them one by one (`files_per_commit: 1`)."
            )
    return [path[0] for kinds in mixed for _, path in [next(iter(kinds.values()))]]
