"""From the journal's segments into the lake: every line once, whoever is killed or runs twice meanwhile.

How far a segment has been read stands in the lake and moves in the same transaction as its rows. A segment is removed
when its writer has ended and all of it is in the lake.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlplatform.lake.lake import Lake, table_exists
from mlplatform.lake.tables import append_rows, widen
from mlplatform.serving.codec import dumps, loads
from mlplatform.serving.segments import Segment, segments

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

__all__ = ["COLUMNS", "Ingested", "ingest_journal", "offsets_table", "prediction_schema"]

COLUMNS = (
    *("prediction_id", "request_id", "predicted_at", "event_time", "model_version", "bento", "role", "latency_ms"),
    *("score", "decision", "answer", "reasons", "features"),
)
"""Of the table, beside the entity keys."""
CHUNK_BYTES = 8 * 1024 * 1024
_SCORES = ("score", "forecast")


@dataclass(frozen=True)
class Ingested:
    """What one ingest did. `unreadable`: lines that are no entry, kept as they are in a table of their own.
    `torn_bytes`: of lines that a killed service had not finished."""

    rows: int = 0
    segments: int = 0
    unreadable: int = 0
    torn_bytes: int = 0

    def plus(self, other: "Ingested") -> "Ingested":
        """Both together."""
        return Ingested(*(getattr(self, n) + getattr(other, n) for n in self.__dataclass_fields__))


def offsets_table(table: str) -> str:
    """How far each segment of the journal of `table` has been read."""
    return f"{table}_segments"


def ingest_journal(lake: Lake, folder: Path, table: str, keys: Sequence[str]) -> Ingested:
    """Append what is new in the segments of `folder` to `table` (schema.name).

    A live segment is read up to its last whole line. Memory: some times CHUNK_BYTES.
    """
    if not lake.has_table(table):
        lake.commit(lambda con: append_rows(con, table, prediction_schema(keys).empty_table()), f"{table} begins")
    total = Ingested()
    for segment in segments(folder):
        try:
            total = total.plus(_ingest(lake, segment, table, keys))
        except FileNotFoundError:
            # Another ingest was at it too, and was first.
            continue
    return total


def _ingest(lake: Lake, segment: Segment, table: str, keys: Sequence[str]) -> Ingested:
    done, place = Ingested(segments=1), _offset(lake, table, segment)
    while True:
        lines, behind = segment.lines(place, CHUNK_BYTES)
        if not lines:
            break
        batch = _read(segment, lines, keys, place, behind)
        if not _commit(lake, table, batch):
            place = _offset(lake, table, segment)
            continue
        done = done.plus(Ingested(len(batch.rows), 0, len(batch.unreadable)))
        place = behind
    torn = segment.remove_if_ended(place)
    return done.plus(Ingested(torn_bytes=torn or 0))


def _offset(lake: Lake, table: str, segment: Segment) -> int:
    if not lake.has_table(offsets_table(table)):
        return 0
    with lake.read() as con:
        return _read_until(con, table, segment.name)


def _read_until(con: "duckdb.DuckDBPyConnection", table: str, segment: str) -> int:
    row = con.execute(f"SELECT max(read_until) FROM {offsets_table(table)} WHERE segment = ?", [segment]).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


@dataclass(frozen=True)
class _Batch:
    """Lines of a segment from the byte `start` to `behind`."""

    segment: str
    start: int
    behind: int
    rows: "pa.Table"
    unreadable: "pa.Table"


def _commit(lake: Lake, table: str, batch: _Batch) -> bool:
    """False if somebody else has read on meanwhile: nothing is written then."""
    import pyarrow as pa

    moved = pa.table({"segment": [batch.segment], "read_until": pa.array([batch.behind], pa.int64())})

    def write(con: "duckdb.DuckDBPyConnection") -> bool:
        offsets = offsets_table(table)
        if table_exists(con, offsets):
            if _read_until(con, table, batch.segment) != batch.start:
                return False
            con.execute(f"DELETE FROM {offsets} WHERE segment = ?", [batch.segment])
        append_rows(con, offsets, moved)
        # Entity keys may have come since.
        widen(con, table, batch.rows)
        append_rows(con, table, batch.rows)
        if len(batch.unreadable):
            widen(con, f"{table}_unreadable", batch.unreadable)
            append_rows(con, f"{table}_unreadable", batch.unreadable)
        return True

    return lake.commit(write, f"{len(batch.rows)} predictions of {batch.segment}").value


def _read(segment: Segment, lines: list[tuple[int, bytes]], keys: Sequence[str], start: int, behind: int) -> _Batch:
    import pyarrow as pa

    good: list[dict[str, Any]] = []
    bad: list[dict[str, Any]] = []
    read_at = datetime.now(UTC).replace(tzinfo=None)
    for place, line in lines:
        identity = f"{segment.name}:{place:010}"
        try:
            good.append(_row(identity, loads(line), keys))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            told = {"line": line.decode(errors="replace"), "problem": f"{type(error).__name__}: {error}"}
            bad.append({"prediction_id": identity, **told, "read_at": read_at})
    texts = [(name, pa.string()) for name in ("prediction_id", "line", "problem")]
    unreadable = pa.schema([*texts, ("read_at", pa.timestamp("us"))])
    return _Batch(
        segment.name,
        start,
        behind,
        pa.Table.from_pylist(good, prediction_schema(keys)),
        pa.Table.from_pylist(bad, unreadable),
    )


def prediction_schema(keys: Sequence[str]) -> "pa.Schema":
    """Columns and types of the table, for entity keys of these names."""
    import pyarrow as pa

    moment, number = pa.timestamp("us"), pa.float64()
    kinds = {"predicted_at": moment, "event_time": moment, "latency_ms": number, "score": number}
    kinds |= {"model_version": pa.int64(), "decision": pa.bool_()}
    return pa.schema([(name, kinds.get(name, pa.string())) for name in (COLUMNS[0], *keys, *COLUMNS[1:])])


def _row(identity: str, entry: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    answer = dict(entry["answer"])
    reasons = answer.pop("reasons", None)
    predicted_at = datetime.fromisoformat(entry["predicted_at"])
    return {
        "prediction_id": identity,
        **{name: entry["keys"].get(name) for name in keys},
        "request_id": entry["request_id"],
        "predicted_at": predicted_at,
        # Who does not say when it happened asks when it happens.
        "event_time": datetime.fromisoformat(entry["event_time"]) if entry["event_time"] else predicted_at,
        "model_version": int(entry["version"]),
        "bento": entry["bento"],
        "role": entry["role"],
        "latency_ms": float(entry["latency_ms"]),
        "score": next((float(answer[name]) for name in _SCORES if name in answer), None),
        "decision": answer.get("decision"),
        "answer": dumps(answer).decode(),
        "reasons": dumps(reasons).decode() if reasons is not None else None,
        "features": dumps(entry["features"]).decode(),
    }
