"""`batch_scores`: a table, or some days of it, scored by the champion; any number of rows.

Rows come from the lake a batch at a time, go through the model into a file, and from there into the lake in one short
transaction: the write lock is not held while the model works, and a run that is killed leaves nothing behind.
"""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.errors import ArtifactError, LakeError
from mlplatform.lake.lake import Lake, table_exists
from mlplatform.lake.tables import describe_table, widen
from mlplatform.resources.lake import LakeResource, table_metadata
from mlplatform.spec import Declaration
from mlplatform.stages.code_version import code_version
from mlplatform.stages.deployment import current_deployment
from mlplatform.stages.event_days import days_of_run, event_days
from mlplatform.stages.naming import asset_attributes, asset_key

if TYPE_CHECKING:
    from mlplatform.ml.model import Model

__all__ = ["BatchScoring", "batch_scores_asset", "batch_scores_job", "batch_scores_table"]

_DESCRIPTION = "A table, or some days of it, scored by the live model. Run by its own job."
_PROGRESS_ROWS = 5_000_000


class BatchScoring(dg.Config):
    """What to score."""

    table: str = ""
    """`schema.table` of the lake that has the features; default: the features of the use case."""
    start: str = ""
    """First day, YYYY-MM-DD; default: from the beginning. A run over partitions has their days instead."""
    end: str = ""
    """The day behind the last; default: to the end."""
    batch_rows: int = 100_000
    """Rows in memory at a time."""


def batch_scores_job(uc: Declaration) -> str:
    """Name of the job that scores a table."""
    return f"{uc.spec.name}_batch_scores"


def batch_scores_table(uc: Declaration) -> str:
    """The lake table: entity keys, event time, answers, source table, model version."""
    return f"{uc.spec.name}.batch_scores"


def batch_scores_asset(uc: Declaration) -> dg.AssetsDefinition:
    """Score the run's days, or, in a run without days, what its configuration names, with what is live; the same days
    of the same table by the same version replace their earlier scores."""
    version = code_version("ml/batch.py", "stages/batch_scores.py", "stages/event_days.py")

    @dg.asset(
        **asset_attributes(uc, "batch_scores", _DESCRIPTION, {"duckdb"}, "serving", version),
        deps=[asset_key(uc, "deployment"), asset_key(uc, "features")],
        partitions_def=event_days(uc),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def batch_scores(context: dg.AssetExecutionContext, config: BatchScoring, lake: LakeResource) -> Iterator[Any]:
        from mlplatform.ml.model import Model

        live = current_deployment(uc)
        if live is None:
            raise ArtifactError(f"nothing is deployed for {uc.spec.name}; train first")
        opened, part = lake.open(), _Part.of(uc, config, context.run.tags)
        model = Model.load(Path(live.path))
        with tempfile.TemporaryDirectory(prefix="mlplatform-scores-") as folder:
            file = Path(folder) / "scores.parquet"
            rows = _score(context, uc, opened, model, part, config.batch_rows, file)
            _store(uc, opened, part, int(live.version), file)
        context.log.info(f"{rows:,} rows of {part} scored by v{live.version}")
        yield dg.MaterializeResult(
            metadata={
                **table_metadata(describe_table(opened, batch_scores_table(uc))),
                "scored_rows": rows,
                "scored": str(part),
                "model_version": int(live.version),
            }
        )

    return batch_scores


@dataclass(frozen=True)
class _Part:
    """Some days of a table."""

    table: str
    time: str
    start: datetime | None
    end: datetime | None

    @classmethod
    def of(cls, uc: Declaration, config: BatchScoring, tags: Mapping[str, str]) -> "_Part":
        table = config.table or f"{uc.spec.name}.features"
        if table.count(".") != 1 or not all(part.isidentifier() for part in table.split(".")):
            raise LakeError(f"`table` names a table of the lake, like {uc.spec.name}.features, not {table!r}")
        start, end = days_of_run(tags) or (_day("start", config.start), _day("end", config.end))
        return cls(table, uc.spec.event_time, start, end)

    @property
    def where(self) -> str:
        bounds = [f"{self.time} {sign} ?" for sign, day in ((">=", self.start), ("<", self.end)) if day is not None]
        return " AND ".join(bounds) or "true"

    @property
    def bounds(self) -> list[datetime]:
        return [day for day in (self.start, self.end) if day is not None]

    def __str__(self) -> str:
        since = f" from {self.start:%Y-%m-%d}" if self.start else ""
        return f"{self.table}{since}{f' to before {self.end:%Y-%m-%d}' if self.end else ''}"


def _day(name: str, text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        raise LakeError(f"`{name}` takes a day like 2018-08-01, not {text!r}") from None


def _score(
    context: dg.AssetExecutionContext,
    uc: Declaration,
    lake: Lake,
    model: "Model",
    part: _Part,
    batch_rows: int,
    file: Path,
) -> int:
    import pyarrow.parquet as pq

    from mlplatform.ml.batch import score_batches

    kept = [*uc.spec.entity_keys, uc.spec.event_time]
    done, writer = 0, None
    with lake.read() as con:
        _require(con, part, [*kept, *model.features])
        columns = ", ".join(dict.fromkeys([*kept, *model.features]))
        found = con.execute(f"SELECT {columns} FROM {part.table} WHERE {part.where}", part.bounds)
        for table, rows in score_batches(model, found.to_arrow_reader(batch_rows), kept):
            writer = writer or pq.ParquetWriter(file, table.schema)
            writer.write_table(table)
            if (done + rows) // _PROGRESS_ROWS > done // _PROGRESS_ROWS:
                context.log.info(f"{done + rows:,} rows scored")
            done += rows
    if writer is None:
        raise LakeError(f"{part} has no row; check `table`, `start` and `end`")
    writer.close()
    return done


def _require(con: Any, part: _Part, columns: list[str]) -> None:
    if not table_exists(con, part.table):
        raise LakeError(f"the lake has no table {part.table}")
    have = {str(row[0]) for row in con.execute(f"DESCRIBE {part.table}").fetchall()}
    if missing := [name for name in columns if name not in have]:
        raise LakeError(f"{part.table} lacks {', '.join(missing)}, which the live model needs; it has {sorted(have)}")


def _store(uc: Declaration, lake: Lake, part: _Part, version: int, file: Path) -> None:
    table, schema = batch_scores_table(uc), uc.spec.name
    now = datetime.now(UTC).replace(tzinfo=None)
    incoming = (
        f"SELECT *, {version} AS model_version, '{part.table}' AS scored_table, TIMESTAMP '{now}' AS scored_at "
        f"FROM read_parquet('{file}')"
    )

    def write(con: Any) -> None:
        con.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        if not table_exists(con, table):
            con.execute(f"CREATE TABLE {table} AS {incoming} LIMIT 0")
        # Another version may answer otherwise, such as with other quantiles.
        widen(con, table, con.execute(f"{incoming} LIMIT 0").to_arrow_table())
        con.execute(
            f"DELETE FROM {table} WHERE model_version = ? AND scored_table = ? AND {part.where}",
            [version, part.table, *part.bounds],
        )
        con.execute(f"INSERT INTO {table} BY NAME {incoming}")

    lake.commit(write, f"{uc.spec.name}: scores of {part} by v{version}")
