"""`drift_report`: the latest windows against what the live model was trained on (columns, answers, explanations), what
moved the scores, and Evidently's page."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import describe_table
from mlplatform.resources.lake import LakeResource, table_metadata
from mlplatform.spec import Declaration
from mlplatform.stages.bento import REFERENCE_FILE
from mlplatform.stages.clock import as_of_run
from mlplatform.stages.code_version import code_version
from mlplatform.stages.deployment import current_deployment
from mlplatform.stages.drift_pictures import drift_metadata
from mlplatform.stages.drift_tables import (
    DATA,
    EXPLANATION,
    PREDICTION,
    Kind,
    drift_history,
    drift_table,
    drift_windows,
    policy_windows,
    store_causes,
    store_drift,
    window_ends,
)
from mlplatform.stages.naming import asset_attributes, asset_key
from mlplatform.stages.trained import IMPORTANCE_FILE

if TYPE_CHECKING:
    import pandas as pd

    from mlplatform.ml.drift import DriftResult
    from mlplatform.ml.model import Model
    from mlplatform.ml.model_drift import Explained
    from mlplatform.ml.root_cause import RootCause
    from mlplatform.serving.pointer import Pointer

__all__ = ["drift_report_asset", "drift_table", "drift_windows", "policy_windows"]

_DESCRIPTION = (
    "Columns, answers and explanations of the latest windows against the live model's training rows: one fixed test "
    "each, corrected; and what moved the mean score."
)
_CODE = ("drift", "two_samples", "design_effect", "model_drift", "root_cause", "evidently_report")


def drift_report_asset(uc: Declaration) -> dg.AssetsDefinition:
    """Measure the windows that the policy looks at; of the newest, take the scores apart and write Evidently's page."""
    stages = [f"stages/drift_{name}.py" for name in ("report", "tables", "pictures")]
    version = code_version(*(f"ml/{name}.py" for name in _CODE), *stages, declared=uc.spec.drift)

    @dg.asset(
        **asset_attributes(uc, "drift_report", _DESCRIPTION, {"evidently", "duckdb"}, "monitoring", version),
        deps=[asset_key(uc, "features"), asset_key(uc, "deployment")],
    )
    def drift_report(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[Any]:
        live = current_deployment(uc)
        if live is None:
            raise dg.Failure(
                f"nothing is deployed for {uc.spec.name}, so there is nothing to compare with; train first"
            )
        opened, reference, model_version = lake.open(), _Reference(uc, live), int(live.version)
        moment = as_of_run(context, uc, opened)
        newest = _Window(uc, opened, reference.model, moment)
        measured = _measure(uc, opened, reference, newest)
        opened.commit(lambda con: store_drift(con, uc, model_version, measured), f"drift {moment:%Y-%m-%d}")
        causes = _causes(uc, reference, newest)
        since = _since(uc, opened, model_version, moment)
        done = opened.commit(
            lambda con: store_causes(con, uc, model_version, moment, causes, since), f"causes {moment:%Y-%m-%d}"
        )
        latest = measured[moment, DATA]
        context.log.info(f"{moment:%Y-%m-%d}: drift in {', '.join(latest.drifted) or 'no column'}")
        told = {kind: measured[moment, kind] for kind in (DATA, PREDICTION, EXPLANATION)}
        yield dg.MaterializeResult(
            metadata={
                **table_metadata(describe_table(opened, drift_table(uc), done.snapshot)),
                **_page_links(_write_page(uc, reference, newest)),
                **drift_metadata(uc, opened, model_version, moment, told, causes, since),
            }
        )

    return drift_report


class _Reference:
    """The live model and the sample of its training rows, as the bundle holds them."""

    def __init__(self, uc: Declaration, live: "Pointer") -> None:
        import pandas as pd

        from mlplatform.ml.model import Model
        from mlplatform.serving.bundle import verify_bundle

        folder = Path(live.path)
        verify_bundle(folder)
        self.uc = uc
        self.model: Model = Model.load(folder)
        self.rows = pd.read_parquet(folder / REFERENCE_FILE)
        self.importance: dict[str, float] = json.loads((folder / IMPORTANCE_FILE).read_text())

    @cached_property
    def explained(self) -> "Explained":
        """The first rows: in the file they stand in the order of a hash."""
        from mlplatform.ml.model_drift import explain

        return explain(self.model, self.rows.head(self.uc.spec.drift.explained_rows))


@dataclass(frozen=True)
class _Window:
    """The feature rows of one window, read when they are needed."""

    uc: Declaration
    lake: Lake
    model: "Model"
    end: "pd.Timestamp"

    @cached_property
    def rows(self) -> "pd.DataFrame":
        """All of them, in no order."""
        return self._read("")

    @cached_property
    def sample(self) -> "pd.DataFrame":
        """A repeatable sample in the order of a hash of the keys, so that its head is a sample too."""
        keys = ", ".join(self.uc.spec.entity_keys)
        return self._read(f"ORDER BY hash({keys}), {keys} LIMIT {self.uc.spec.drift.sample_rows}")

    @cached_property
    def explained(self) -> "Explained":
        from mlplatform.ml.model_drift import explain

        return explain(self.model, self.sample.head(self.uc.spec.drift.explained_rows))

    def _read(self, rest: str) -> "pd.DataFrame":
        import pandas as pd

        spec, time = self.uc.spec, self.uc.spec.event_time
        start = self.end - pd.Timedelta(days=spec.drift.window_days)
        with self.lake.read() as con:
            there = {name for name, *_ in con.execute(f"DESCRIBE {spec.name}.features").fetchall()}
            slices = [name for name in spec.training.gates.slices if name in there]
            columns = ", ".join(dict.fromkeys([*self.model.features, time, *slices]))
            return con.execute(
                f"SELECT {columns} FROM {spec.name}.features WHERE {time} >= ? AND {time} < ? {rest}",
                [start.to_pydatetime(), self.end.to_pydatetime()],
            ).df()


def _measure(
    uc: Declaration, lake: Lake, reference: _Reference, newest: _Window
) -> "dict[tuple[pd.Timestamp, Kind], DriftResult]":
    """Columns and answers of every window; explanations, which are slow, of the newest."""
    from mlplatform.ml.drift import find_drift
    from mlplatform.ml.model_drift import answers, explanation_drift, prediction_drift

    drift, model = uc.spec.drift, reference.model
    known = answers(model, reference.rows)
    measured: dict[tuple[pd.Timestamp, Kind], DriftResult] = {}
    for end in window_ends(uc, newest.end):
        window = newest if end == newest.end else _Window(uc, lake, model, end)
        measured[end, DATA] = find_drift(
            reference.rows,
            window.rows,
            drift,
            columns=model.features,
            categorical=model.categorical,
            importance=reference.importance,
            blocks=_blocks(uc, reference.rows, window.rows),
        )
        measured[end, PREDICTION] = prediction_drift(
            known, answers(model, window.sample), drift, _blocks(uc, reference.rows, window.sample)
        )
    old, new = reference.explained, newest.explained
    measured[newest.end, EXPLANATION] = explanation_drift(
        old, new, drift, reference.importance, _blocks(uc, old.frame, new.frame)
    )
    return measured


def _blocks(uc: Declaration, *frames: "pd.DataFrame") -> Any:
    """Blocks of time for each frame; None for a reference of an earlier version, which says nothing of times."""
    from mlplatform.ml.design_effect import time_blocks

    time, days = uc.spec.event_time, uc.spec.drift.window_days
    return tuple(time_blocks(frame[time], days) if time in frame else None for frame in frames)


def _causes(uc: Declaration, reference: _Reference, newest: _Window) -> "RootCause":
    from mlplatform.ml.root_cause import find_causes

    return find_causes(reference.explained, newest.explained, uc.spec.training.gates.slices)


def _since(uc: Declaration, lake: Lake, version: int, moment: "pd.Timestamp") -> "dict[str, pd.Timestamp | None]":
    import pandas as pd

    from mlplatform.ml.root_cause import drifting_since

    found = drift_history(uc, lake, version, DATA)
    step = pd.Timedelta(days=uc.spec.drift.window_days)
    ends = found[found["drifted"]].groupby("column")["window_end"].agg(frozenset)
    return {str(name): drifting_since(known, moment, step) for name, known in ends.items()}


def _write_page(uc: Declaration, reference: _Reference, newest: _Window) -> Path:
    from mlplatform.ml.evidently_report import write_evidently_report

    path = Home.current().reports / uc.spec.name / f"drift-{newest.end:%Y-%m-%d}.html"
    model = reference.model
    write_evidently_report(
        path, reference.rows, newest.sample, uc.spec.drift, columns=model.features, categorical=model.categorical
    )
    return path


def _page_links(page: Path) -> dict[str, Any]:
    home = Home.current()
    return {
        # Browsers refuse file: links on a page that came over http, so the reports are served.
        "evidently": dg.MetadataValue.url(f"{home.reports_url}/{page.relative_to(home.reports).as_posix()}"),
        "evidently_file": dg.MetadataValue.path(str(page)),
    }
