from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.errors import TrainingError
from mlplatform.ml.bootstrap import Estimate
from mlplatform.ml.calibration import Sigmoid
from mlplatform.ml.compare import Comparison, compare
from mlplatform.ml.gates import SliceResult, apply_gates
from mlplatform.ml.groups import Groups
from mlplatform.ml.heads import Order, Probability, Quantiles
from mlplatform.ml.model import Model
from mlplatform.ml.tasks import Binary, task_for
from mlplatform.ml.train import TrainedCandidate
from mlplatform.spec.task import BinaryTask, Costs, ForecastTask, RankingTask
from mlplatform.spec.training import Gates
from mlplatform_tests.ml.data import AS_OF, training

BINARY = Binary(BinaryTask(costs=Costs(false_positive=5, false_negative=100)))


@pytest.fixture(scope="session")
def test_rows(rows: pd.DataFrame, trained_trees: TrainedCandidate) -> pd.DataFrame:
    start, end = (pd.Timestamp(trained_trees.boundaries[f"test_{edge}"]) for edge in ("start", "end"))
    return rows[(rows["event_time"] >= start) & (rows["event_time"] < end)]


def judged(
    challengers: dict[str, Model], current: tuple[str, Model] | None, rows: pd.DataFrame, **gates: object
) -> Comparison:
    rules = training(**({"bootstrap_samples": 60, "max_latency_ms": 500} | gates))
    return compare(challengers, current, rows, rules, event_time="event_time")


class Coin:
    """A scorer that knows nothing."""

    kind = "coin"

    def raw(self, rows: np.ndarray) -> np.ndarray:
        return np.random.default_rng(0).normal(size=len(rows))


def blunt(model: Model) -> Model:
    """The same model with its scorer replaced by chance."""
    return replace(model, scorer=Coin())  # type: ignore[arg-type]


def test_the_best_passing_challenger_wins_when_there_is_no_incumbent(
    trained_trees: TrainedCandidate, trained_linear: TrainedCandidate, test_rows: pd.DataFrame
) -> None:
    found = judged({"trees": trained_trees.model, "linear": trained_linear.model}, None, test_rows)
    best = max((trained_trees, trained_linear), key=lambda t: t.test.figures["average_precision"].value)
    assert found.winner == found.challengers[0].name == best.name
    assert found.verdict.startswith(f"promoted candidate {best.name}: average_precision 0.")
    assert found.verdict.endswith("the first champion")


def test_the_comparison_agrees_with_the_training_figures(trained: TrainedCandidate, test_rows: pd.DataFrame) -> None:
    found = judged({trained.name: trained.model}, None, test_rows, bootstrap_samples=50)
    assert found.rows == trained.test.rows
    assert found.challengers[0].figures == trained.test.figures


def test_a_challenger_by_chance_never_replaces_a_model(
    trained_linear: TrainedCandidate, test_rows: pd.DataFrame
) -> None:
    model = trained_linear.model
    found = judged({"chance": blunt(model)}, ("v3", model), test_rows, floor=0.0, max_calibration_error=1.0)
    assert found.winner is None
    assert found.verdict.startswith("kept incumbent v3: chance failed incumbent -0.")
    assert found.challengers[0].gain is not None
    assert found.challengers[0].gain.high < 0


def test_an_equal_challenger_is_not_worse_but_not_better(
    trained_linear: TrainedCandidate, test_rows: pd.DataFrame
) -> None:
    model = trained_linear.model
    assert judged({"twin": model}, ("v1", model), test_rows, incumbent="not_worse").winner == "twin"
    assert judged({"twin": model}, ("v1", model), test_rows, incumbent="better").winner is None


def test_a_clearly_better_challenger_replaces_the_incumbent(
    trained_linear: TrainedCandidate, test_rows: pd.DataFrame
) -> None:
    model = trained_linear.model
    found = judged({"new": model}, ("v1", blunt(model)), test_rows, incumbent="better")
    assert found.winner == "new"
    assert "difference to v1 0." in found.verdict


def test_the_second_best_wins_when_the_best_fails_a_gate(
    trained_trees: TrainedCandidate, trained_linear: TrainedCandidate, test_rows: pd.DataFrame
) -> None:
    models = {"trees": trained_trees.model, "linear": trained_linear.model}
    best, second = (each.name for each in judged(models, None, test_rows).challengers)
    models[best] = replace(models[best], head=Probability(Sigmoid(1.0, 3.0), 0.05))
    found = judged(models, None, test_rows)
    assert [each.name for each in found.challengers] == [best, second]
    assert found.winner == second


def test_when_all_fail_the_verdict_says_why(trained_linear: TrainedCandidate, test_rows: pd.DataFrame) -> None:
    found = judged({"linear": trained_linear.model}, None, test_rows, floor=0.99)
    assert found.winner is None
    assert found.verdict.startswith("promoted nobody: linear failed metric_floor 0.")


def test_a_model_that_has_seen_the_test_rows_is_an_error(
    trained_linear: TrainedCandidate, test_rows: pd.DataFrame
) -> None:
    model = trained_linear.model
    with pytest.raises(TrainingError, match="v3 learned until 2024-03-01"):
        judged({"new": model}, ("v3", replace(model, learned_until=AS_OF)), test_rows)


