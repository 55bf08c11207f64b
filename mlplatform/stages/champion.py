"""`champion`: all candidates and the incumbent on the same unseen rows, the gates, and the alias moved, or why not."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.lake.lake import table_exists
from mlplatform.lake.tables import append_rows, describe_table
from mlplatform.resources.lake import SNAPSHOT, LakeResource, recorded_metadata, table_metadata
from mlplatform.resources.tracking import Registered, Tracking
from mlplatform.spec import Declaration
from mlplatform.stages.alias import (
    PROMOTION,
    champion_lock,
    record_alias,
    recorded_champion,
    rolled_back,
    settled_champion,
)
from mlplatform.stages.code_version import code_version
from mlplatform.stages.naming import asset_attributes, asset_key, check_result, check_spec
from mlplatform.stages.pause import current_pause
from mlplatform.stages.pictures import picture
from mlplatform.stages.skew_block import open_skew
from mlplatform.stages.trained import TRAINED_ON, Trained, candidate_stage, trained_models
from mlplatform.stages.training_set import AS_OF

if TYPE_CHECKING:
    import pandas as pd

    from mlplatform.ml.compare import Comparison, Contender

__all__ = ["COMPARISON_FILE", "GATES", "champion_asset", "champion_table", "comparison_record"]

COMPARISON_FILE = "comparison.json"
"""In the MLflow run of a promoted model: what it was compared with, its gates and its slices."""

GATES = {
    "metric_floor": "The metric on unseen rows reaches the declared floor.",
    "incumbent": "On the same rows, better or not worse than the incumbent (paired bootstrap interval).",
    "calibration": "Answers come true as often as they say.",
    "slices": "The weakest slice with enough evidence reaches its floor.",
    "latency": "One row is scored fast enough.",
}
_DESCRIPTION = "The comparison of all candidates and the incumbent on rows none of them has seen, and the verdict."


def champion_table(uc: Declaration) -> str:
    """The lake table with one row per contender and comparison."""
    return f"{uc.spec.name}.champion"


def champion_asset(uc: Declaration) -> dg.AssetsDefinition:
    """Compare, judge, and move the alias to the best challenger that passes every gate."""
    stages = [candidate_stage(candidate.name) for candidate in uc.spec.training.candidates]
    version = code_version("ml", "stages/champion.py", declared=uc.spec.training, without={"candidates"})

    @dg.asset(
        **asset_attributes(uc, "champion", _DESCRIPTION, {"mlflow", "duckdb"}, "model", version),
        ins={"training_set": dg.AssetIn(asset_key(uc, "training_set"), input_manager_key="lake_io")},
        deps=[asset_key(uc, stage) for stage in stages],
        check_specs=[check_spec(uc, "champion", name, text) for name, text in _gates(uc).items()],
    )
    def champion(
        context: dg.AssetExecutionContext, training_set: Any, lake: LakeResource, tracking: Tracking
    ) -> Iterator[Any]:
        frozen = recorded_metadata(context.instance, asset_key(uc, "training_set"), context.run_id)
        names = [candidate.name for candidate in uc.spec.training.candidates]
        trained = trained_models(uc, names, context, tracking, int(frozen[SNAPSHOT]))
        # Two comparisons at once could both beat the same incumbent, and the worse one could be last.
        with champion_lock(uc):
            lake_now = lake.open()
            incumbent = settled_champion(uc, lake_now, tracking)
            comparison = _compare(uc, trained, incumbent, tracking, training_set)
            held = (current_pause(uc, lake_now, _moment(frozen)) or open_skew(uc, lake_now)) if incumbent else None
            promoted = (
                _Outcome(incumbent.version, moved=False, verdict=f"kept v{incumbent.version}: {held}")
                if incumbent and held
                else _promote(uc, tracking, comparison, trained, incumbent, frozen, rolled_back(uc, lake_now))
            )
            known = recorded_champion(uc, lake_now)
            rows = _rows(comparison, trained, promoted, frozen, _promoted_row(comparison, promoted, known))

            def write(con: Any) -> None:
                _append(con, champion_table(uc), rows)
                # Also where the alias moved in a run that was killed before it could say so.
                if promoted.version and promoted.version != known:
                    record_alias(con, uc, promoted.version, known, PROMOTION, promoted.verdict)

            done = lake_now.commit(write, promoted.verdict)
        context.log.info(promoted.verdict)
        table = describe_table(lake.open(), champion_table(uc), done.snapshot)
        yield dg.MaterializeResult(
            metadata={**table_metadata(table), **_metadata(comparison, promoted)},
            check_results=_gate_results(comparison),
        )

    return champion


def _gates(uc: Declaration) -> dict[str, str]:
    """A ranking has no calibration: its scores promise nothing."""
    ranking = uc.spec.training.task.kind == "ranking"
    return {name: text for name, text in GATES.items() if not (ranking and name == "calibration")}


@dataclass(frozen=True)
class _Outcome:
    """The version that carries the alias now, and why."""

    version: int | None
    moved: bool
    verdict: str


def _compare(
    uc: Declaration,
    trained: Mapping[str, Trained],
    incumbent: Registered | None,
    tracking: Tracking,
    training_set: "pd.DataFrame",
) -> "Comparison":
    from mlplatform.ml.compare import compare
    from mlplatform.ml.model import Model
    from mlplatform.ml.tasks import task_for

    current = None
    if incumbent is not None:
        model = Model.load(tracking.model_folder(incumbent.run_id))
        if task_for(uc.spec.training.task).answered_by(model.head):
            current = (f"v{incumbent.version}", model)
    return compare(
        {name: each.model for name, each in trained.items()},
        current,
        training_set[training_set["part"] == "test"],
        uc.spec.training,
        event_time=uc.spec.event_time,
    )


def _promote(
    uc: Declaration,
    tracking: Tracking,
    comparison: "Comparison",
    trained: Mapping[str, Trained],
    incumbent: Registered | None,
    frozen: Mapping[str, Any],
    taken_back: Mapping[int, str],
) -> _Outcome:
    if comparison.winner is None:
        return _Outcome(incumbent.version if incumbent else None, moved=False, verdict=comparison.verdict)
    winner = trained[comparison.winner]
    said = comparison.verdict
    if incumbent is not None and comparison.incumbent is None:
        said = f"{said.removesuffix(', the first champion')}; v{incumbent.version} answers something else: not compared"
    if incumbent is not None and _same_model(tracking, winner.run_id, incumbent.run_id):
        verdict = f"kept v{incumbent.version}: candidate {comparison.winner} is the same model, byte for byte"
        return _Outcome(incumbent.version, moved=False, verdict=verdict)
    for version, reason in taken_back.items():
        known = tracking.version(uc.spec.name, version)
        if known is not None and _same_model(tracking, winner.run_id, known.run_id):
            current = incumbent.version if incumbent else None
            verdict = f"kept v{current}: candidate {comparison.winner} is v{version}, which was rolled back ({reason})"
            return _Outcome(current, moved=False, verdict=verdict)
    # Before the alias moves: a champion always has its record.
    tracking.keep(winner.run_id, COMPARISON_FILE, comparison_record(comparison))
    tags = {
        "candidate": comparison.winner,
        TRAINED_ON: str(frozen[SNAPSHOT]),
        AS_OF: str(frozen[AS_OF]),
        "verdict": said,
    }
    left = _registered_already(uc, tracking, winner.run_id, above=incumbent.version if incumbent else 0)
    registered = tracking.describe(left, tags) if left else tracking.register(uc.spec.name, winner.run_id, tags)
    tracking.make_champion(uc.spec.name, registered.version)
    return _Outcome(registered.version, moved=True, verdict=f"v{registered.version}: {said}")


def _registered_already(uc: Declaration, tracking: Tracking, run_id: str, above: int) -> Registered | None:
    """The version of the same model that a promotion left which was killed before it moved the alias."""
    for number in tracking.versions(uc.spec.name):
        known = tracking.version(uc.spec.name, number) if number > above else None
        if known is not None and _same_model(tracking, run_id, known.run_id):
            return known
    return None


def _same_model(tracking: Tracking, one: str, other: str) -> bool:
    """Whether two runs hold equal files: training again on equal rows gives an equal model."""
    folders = [tracking.model_folder(run_id) for run_id in (one, other)]
    # An ensemble's members lie in folders of their own.
    contents = [{p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in folders]
    return contents[0] == contents[1]


def _gate_results(comparison: "Comparison") -> list[dg.AssetCheckResult]:
    """The gates of the winner, or, when nobody passed, of the best challenger."""
    judged = next((c for c in comparison.challengers if c.name == comparison.winner), comparison.challengers[0])
    return [
        check_result(
            gate.name,
            gate.passed,
            {"candidate": judged.name, "value": gate.value, "limit": gate.limit, "detail": gate.detail},
        )
        for gate in judged.gates
    ]


def _append(con: Any, table: str, rows: "pd.DataFrame") -> int:
    """A table from before all figures stood in one column gets it."""
    if table_exists(con, table):
        con.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS figures VARCHAR")
    return append_rows(con, table, rows)


def _moment(frozen: Mapping[str, Any]) -> datetime:
    import pandas as pd

    moment: datetime = pd.Timestamp(frozen[AS_OF]).to_pydatetime()
    return moment


def _promoted_row(comparison: "Comparison", outcome: _Outcome, known: int | None) -> str | None:
    """Who was promoted: the winner, or the incumbent whose promotion was killed between the alias and the lake.

    What a version was promoted by is what it is held against later: without it, it could not be judged.
    """
    if outcome.moved:
        return comparison.winner
    return f"v{outcome.version}" if outcome.version and outcome.version != known else None


def _rows(
    comparison: "Comparison",
    trained: Mapping[str, Trained],
    outcome: _Outcome,
    frozen: Mapping[str, Any],
    promoted: str | None,
) -> "pd.DataFrame":
    import pandas as pd

    contenders = [*comparison.challengers, *([comparison.incumbent] if comparison.incumbent else [])]
    return pd.DataFrame(
        [
            {
                "as_of": pd.Timestamp(frozen[AS_OF]),
                "training_snapshot": int(frozen[SNAPSHOT]),
                **_stored(each),
                "role": "challenger" if each.name in trained else "incumbent",
                "promoted": each.name == promoted,
                "version_after": outcome.version or 0,
                "training_seconds": trained[each.name].seconds if each.name in trained else 0.0,
                "verdict": outcome.verdict,
            }
            for each in contenders
        ]
    )


def _stored(contender: "Contender") -> dict[str, Any]:
    """Figures as one text: a table keeps its columns when the task changes."""
    figures = _estimates(contender)
    told = {name: value for name, value in _figures(contender).items() if name not in figures}
    return {**told, "figures": json.dumps(figures)}


def _estimates(contender: "Contender") -> dict[str, float | None]:
    """Every figure, and the edges of its interval."""
    edges = ("value", "low", "high")
    return {
        name if edge == "value" else f"{name}_{edge}": _finite(getattr(figure, edge))
        for name, figure in contender.figures.items()
        for edge in edges
    }


def _figures(contender: "Contender") -> dict[str, Any]:
    return {
        "contender": contender.name,
        "metric": contender.metric.value,
        "metric_low": contender.metric.low,
        "metric_high": contender.metric.high,
        **_estimates(contender),
        "latency_ms": contender.latency_ms,
        "passed": contender.passed,
    }


def comparison_record(comparison: "Comparison") -> dict[str, Any]:
    """A comparison as JSON: the verdict, every contender's figures, gates and slices of the winner (or the best)."""
    contenders = [*comparison.challengers, *([comparison.incumbent] if comparison.incumbent else [])]
    judged = next((each for each in contenders if each.name == comparison.winner), comparison.challengers[0])
    return {
        "verdict": comparison.verdict,
        "metric": comparison.metric,
        "rows": comparison.rows,
        "evidence": comparison.evidence,
        "contenders": [_figures(each) for each in contenders],
        "gates": [asdict(gate) for gate in judged.gates],
        "slices": [
            asdict(part) | {name: _finite(getattr(part, name)) for name in ("metric", "low", "high")}
            for part in judged.slices
        ],
    }


