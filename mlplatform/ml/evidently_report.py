"""Evidently's drift page for people. The verdict is `mlplatform.ml.drift`'s; this shows the distributions."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mlplatform.ml.drift import sample_rows
from mlplatform.spec.drift import Drift

__all__ = ["write_evidently_report"]


def write_evidently_report(
    path: Path,
    reference: pd.DataFrame,
    current: pd.DataFrame,
    drift: Drift,
    *,
    columns: Sequence[str],
    categorical: Sequence[str] = (),
    seed: int = 0,
) -> None:
    """Write one self-contained HTML file about `columns` of the same samples the tests see.

    Evidently picks a test by the number of rows unless it is told; here it runs the declared ones. It does not
    correct for the number of columns, so its threshold is alpha over that number (Bonferroni).
    """
    # A column without a value in one of the samples makes Evidently fail as a whole.
    shown = [name for name in columns if reference[name].notna().any() and current[name].notna().any()]
    old, new = (
        _plain(sample_rows(frame, drift.sample_rows, seed)[shown], categorical) for frame in (reference, current)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # Evidently 0.7 touches deprecated names of numpy while it is imported.
        warnings.simplefilter("ignore")
        _write(path, old, new, drift, [name for name in shown if name in categorical])


def _write(path: Path, old: pd.DataFrame, new: pd.DataFrame, drift: Drift, categorical: list[str]) -> None:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    shown = list(old.columns)
    definition = DataDefinition(
        numerical_columns=[name for name in shown if name not in categorical], categorical_columns=categorical
    )
    threshold = drift.alpha / max(1, len(shown))
    preset = DataDriftPreset(
        columns=shown,
        num_method=drift.numeric_test,
        cat_method=drift.categorical_test,
        num_threshold=threshold,
        cat_threshold=threshold,
    )
    reference, current = (Dataset.from_pandas(frame, definition) for frame in (old, new))
    Report([preset]).run(current, reference).save_html(str(path))


def _plain(frame: pd.DataFrame, categorical: Sequence[str]) -> pd.DataFrame:
    """Numbers as float64, categories as text: pandas' nullable types and booleans are not understood."""
    text = [name for name in frame.columns if name in categorical]
    kinds = {name: "float64" for name in frame.columns if name not in text}
    return frame.astype(kinds).astype(dict.fromkeys(text, "str"))
