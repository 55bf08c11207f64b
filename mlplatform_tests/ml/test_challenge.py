import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.ml.bootstrap import bootstrap_figures, difference
from mlplatform.ml.challenge import Pairs, answers_apart, pair_answers, paired_difference
from mlplatform.ml.metrics import Floats, average_precision
from mlplatform.ml.tasks import task_for
from mlplatform.ml.train import labelled_examples
from mlplatform.spec.performance import Performance
from mlplatform_tests.ml.data import AS_OF, training
from mlplatform_tests.ml.task_data import forecast_training, order_training

TRAINING = training()
PERFORMANCE = Performance(min_labelled=100, min_coverage=0.8)
DELAY = pd.Timedelta(days=TRAINING.split.delay_days)


def labelled(rows: int = 600, seed: int = 0) -> pd.DataFrame:
    """A tenth positive; every label has had its time."""
    random = np.random.default_rng(seed)
    times = AS_OF - DELAY - pd.to_timedelta(np.arange(rows, 0, -1), unit="h")
    label = (random.random(rows) < 0.1).astype(float)
    return pd.DataFrame({"key": [f"k{i}" for i in range(rows)], "event_time": times, "label": label})


def scores(rows: pd.DataFrame, skill: float, seed: int = 1) -> Floats:
    noise = np.random.default_rng(seed).random(len(rows))
    return np.clip(skill * rows["label"].to_numpy() + (1 - skill) * noise, 0, 1)


def judged(rows: pd.DataFrame, first: Floats, second: Floats) -> object:
    return paired_difference(rows, first, second, TRAINING, PERFORMANCE, event_time="event_time", as_of=AS_OF)


def told(rows: pd.DataFrame, given: Floats) -> pd.DataFrame:
    """As the lake gives served predictions."""
    answers = [json.dumps({"score": score, "decision": score >= 0.5}) for score in given.tolist()]
    return rows.assign(answer=answers, journal_request=rows["key"], example=rows["key"], keyed=True)


def test_the_difference_is_that_of_the_metric_on_the_same_rows() -> None:
    rows = labelled()
    good, bad = scores(rows, 0.6), scores(rows, 0.2, seed=2)
    found = judged(rows, bad, good)

    labels = rows["label"].to_numpy()
    assert found.difference.value == pytest.approx(average_precision(labels, bad) - average_precision(labels, good))
    assert found.mature
    assert found.clearly_worse(0.025)
    assert not judged(rows, good, bad).clearly_worse(0.025)


def test_a_breakdown_that_every_sample_shows_alike_is_clear() -> None:
    rows = labelled()
    right = rows["label"].to_numpy()
    found = judged(rows, 1 - right, right)
    assert found.difference.value < 0
    assert replace(found, error=0.0).clearly_worse(1e-9)
    assert not replace(judged(rows, right, right), error=0.0).clearly_worse(0.5)


def test_the_interval_is_of_paired_samples_and_narrower_than_of_two_separate_ones() -> None:
    rows = labelled()
    one = scores(rows, 0.2)
    other = np.clip(one + np.random.default_rng(3).normal(0, 0.01, len(rows)), 0, 1)
    paired = judged(rows, one, other).difference
    examples, task = labelled_examples(rows, np.empty((len(rows), 0)), TRAINING, "event_time"), task_for(TRAINING.task)
    apart = [
        bootstrap_figures(
            {"m": task.figure(str(TRAINING.metric), examples, given)}, task.resamples(examples, 200, seed), None
        )["m"]
        for seed, given in enumerate((one, other))
    ]
    separate = difference(apart[0], apart[1], 0.95)

    assert paired.high - paired.low < 0.5 * (separate.high - separate.low)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), skill=st.floats(0, 0.9))
def test_a_model_does_not_differ_from_itself_and_the_other_way_round_is_the_negative(seed: int, skill: float) -> None:
    rows = labelled(300, seed=0)
    one, other = scores(rows, skill, seed), scores(rows, 0.5, seed + 1)
    same, there, back = judged(rows, one, one), judged(rows, one, other), judged(rows, other, one)

    assert (same.difference.value, same.difference.low, same.difference.high) == (0, 0, 0)
    assert there.difference.value == pytest.approx(-back.difference.value)
    assert (there.difference.low, there.difference.high) == pytest.approx((-back.difference.high, -back.difference.low))


