"""One layout for the bad rows of every contract, so that they all fit one table."""

from datetime import datetime

import pyarrow as pa

from mlplatform.contracts.casting import quote
from mlplatform.contracts.scratch import scratch

__all__ = ["QUARANTINE_KEY", "quarantine_rows"]

QUARANTINE_KEY = ["quarantine_id"]

_SQL = """
WITH texts AS (
    SELECT _reason, to_json(struct_pack({fields}))::VARCHAR AS "row", row_number() OVER () AS position FROM bad
),
counted AS (
    SELECT *, row_number() OVER (PARTITION BY "row" ORDER BY position) AS copy FROM texts
)
SELECT
    md5(concat_ws(chr(31), $use_case::VARCHAR, $source::VARCHAR, "row", copy)) AS quarantine_id,
    $use_case::VARCHAR AS use_case, $source::VARCHAR AS source, $batch::VARCHAR AS batch,
    _reason, "row", $at::TIMESTAMP AS _loaded_at
FROM counted ORDER BY position
"""


def quarantine_rows(bad: pa.Table, *, use_case: str, source: str, batch: str, loaded_at: datetime) -> pa.Table:
    """Bad rows for the quarantine table: quarantine_id, use_case, source, batch, _reason, row (JSON text), _loaded_at.

    `quarantine_id` depends on the use case, the source and the row's content alone: the same row that comes again, in
    this batch or another, is merged with itself (key `QUARANTINE_KEY`). Equal rows of one batch are counted apart.
    `bad` is as `check_rows` gives it.
    """
    fields = ", ".join(f"{quote(name)} := {quote(name)}" for name in bad.column_names if name != "_reason")
    stamp = {"use_case": use_case, "source": source, "batch": batch, "at": loaded_at}
    with scratch() as con:
        con.register("bad", bad)
        return con.execute(_SQL.format(fields=fields), stamp).to_arrow_table()
