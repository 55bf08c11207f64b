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
        from sqlglot import exp, parse_one
        from sqlglot.lineage import lineage
        from sqlglot.optimizer.qualify import qualify
        from sqlglot.optimizer.scope import build_scope

    schemas: dict[str, dict[str, dict[str, str]]] = {}
    for table, columns in tables.items():
        schema, name = table.split(".")
        schemas.setdefault(schema, {})[name] = dict.fromkeys(columns, "unknown")
    query = qualify(parse_one(sql, dialect="duckdb"), schema={catalog: schemas}, dialect="duckdb", identify=False)
    # One scope for all columns: building it anew for each of 25 columns took most of the time.
    scope = build_scope(query)
    traced: ColumnSources = {}
    for select in query.selects:
        column = select.alias_or_name
        node = lineage(column, query, schema=None, dialect="duckdb", scope=scope, copy=False, trim_selects=False)
        traced[column] = {
            (f"{leaf.source.db}.{leaf.source.name}", leaf.name.split(".")[-1])
            for leaf in node.walk()
            if isinstance(leaf.source, exp.Table)
        }
    return traced
