"""The compiled text in an embedded DuckDB that is attached under the lake's own name: planned once, run per batch."""

from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa

from mlplatform.errors import LakeError
from mlplatform.serving.raw.history import Past
from mlplatform.serving.raw.settings import RawSettings

__all__ = ["FeatureEngine"]

ROW = "request_row"
"""Which request a spine row belongs to, counted from 0; no column of the spine may be called so."""

_BY_STATISTICS = "compressed_materialization,statistics_propagation"
"""Both write what they saw of the tables into a prepared plan, e.g. a column's minimum; DuckDB 1.5.5 runs that plan on
other rows and returns other numbers, without a word. Each batch has other rows."""


class FeatureEngine:
    """Computes features of a few requests. Used by one thread at a time."""

    def __init__(self, settings: RawSettings) -> None:
        self._settings = settings
        self._con = duckdb.connect(config={"autoinstall_known_extensions": "false", "threads": "1"})
        self._con.execute(f"SET disabled_optimizers = '{_BY_STATISTICS}'")
        self._con.execute("ATTACH ':memory:' AS lake")
        self._prepared: Past | None = None

    def close(self) -> None:
        """Free the memory."""
        self._con.close()

    def run(self, events: pa.Table, history: Mapping[str, pa.Table], past: Past) -> list[list[dict[str, Any]]]:
        """Features of each event: one row, or as many as the query makes of it, in the order of the key.

        Args:
            events: one row per event, the columns that an application sends.
            history: for each table with entities the rows that matter to these events.
            past: where the tables without entities come from; they are copied when it changes.

        Raises:
            LakeError: the text cannot run on this.
        """
        query, con = self._settings.query, self._con
        try:
            if self._prepared is not past:
                self._prepare(past)
            # Nothing is ever committed: the tables are empty again after the batch, and nothing piles up in them.
            con.execute("BEGIN")
            try:
                for table in query.history:
                    if table.entities and history[table.table].num_rows:
                        _insert(con, f"INSERT INTO lake.{table.table} FROM rows", history[table.table])
                self._ask(events)
                found = con.execute("EXECUTE features").to_arrow_table()
            finally:
                con.execute("ROLLBACK")
        except duckdb.Error as error:
            raise LakeError(f"the features of {query.use_case} cannot be computed: {error}") from error
        return self._by_request(found, events)

    def _prepare(self, past: Past) -> None:
        """Tables with the columns that the history has now, and the plan of the text over them."""
        query, settings, con = self._settings.query, self._settings, self._con
        columns = ", ".join(f'"{name}" {kind}' for name, kind in settings.spine)
        self._create(query.spine, f"({columns})")
        con.execute(f"CREATE OR REPLACE TABLE lake.main.asked ({ROW} BIGINT, {columns})")
        for table in query.history:
            rows = past.tables[table.table].rows
            con.register("rows", rows.slice(0, 0) if table.entities else rows)
            self._create(table.table, "AS FROM rows")
            con.unregister("rows")
        con.execute(f"PREPARE features AS {self._text()}")
        self._prepared = past

    def _text(self) -> str:
        """The query's, unchanged; where the fields are no key, with the request that each row belongs to."""
        query = self._settings.query
        if self._settings.asked_by.spine is None:
            return query.sql
        return (
            f"SELECT asked.{ROW}, computed.* FROM ({query.sql}) AS computed JOIN lake.main.asked AS asked "
            f"ON asked.{query.key} = computed.{query.key} ORDER BY computed.{query.key}"
        )

    def _ask(self, events: pa.Table) -> None:
        con, query, spine = self._con, self._settings.query, self._settings.asked_by.spine
        if spine is None:
            _insert(con, f"INSERT INTO lake.{query.spine} BY NAME FROM rows", events)
            return
        numbered = events.append_column(ROW, pa.array(range(events.num_rows), pa.int64()))
        _insert(con, f"INSERT INTO lake.main.asked BY NAME (WITH request AS (FROM rows) {spine})", numbered)
        con.execute(f"INSERT INTO lake.{query.spine} SELECT * EXCLUDE {ROW} FROM lake.main.asked")

    def _by_request(self, found: pa.Table, events: pa.Table) -> list[list[dict[str, Any]]]:
        """Rows as dicts of Python values, those of one request together."""
        of_request: list[list[dict[str, Any]]] = [[] for _ in range(events.num_rows)]
        rows = _plain(found).to_pylist()
        if self._settings.asked_by.spine is not None:
            for row in rows:
                of_request[row.pop(ROW)].append(row)
            return of_request
        key = self._settings.query.key
        numbers = {value: number for number, value in enumerate(events[key].to_pylist())}
        for row in rows:
            of_request[numbers[row[key]]].append(row)
        return of_request

    def _create(self, table: str, content: str) -> None:
        con = self._con
        con.execute(f"CREATE SCHEMA IF NOT EXISTS lake.{table.split('.')[0]}")
        con.execute(f"CREATE OR REPLACE TABLE lake.{table} {content}")


def _insert(con: duckdb.DuckDBPyConnection, statement: str, rows: pa.Table) -> None:  # noqa: ARG001
    """`rows` is what the statement calls so: DuckDB finds the variable, which is cheaper than to register it."""
    con.execute(statement)


def _plain(rows: pa.Table) -> pa.Table:
    """Decimals as float64, which is what training makes of them."""
    kinds = [pa.float64() if pa.types.is_decimal(field.type) else field.type for field in rows.schema]
    return rows if kinds == rows.schema.types else rows.cast(pa.schema(zip(rows.column_names, kinds, strict=True)))