def test_rows_that_the_incumbent_may_have_seen_are_left_out_for_all(
    trained_trees: TrainedCandidate, trained_linear: TrainedCandidate, test_rows: pd.DataFrame
) -> None:
    middle = test_rows["event_time"].sort_values().iloc[len(test_rows) // 2]
    incumbent = replace(trained_linear.model, learned_until=middle)
    found = judged({"new": trained_trees.model}, ("v3", incumbent), test_rows, slice_min_positives=3)
    assert found.rows == int((test_rows["event_time"] >= middle).sum())


def test_a_challenger_named_like_the_incumbent_is_an_error(
    trained_linear: TrainedCandidate, test_rows: pd.DataFrame
) -> None:
    with pytest.raises(TrainingError, match="rename it"):
        judged({"v3": trained_linear.model}, ("v3", trained_linear.model), test_rows)


def test_every_group_of_a_slice_is_measured(trained_linear: TrainedCandidate, test_rows: pd.DataFrame) -> None:
    found = judged({"linear": trained_linear.model}, None, test_rows, slices=["night", "channel"])
    slices = found.challengers[0].slices
    assert [(part.column, part.group) for part in slices] == [
        ("night", "False"),
        ("night", "True"),
        ("channel", "app"),
        ("channel", "shop"),
        ("channel", "web"),
    ]
    assert sum(part.evidence for part in slices if part.column == "night") == found.evidence


def test_an_unknown_slice_is_an_error(trained_linear: TrainedCandidate, test_rows: pd.DataFrame) -> None:
    with pytest.raises(TrainingError, match="colour"):
        judged({"linear": trained_linear.model}, None, test_rows, slices=["colour"])


shares = st.floats(0, 1)


@given(shares, shares, st.floats(-1, 1), st.floats(0.1, 50), shares)
@settings(max_examples=80, deadline=None)
def test_a_gate_passes_exactly_when_its_value_is_on_the_right_side(
    metric: float, error: float, low: float, latency: float, weakest: float
) -> None:
    gates = Gates(floor=0.5, slice_floor=0.3)
    slices = [SliceResult("night", "True", 500, 40, weakest, 0, 1), SliceResult("night", "False", 500, 2, 0.0, 0, 1)]
    results = {
        gate.name: gate.passed
        for gate in apply_gates(
            gates,
            BINARY,
            metric=("auc", metric),
            calibration_error=error,
            latency_ms=latency,
            slices=slices,
            gain=Estimate(low, low, low),
        )
    }
    assert results == {
        "metric_floor": metric >= 0.5,
        "incumbent": low > -0.02,
        "calibration": error <= 0.05,
        "slices": weakest >= 0.3,
        "latency": latency <= 20,
    }


def test_rows_of_groups_held_out_are_unseen_at_whatever_time(
    trained_linear: TrainedCandidate, test_rows: pd.DataFrame
) -> None:
    rows = test_rows.assign(person=np.arange(len(test_rows)))
    held_out = Groups("person", seed=7, low=0.0, high=0.3)
    model = replace(trained_linear.model, learned_until=AS_OF, held_out=held_out)
    inside = held_out.holds(rows["person"])
    assert 0 < inside.sum() < len(rows)
    assert (model.unseen(rows, "event_time") == inside).all()
    assert judged({"new": model}, None, rows[inside]).rows == inside.sum()
    with pytest.raises(TrainingError, match=rf"may have seen {(~inside).sum()} of {len(rows)} rows"):
        judged({"new": model}, None, rows)


def test_a_model_of_another_deal_of_the_groups_is_not_judged_on_rows_that_it_may_have_seen(
    trained_linear: TrainedCandidate, test_rows: pd.DataFrame
) -> None:
    rows = test_rows.assign(person=np.arange(len(test_rows)))
    ours, theirs = (
        replace(trained_linear.model, learned_until=AS_OF, held_out=Groups("person", seed, 0.0, 0.3)) for seed in (7, 8)
    )
    test = rows[Groups("person", 7, 0.0, 0.3).holds(rows["person"])]
    with pytest.raises(TrainingError, match=r"v1 learned until .* may have seen \d+ of"):
        judged({"new": ours}, ("v1", theirs), test)


def test_a_stored_model_remembers_the_groups_that_it_held_out(trained_linear: TrainedCandidate, tmp_path: Path) -> None:
    held_out = Groups("person", seed=7, low=0.0, high=0.3)
    replace(trained_linear.model, held_out=held_out).save(tmp_path / "with")
    trained_linear.model.save(tmp_path / "without")
    assert Model.load(tmp_path / "with").held_out == held_out
    assert Model.load(tmp_path / "without").held_out is None


def test_only_a_model_of_the_same_task_and_levels_is_an_incumbent(trained_linear: TrainedCandidate) -> None:
    three, five = (0.1, 0.5, 0.9), (0.05, 0.25, 0.5, 0.75, 0.95)
    forecast = task_for(ForecastTask(kind="forecast", series="s", horizon="h", naive="n", scale="c"))
    ranking = task_for(RankingTask(kind="ranking", query="q", item="i"))
    heads = [trained_linear.model.head, Order(), Quantiles(three), Quantiles(five)]
    assert [BINARY.answered_by(head) for head in heads] == [True, False, False, False]
    assert [ranking.answered_by(head) for head in heads] == [False, True, False, False]
    assert [forecast.answered_by(head) for head in heads] == [False, False, True, False]
