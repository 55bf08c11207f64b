"""One SQL, two clocks: the compiled text of a use case's feature model, run wherever its inputs are.

Training runs the text over the lake (dbt does). The service, the skew check and the leakage check run the same text,
unchanged, over rows they hold themselves: an in-memory DuckDB is attached under the lake's own name, with the rows to
be computed in the spine's table and what is known of the past in the tables the text reads.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlplatform.errors import LakeError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

__all__ = ["AskedBy", "FeatureQuery", "HistoryTable"]


@dataclass(frozen=True)
class HistoryTable:
    """A table of the past that the text reads, and how to cut it off at a moment."""

    table: str
    """`schema.name`, as in the lake."""
    time: str
    """Column that says when a row happened: a row is not there before."""
    lookback_days: int
    """Older rows change no feature."""
    known_at: Mapping[str, str]
    """Column that is learned later -> column that says when; the row is there before that, the value is not."""
    entities: tuple[str, ...]
    """Only rows that share one of these with the spine row matter to it; empty: all rows do."""


@dataclass(frozen=True)
class AskedBy:
    """What an application sends to have features computed for it, and what becomes of that."""

    contract: str
    """The table whose contract has a rule for each field."""
    fields: tuple[str, ...]
    spine: str | None
    """SQL from `request` (the fields, and `request_row`) to rows of the spine with `request_row`; None: the fields are
    columns of the spine, one row each."""
    happened: str | None
    """The history table, `schema.name`, in which later requests see this one; None: a request is no event."""


@dataclass(frozen=True)
class FeatureQuery:
    """Compiled SQL and the names of what goes in and comes out: one row per spine row, found by `key`."""

    use_case: str
    sql: str
    table: str
    """Where the lake keeps the result, `schema.name`."""
    spine: str
    """Table of the rows to be computed, `schema.name`."""
    key: str
    time: str
    history: tuple[HistoryTable, ...]
    known_at: Mapping[str, str] = field(default_factory=dict)
    """Column of the spine that is learned later -> column that says when. What a history table declares of a column of
    that name holds for the spine, too."""
    asked_by: AskedBy | None = None
    """None: the features are those of rows in the lake only."""

    @classmethod
    def from_manifest(cls, manifest: Path | Mapping[str, Any], use_case: str) -> FeatureQuery:
        """Read the model `<use case>_features` from the manifest.json that `dbt build` or `dbt compile` wrote.

        The names come from the model's `meta.feature_query`. Raises LakeError if the model is not there or has no
        compiled text: `dbt parse` writes none.
        """
        content = json.loads(manifest.read_text()) if isinstance(manifest, Path) else manifest
        nodes = {node["name"]: node for node in content["nodes"].values() if node["resource_type"] == "model"}
        model = nodes.get(f"{use_case}_features")
        if model is None:
            raise LakeError(f"dbt's manifest has no model {use_case}_features; have {', '.join(sorted(nodes))}")
        if not model.get("compiled_code"):
            raise LakeError(
                f"{use_case}_features is not compiled in dbt's manifest; use that of `dbt build` or compile"
            )
        meta = model["config"]["meta"].get("feature_query")
        if meta is None:
            raise LakeError(f"{use_case}_features declares no meta.feature_query; see models/fraud/_fraud.yml")
        return cls(
            use_case=use_case,
            sql=model["compiled_code"],
            table=_table(model),
            spine=_table(nodes[meta["spine"]]),
            key=meta["key"],
            time=meta["time"],
            history=tuple(_history(_table(nodes[name]), declared) for name, declared in meta["history"].items()),
            known_at=dict(meta.get("known_at", {})),
            asked_by=_asked_by(meta, nodes),
        )

    @classmethod
    def load(cls, path: Path) -> FeatureQuery:
        """Read what `save` wrote."""
        content = json.loads(path.read_text())
        history = tuple(_history(entry["table"], entry) for entry in content.pop("history"))
        asked = content.pop("asked_by", None)
        asked_by = AskedBy(**{**asked, "fields": tuple(asked["fields"])}) if asked else None
        return cls(**content, history=history, asked_by=asked_by)

    def learned_later(self, columns: Sequence[str]) -> dict[str, str]:
        """Those of the spine's `columns` that are learned later -> the column that says when."""
        declared = {name: at for table in self.history for name, at in table.known_at.items()} | dict(self.known_at)
        return {name: at for name, at in declared.items() if name in columns and at in columns}

    def save(self, path: Path) -> None:
        """Write everything as JSON, as it travels in a bento. A kill on the way leaves what was there before."""
        written = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            written.write_text(json.dumps(asdict(self), indent=1))
            written.replace(path)
        finally:
            written.unlink(missing_ok=True)

    def run(self, spine_rows: pa.Table, history: Mapping[str, pa.Table]) -> pa.Table:
        """Features of `spine_rows`, one row each in the order of `key`.

        `history` maps each table in `self.history` to its rows. Both have at least the columns that the text names;
        history need not hold the spine rows.

        Raises:
            LakeError: a history table is missing, or the text cannot run on these columns.
        """
        # Here: a service that is asked by features alone reads the text, and runs none.
        import duckdb

        missing = [wanted.table for wanted in self.history if wanted.table not in history]
        if missing:
            raise LakeError(f"the features of {self.use_case} need the history of {', '.join(missing)}; pass its rows")
        with duckdb.connect(config={"autoinstall_known_extensions": "false", "threads": "1"}) as con:
            try:
                con.execute("ATTACH ':memory:' AS lake")
                for table, rows in {**history, self.spine: spine_rows}.items():
                    _create(con, table, rows)
                return con.execute(f"SELECT * FROM ({self.sql}) ORDER BY {self.key}").to_arrow_table()
            except duckdb.Error as error:
                raise LakeError(f"the features of {self.use_case} cannot be computed: {error}") from error


def _create(con: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    con.execute(f"CREATE SCHEMA IF NOT EXISTS lake.{table.split('.')[0]}")
    con.register("_rows", rows)
    con.execute(f"CREATE TABLE lake.{table} AS FROM _rows")
    con.unregister("_rows")


def _table(node: Mapping[str, Any]) -> str:
    return f"{node['schema']}.{node['alias']}"


def _history(table: str, declared: Mapping[str, Any]) -> HistoryTable:
    return HistoryTable(
        table=table,
        time=declared["time"],
        lookback_days=int(declared["lookback_days"]),
        known_at=dict(declared.get("known_at", {})),
        entities=tuple(declared.get("entities", ())),
    )


def _asked_by(meta: Mapping[str, Any], nodes: Mapping[str, Any]) -> AskedBy | None:
    declared = meta.get("asked_by")
    if declared is None:
        return None
    fields, happened = tuple(declared["fields"]), declared.get("happened")
    needed = {meta["time"]}
    if "spine" not in declared:
        needed.add(meta["key"])
    if happened:
        needed |= {meta["key"], *meta["history"].get(happened, {}).get("entities", ())}
    if missing := sorted(needed - set(fields)):
        raise LakeError(f"feature_query.asked_by.fields must name {', '.join(missing)}, too: rows are found by it")
    return AskedBy(
        contract=declared.get("contract", "features"),
        fields=fields,
        spine=declared.get("spine"),
        happened=_table(nodes[happened]) if happened else None,
    )