def _finite(value: float) -> float | None:
    """JSON has no NaN: a group of one class has no metric."""
    return value if math.isfinite(value) else None


def _metadata(comparison: "Comparison", outcome: _Outcome) -> dict[str, Any]:
    from mlplatform.ml.plots import plot_comparison

    contenders = [*comparison.challengers, *([comparison.incumbent] if comparison.incumbent else [])]
    records = [dg.TableRecord(_rounded(_shown(each))) for each in contenders]
    best = comparison.challengers[0]
    return {
        "verdict": outcome.verdict,
        "picture": picture(plot_comparison(comparison), "contenders on the same unseen rows"),
        "model_version": outcome.version or 0,
        "promoted": outcome.moved,
        "comparison": dg.MetadataValue.table(records),
        "test_rows": comparison.rows,
        "test_evidence": comparison.evidence,
        f"best_{comparison.metric}": round(best.metric.value, 6),
    }


def _shown(contender: "Contender") -> dict[str, Any]:
    """The table of the UI is wide enough without the edges of every interval."""
    edges = {f"{name}_{edge}" for name in contender.figures for edge in ("low", "high")}
    return {name: "" if v is None else v for name, v in _figures(contender).items() if name not in edges}


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: round(v, 4) if isinstance(v, float) else v for name, v in figures.items()}