@pytest.mark.parametrize(
    ("rows", "mature"),
    [
        (labelled(), True),
        (labelled(90), False),  # fewer than min_labelled
        (labelled().assign(event_time=AS_OF - DELAY + pd.Timedelta(hours=1)), False),  # no label had its time
        (labelled().assign(label=lambda f: f["label"].where(f.index % 3 > 0)), False),  # a third never came
    ],
)
def test_only_labels_that_had_their_time_and_mostly_came_make_it_mature(rows: pd.DataFrame, mature: bool) -> None:
    found = judged(rows, scores(rows, 0.2), scores(rows, 0.6, seed=2))

    assert found.mature is mature
    assert found.clearly_worse(0.025) is mature
    assert np.isfinite(found.difference.value)


def test_a_mature_difference_leaves_out_labels_that_came_early() -> None:
    ripe = labelled(400)
    early = labelled(50, seed=5).assign(event_time=AS_OF, label=1.0)
    rows = pd.concat([ripe, early], ignore_index=True)
    one, other = scores(rows, 0.3), scores(rows, 0.5, seed=2)

    assert judged(rows, one, other).labelled == 400
    assert judged(rows, one, other).difference == judged(ripe, one[:400], other[:400]).difference


def test_without_a_label_there_is_no_figure_and_nothing_is_mature() -> None:
    rows = labelled().assign(label=float("nan"))
    found = judged(rows, scores(rows.fillna(0), 0.1), scores(rows.fillna(0), 0.5))

    assert np.isnan(found.difference.value)
    assert (found.labelled, found.mature, found.clearly_worse(0.025)) == (0, False, False)


def test_scores_are_compared_with_each_other_label_or_not() -> None:
    rows = labelled().assign(label=float("nan"))
    ours = np.linspace(0, 0.9, len(rows))
    pairs = pair_answers(told(rows, ours), told(rows, ours + 0.1), TRAINING, ["journal_request", "example"])
    apart = answers_apart(pairs, TRAINING)

    assert apart.correlation == pytest.approx(1)
    assert apart.mean_difference == pytest.approx(0.1)
    assert apart.quantiles == pytest.approx([0.1] * 5)
    assert apart.disagreement == pytest.approx(np.mean((ours < 0.5) & (ours + 0.1 >= 0.5)))
    assert apart.disagreement_of == "decisions that differ"


def test_an_example_that_was_asked_about_twice_is_judged_once_by_its_newest_answer() -> None:
    rows = labelled(50)
    later = told(rows, scores(rows, 0.5)).assign(
        journal_request=lambda frame: "again " + frame["key"],
        event_time=lambda f: f["event_time"] + pd.Timedelta(days=5),
    )
    both = pd.concat([told(rows, scores(rows, 0.1)), later], ignore_index=True)
    pairs = pair_answers(both, both, TRAINING, ["journal_request", "example"])
    newest = pairs.newest_per_example()

    assert (len(pairs), len(newest)) == (100, 50)
    assert newest.champion.tolist() == pytest.approx(scores(rows, 0.5).tolist())
    keyless = Pairs(pairs.rows.assign(keyed=False), pairs.champion, pairs.challenger, pairs.lists)
    assert len(keyless.newest_per_example()) == 100


def test_forecasts_disagree_where_the_median_lies_outside_of_the_interval() -> None:
    spec = forecast_training()
    levels = [f"{level:g}" for level in spec.task.quantiles]

    def answers(middles: list[float]) -> pd.DataFrame:
        said = [
            json.dumps({"forecast": m, "quantiles": {n: m + i - len(levels) // 2 for i, n in enumerate(levels)}})
            for m in middles
        ]
        names = [str(i) for i in range(len(middles))]
        return pd.DataFrame({"journal_request": names, "example": names, "answer": said})

    pairs = pair_answers(answers([10, 10, 10, 10]), answers([10, 10.5, 20, -5]), spec, ["journal_request", "example"])
    assert answers_apart(pairs, spec).disagreement == 0.5


def test_orders_disagree_where_another_item_comes_first_also_one_that_the_other_list_lacks() -> None:
    spec = order_training()

    def lists(*requests: dict[str, float]) -> pd.DataFrame:
        return pd.DataFrame(
            [
                {"journal_request": str(number), "example": item, "answer": json.dumps({"score": score})}
                for number, request in enumerate(requests)
                for item, score in request.items()
            ]
        )

    ours = lists({"a": 3, "b": 2}, {"a": 3, "b": 2}, {"a": 3, "b": 2})
    theirs = lists({"a": 9, "b": 1}, {"a": 1, "b": 9}, {"a": 1, "c": 9})
    apart = answers_apart(pair_answers(ours, theirs, spec, ["journal_request", "example"]), spec)

    assert apart.pairs == 5
    assert apart.disagreement == pytest.approx(2 / 3)
