"""Evidently as it comes, for benchmarks/drift.py: `DataDriftPreset()` without any setting."""

import warnings

import numpy as np
import pandas as pd

from benchmarks._drift_streams import CATEGORIES, COLUMNS

DATASET_SHARE = 0.5
"""The preset's default: the data set has drifted if so many of its columns have."""


def report(reference: pd.DataFrame, current: pd.DataFrame) -> dict[str, bool]:
    """Which columns the preset calls drifted; no page is written."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        definition = DataDefinition(
            numerical_columns=[name for name in COLUMNS if name not in CATEGORIES], categorical_columns=list(CATEGORIES)
        )
        old, new = (Dataset.from_pandas(frame[COLUMNS], definition) for frame in (reference, current))
        found = Report([DataDriftPreset()]).run(new, old).dict()["metrics"]
    said = [each["config"] | {"value": each["value"]} for each in found if "ValueDrift" in each["metric_name"]]
    return {each["column"]: _drifted(each["method"], float(each["value"]), each["threshold"]) for each in said}


def tested(reference: pd.DataFrame, current: pd.DataFrame, columns: list[str]) -> dict[str, bool]:
    """The same verdicts without the page's tables, twenty times as fast: Evidently's own choice of test and threshold,
    called as `DataDriftPreset` calls them (`main` compares some windows with `report`)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently.legacy.calculations.stattests import get_stattest

        return {name: _test(get_stattest, reference[name].dropna(), current[name].dropna(), name) for name in columns}


def _test(get_stattest: object, old: pd.Series, new: pd.Series, name: str) -> bool:
    kind = "cat" if name in CATEGORIES else "num"
    test = get_stattest(old, new, kind, None)  # type: ignore[operator]
    return bool(test(old, new, kind, None).drifted)


def _drifted(method: str, value: float, threshold: float) -> bool:
    """A p-value alarms below its threshold, a distance from it on."""
    return bool(np.isfinite(value) and (value < threshold if "p_value" in method else value >= threshold))
