"""Logical time: every stage works as of a moment in the data, never as of the wall clock."""

from typing import TYPE_CHECKING

import dagster as dg

from mlplatform.errors import LakeError
from mlplatform.lake.lake import Lake
from mlplatform.spec import Declaration

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AS_OF_TAG", "as_of_run", "newest_day_end"]

AS_OF_TAG = "mlplatform/as_of"


def as_of_run(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, uc: Declaration, lake: Lake
) -> "pd.Timestamp":
    """The run's tag `mlplatform/as_of`, else the end of the newest day in the spine."""
    import pandas as pd

    tag = context.run.tags.get(AS_OF_TAG)
    return pd.Timestamp(tag) if tag else newest_day_end(uc, lake)


def newest_day_end(uc: Declaration, lake: Lake) -> "pd.Timestamp":
    """Midnight behind the newest event of the spine.

    Raises:
        LakeError: the spine is empty.
    """
    import pandas as pd

    table = f"{uc.spec.name}.spine"
    with lake.read() as con:
        row = con.execute(f"SELECT max({uc.spec.event_time}) FROM {table}").fetchone()
    if row is None or row[0] is None:
        raise LakeError(f"{table} is empty: ingest data first (`mlplatform run {uc.spec.name}`)")
    return pd.Timestamp(row[0]).normalize() + pd.Timedelta(days=1)
