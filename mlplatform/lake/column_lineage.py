"""Which columns of which tables each column of a query comes from."""

import warnings
from collections.abc import Mapping, Sequence

__all__ = ["ColumnSources", "trace_columns"]

ColumnSources = dict[str, set[tuple[str, str]]]
"""Output column -> {(`schema.table`, column)}; a count of rows comes from no column."""


def trace_columns(sql: str, tables: Mapping[str, Sequence[str]], catalog: str = "lake") -> ColumnSources:
    """Trace every output column of a DuckDB query to the tables it reads.

    Args:
        sql: the compiled query; tables are written `catalog.schema.table`.
        tables: the columns of each table it reads, by `schema.table`.
        catalog: the name under which the lake is attached.
    """
    with warnings.catch_warnings():
        # sqlglot recommends another of its own speed-ups while it is imported.
        warnings.simplefilter("ignore", DeprecationWarning)
        from sqlglot import exp
        from sqlglot.lineage import lineage

    schemas: dict[str, dict[str, dict[str, str]]] = {}
    for table, columns in tables.items():
        schema, name = table.split(".")
        schemas.setdefault(schema, {})[name] = dict.fromkeys(columns, "unknown")
    return {
        column: {
            (f"{leaf.source.db}.{leaf.source.name}", leaf.name.split(".")[-1])
            for leaf in node.walk()
            # A table function, such as range(), is no table of the lake.
            if isinstance(leaf.source, exp.Table) and f"{leaf.source.db}.{leaf.source.name}" in tables
        }
        for column, node in lineage(None, sql, {catalog: schemas}, dialect="duckdb").items()
    }
