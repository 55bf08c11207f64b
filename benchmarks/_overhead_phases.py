"""When each part of the use case ran: from the script's own notes, or from Dagster's event log."""

import json
from collections.abc import Mapping
from pathlib import Path

from benchmarks._overhead_watch import Watched
from mlplatform.home import Home

__all__ = ["PHASES", "phases_of_run", "phases_of_script"]

START, END = "start", "end"
PHASES = (
    START,
    *("raw", "dbt", "leakage", "training_set", "candidate_lightgbm", "candidate_logistic"),
    *("champion", "bento", "deployment", "drift_report", "retrain_decision"),
    END,
)
_NAMES = {"raw_transactions": "raw", "fraud_dbt": "dbt", "features_leakage": "leakage"}

Spans = Mapping[str, tuple[float, float]]


def phases_of_script(notes: Path, watched: Watched) -> dict[str, float]:
    """Seconds per phase; `start` is what comes before the first one, `end` what comes after the last."""
    return _seconds(json.loads(notes.read_text()), watched)


def phases_of_run(home: Home, watched: Watched) -> dict[str, float]:
    """Seconds per step of the only run of a home, from its first event (its process is asked for) to its last."""
    import dagster as dg

    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        (run,) = instance.get_runs()
        events = [entry for entry in instance.all_logs(run.run_id) if entry.step_key]
    spans: dict[str, tuple[float, float]] = {}
    for entry in events:
        if not entry.is_dagster_event or entry.get_dagster_event().event_type_value.endswith("PLANNED"):
            continue
        step = str(entry.step_key).removeprefix("fraud__")
        name = _NAMES.get(step, step)
        begun, _ = spans.get(name, (entry.timestamp, 0.0))
        spans[name] = (begun, entry.timestamp)
    return _seconds(spans, watched)


def _seconds(spans: Spans, watched: Watched) -> dict[str, float]:
    first, last = min(begun for begun, _ in spans.values()), max(ended for _, ended in spans.values())
    between = {name: ended - begun for name, (begun, ended) in spans.items()}
    return {START: first - watched.begun, **between, END: watched.ended - last}
