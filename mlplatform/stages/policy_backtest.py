"""`policy_backtest`: what several policies would have cost and gained over the history in the lake."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.errors import LakeError
from mlplatform.home import Home
from mlplatform.lake.lake import Lake, table_exists
from mlplatform.lake.tables import describe_table, replace_table
from mlplatform.resources.lake import LakeResource, table_metadata
from mlplatform.spec import Declaration
from mlplatform.stages.code_version import code_version
from mlplatform.stages.jobs import BACKTEST
from mlplatform.stages.naming import asset_attributes, asset_key
from mlplatform.stages.pictures import picture

if TYPE_CHECKING:
    import pandas as pd

    from mlplatform.ml.backtest import Backtest

__all__ = ["PolicyBacktestConfig", "backtest_table", "policy_backtest_asset", "replay_policies"]

_CODE = ("ml", "spec")
_DESCRIPTION = (
    "History replayed for several policies: retrainings, seconds, the metric over time, and which policy to choose. "
    "In no other job: it trains a model for each window."
)


class PolicyBacktestConfig(dg.Config):
    """What a person may choose before a run."""

    policies: list[str] = []
    """Names: never, weekly, monthly, drift, performance, combined, declared; empty: all but monthly."""
    windows: int | None = None
    """How many of the latest windows; none: all behind the first training."""
    jobs: int | None = None
    """How many processes at most; none: one for each core."""


def backtest_table(uc: Declaration) -> str:
    """The lake table with one row per policy, label delay and window of the latest backtest."""
    return f"{uc.spec.name}.{BACKTEST}"


def policy_backtest_asset(uc: Declaration) -> dg.AssetsDefinition:
    """Replay, keep the course of every policy, say which one to choose."""
    version = code_version(*_CODE, "stages/policy_backtest.py", declared=uc.spec)

    @dg.asset(
        **asset_attributes(uc, BACKTEST, _DESCRIPTION, {"duckdb"}, "monitoring", version),
        deps=[asset_key(uc, "features"), asset_key(uc, "spine")],
    )
    def policy_backtest(
        context: dg.AssetExecutionContext, config: PolicyBacktestConfig, lake: LakeResource
    ) -> dg.MaterializeResult[Any]:
        opened = lake.open()
        found = replay_policies(uc, opened, config.policies, config.windows, config.jobs, context.log.info)
        context.log.info(found.recommendation)
        return dg.MaterializeResult(metadata=_metadata(uc, opened, found))

    return policy_backtest


def replay_policies(
    uc: Declaration,
    lake: Lake,
    names: Sequence[str],
    windows: int | None,
    jobs: int | None,
    progress: Callable[[str], None],
) -> "Backtest":
    """Replay the history in the lake, and keep the result there.

    Raises:
        LakeError: there are no features yet.
        SpecError: a name means no policy.
        TrainingError: history is too short.
    """
    from mlplatform.ml.backtest import backtest, standard_policies

    policies = standard_policies(uc.spec.policy, names)
    found = backtest(
        _history(uc, lake),
        uc.spec,
        policies,
        folder=Home.current().backtests / uc.spec.name,
        version=code_version(*_CODE),
        windows=windows,
        jobs=jobs,
        progress=progress,
    )
    lake.commit(lambda con: replace_table(con, backtest_table(uc), found.frame()), f"policy backtest of {uc.spec.name}")
    return found


def _history(uc: Declaration, lake: Lake) -> "pd.DataFrame":
    spec, table = uc.spec, f"{uc.spec.name}.features"
    told = ", ".join(f"s.{name}" for name in (spec.training.label, spec.label_known_at, spec.training.weight) if name)
    with lake.read() as con:
        if not table_exists(con, table):
            raise LakeError(f"there is no {table} to replay; run `mlplatform run {spec.name}` first")
        return con.execute(
            f"SELECT f.*, {told} FROM {table} AS f JOIN {spec.name}.spine AS s USING ({', '.join(spec.entity_keys)}) "
            f"ORDER BY f.{spec.event_time}, {', '.join(f'f.{key}' for key in spec.entity_keys)}"
        ).df()


def _metadata(uc: Declaration, lake: Lake, found: "Backtest") -> dict[str, Any]:
    from mlplatform.ml.backtest_plots import plot_backtest

    chosen = found.recommended()
    return {
        "recommendation": found.recommendation,
        "course": picture(plot_backtest(found), "metric, retrainings and cost of each policy"),
        "policies": dg.MetadataValue.table([dg.TableRecord(row) for row in found.summary()]),
        "recommended": chosen.policy,
        "estimates": str(found.estimates or "this task's scores promise nothing of its metric"),
        "windows": len(chosen.windows),
        **table_metadata(describe_table(lake, backtest_table(uc))),
    }
