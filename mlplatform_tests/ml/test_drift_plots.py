import numpy as np
import pandas as pd
import pytest

from mlplatform.ml.drift_plots import plot_causes, plot_drift_map, plot_predictions_over_time
from mlplatform.ml.model_drift import Explained
from mlplatform.ml.root_cause import find_causes
from mlplatform_tests.ml.test_plots import assert_small_picture

RANDOM = np.random.default_rng(0)


def ends(weeks: int) -> list[pd.Timestamp]:
    return [pd.Timestamp("2024-01-07") + pd.Timedelta(weeks=week) for week in range(weeks)]


@pytest.mark.parametrize(("columns", "weeks"), [(1, 1), (30, 3), (30, 40)])
def test_the_map_of_columns_and_windows(columns: int, weeks: int) -> None:
    names = [f"customer_mean_amount_{i}_days" for i in range(columns)]
    effects = pd.DataFrame(RANDOM.random((columns, weeks)), index=names, columns=ends(weeks))
    assert_small_picture(plot_drift_map(effects.mask(effects > 0.9), effects > 0.5, 0.1))


@pytest.mark.parametrize("weeks", [0, 1, 60])
def test_the_course_of_the_predictions(weeks: int) -> None:
    windows = pd.DataFrame(
        {
            "window_end": ends(weeks),
            "effect": RANDOM.random(weeks),
            "drifted": RANDOM.random(weeks) > 0.5,
            "mean_reference": 0.3,
            "mean_current": RANDOM.random(weeks),
        }
    )
    assert_small_picture(plot_predictions_over_time(windows, 0.1))


@pytest.mark.parametrize("slices", [[], ["shop"]])
def test_what_moved_the_score(slices: list[str]) -> None:
    old, new = (sample(shift) for shift in (0, 0.4))
    assert_small_picture(plot_causes(find_causes(old, new, slices), ["c0"]))


def sample(shift: float) -> Explained:
    parts = pd.DataFrame(RANDOM.normal(size=(300, 25)) + shift, columns=[f"c{i}" for i in range(25)])
    frame = pd.DataFrame({"shop": RANDOM.choice(list("abcdefghij"), 300)})
    return Explained(frame, parts.sum(axis=1).to_numpy(), parts, "log-odds")
