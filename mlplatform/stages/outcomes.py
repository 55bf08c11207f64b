"""`outcomes`: predictions joined with the labels that have arrived since."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.home import Home
from mlplatform.lake.predictions import new_outcomes, outcomes_table, withdrawn_outcomes
from mlplatform.lake.tables import describe_table, merge_rows, widen
from mlplatform.resources.lake import LakeResource, table_metadata
from mlplatform.spec import Declaration
from mlplatform.stages.clock import as_of_run
from mlplatform.stages.code_version import code_version
from mlplatform.stages.naming import asset_attributes, asset_key

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["key_hash", "outcomes_asset"]

_DESCRIPTION = "Predictions whose label has arrived since: found by the entity keys that the request named."


def outcomes_asset(uc: Declaration) -> dg.AssetsDefinition:
    """Add what became known until the run's logical time; a label that was corrected replaces the old one, and one that
    was withdrawn is taken out."""
    version = code_version("lake/predictions.py", "stages/outcomes.py", declared=uc.spec.journal)

    @dg.asset(
        **asset_attributes(uc, "outcomes", _DESCRIPTION, {"duckdb"}, "monitoring", version),
        deps=[asset_key(uc, "prediction_log"), asset_key(uc, "features")],
    )
    def outcomes(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[Any]:
        opened, table = lake.open(), outcomes_table(uc.spec)
        moment = as_of_run(context, uc, opened)
        found = new_outcomes(opened, uc.spec, moment.to_pydatetime(), key_hash(uc))
        withdrawn = withdrawn_outcomes(opened, uc.spec, key_hash(uc))

        def write(con: Any) -> int:
            widen(con, table, found)
            if withdrawn:
                con.execute(f"DELETE FROM {table} WHERE prediction_id IN (SELECT unnest(?))", [withdrawn])
            return merge_rows(con, table, found, ["prediction_id"])

        opened.commit(write, f"outcomes {moment:%Y-%m-%d}")
        gone = f", {len(withdrawn):,} were withdrawn" if withdrawn else ""
        context.log.info(f"{len(found):,} labels arrived or changed{gone}")
        told = {"new_or_changed": len(found), "withdrawn": len(withdrawn)}
        yield dg.MaterializeResult(metadata={**table_metadata(describe_table(opened, table)), **told})

    return outcomes


def key_hash(uc: Declaration) -> "Callable[[str], str] | None":
    """What the journal does to keys that are kept as a hash; None where none is."""
    if not uc.spec.journal.hashed:
        return None
    from mlplatform.serving.journal import keyed_hash
    from mlplatform.serving.journal_key import journal_key

    return partial(keyed_hash, journal_key(Home.current()).encode())
