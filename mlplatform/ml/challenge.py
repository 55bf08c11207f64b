"""Two versions on the same requests: how far their answers are apart, and which is better where labels are known."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

from mlplatform.ml.bootstrap import Estimate, difference, standard_error
from mlplatform.ml.metrics import Floats
from mlplatform.ml.performance import metric_draws
from mlplatform.ml.tasks import task_for
from mlplatform.spec.performance import Performance
from mlplatform.spec.task import BinaryTask, ForecastTask, MulticlassTask, RegressionTask
from mlplatform.spec.training import Training

__all__ = [
    "REQUEST",
    "Apart",
    "PairedDifference",
    "Pairs",
    "answers_apart",
    "pair_answers",
    "paired_difference",
]

REQUEST = "journal_request"
"""Column: which request a prediction was for. A task may have requests of its own, in `request_id`."""
_NOTHING = Estimate(float("nan"), float("nan"), float("nan"))
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class PairedDifference:
    """The metric of the gates of one version less that of another, on the same labelled rows."""

    difference: Estimate
    """Above 0: the first is better. NaN where the labels there are cannot have the figure."""
    error: float
    """Standard error of it, by the same bootstrap samples."""
    first: float
    second: float
    rows: int
    """That both answered."""
    labelled: int
    """Of these, the ones that the difference is on."""
    mature: bool
    """Only then anything may follow from it."""

    def clearly_worse(self, level: float) -> bool:
        """The first: mature, and below 0 by a one-sided test that says so of equals with chance `level`.

        By a normal distribution around the bootstrap's standard error: percentiles of a few hundred samples cannot
        tell levels far below one in a hundred.
        """
        if not self.mature or self.difference.value >= 0:
            return False
        # Without a spread every sample says the same.
        return self.error == 0 or float(norm.cdf(self.difference.value / self.error)) <= level


@dataclass(frozen=True)
class Pairs:
    """What champion and challenger said of the same examples: `rows` [n] with label and what the task judges by,
    answers [n] or [n, levels] each. `lists`: all answers to these requests, by version, also those without a pair."""

    rows: pd.DataFrame
    champion: Floats
    challenger: Floats
    lists: tuple[pd.DataFrame, pd.DataFrame]

    def __len__(self) -> int:
        return len(self.rows)

    def newest_per_example(self) -> "Pairs":
        """Each example once, however often it was asked about: what is judged is the example, not the request.

        `rows` are in time order, with `example`, and `keyed`: whether that names it beyond its request.
        """
        rows = self.rows
        named = rows["example"].where(rows["keyed"], rows[REQUEST] + "\x1f" + rows["example"])
        kept = (~named.duplicated(keep="last")).to_numpy()
        return Pairs(rows[kept].reset_index(drop=True), self.champion[kept], self.challenger[kept], self.lists)

    @property
    def decided_otherwise(self) -> npt.NDArray[np.bool_]:
        """Where both decide, and not the same, bool[n]; nowhere where nothing is decided."""
        ours, theirs = self.rows["_decided"], self.rows["_other_decided"]
        return (ours.notna() & theirs.notna() & (ours != theirs)).to_numpy(dtype=bool)


@dataclass(frozen=True)
class Apart:
    """How far the challenger's answers are from the champion's, label or not."""

    pairs: int
    requests: int
    correlation: float
    """Pearson's, of scores or medians; NaN where one of them never changes."""
    mean_difference: float
    """Challenger less champion."""
    quantiles: tuple[float, ...]
    """Of the differences, at QUANTILES."""
    disagreement: float
    """Share, 0..1, of what `disagreement_of` says."""
    disagreement_of: str


def pair_answers(champion: pd.DataFrame, challenger: pd.DataFrame, training: Training, on: Sequence[str]) -> Pairs:
    """Join two versions' answers (JSON text in `answer`) on columns that name an example; the label is the champion's.

    Raises TrainingError where the answers are not those of the task.
    """
    task = task_for(training.task)
    theirs = challenger[[*on, "answer"]].rename(columns={"answer": "_other"})
    rows = champion.merge(theirs, on=list(on), how="inner", validate="one_to_one").reset_index(drop=True)
    said, other = ([json.loads(text) for text in rows[name]] for name in ("answer", "_other"))
    decisions = {"_decided": [a.get("decision") for a in said], "_other_decided": [a.get("decision") for a in other]}
    return Pairs(rows.assign(**decisions), task.read_answers(said), task.read_answers(other), (champion, challenger))


def answers_apart(pairs: Pairs, training: Training) -> Apart:
    """Of at least one pair."""
    task = task_for(training.task)
    ours, theirs = task.middle(pairs.champion), task.middle(pairs.challenger)
    varies = len(ours) > 1 and np.ptp(ours) > 0 and np.ptp(theirs) > 0
    share, what = _disagreement(pairs, training)
    return Apart(
        pairs=len(pairs),
        requests=int(pairs.rows[REQUEST].nunique()),
        correlation=float(np.corrcoef(ours, theirs)[0, 1]) if varies else float("nan"),
        mean_difference=float((theirs - ours).mean()),
        quantiles=tuple(float(q) for q in np.quantile(theirs - ours, QUANTILES)),
        disagreement=share,
        disagreement_of=what,
    )


def paired_difference(
    rows: pd.DataFrame,
    first: Floats,
    second: Floats,
    training: Training,
    performance: Performance,
    *,
    event_time: str,
    as_of: pd.Timestamp,
    seed: int = 7,
) -> PairedDifference:
    """The gates' metric of two versions' answers [n] or [n, levels] to the same rows, on the same bootstrap samples.

    Mature: among the rows whose label has had its `delay_days`, at least `min_labelled` are labelled and that is at
    least `min_coverage` of them; the difference is then on these. Otherwise it is provisional, on all labels that are
    there: those that come early are not like the others.
    """
    known = rows[training.label].notna().to_numpy()
    ripe = (rows[event_time] <= as_of - pd.Timedelta(days=training.split.delay_days)).to_numpy()
    enough = max(performance.min_labelled, performance.min_coverage * int(ripe.sum()))
    complete = bool((known & ripe).sum() >= enough)
    used = known & ripe if complete else known
    found, error, ours, theirs = _difference(rows[used], first[used], second[used], training, event_time, seed)
    mature = complete and bool(np.isfinite([found.value, found.low, found.high, error]).all())
    return PairedDifference(found, error, ours, theirs, len(rows), int(used.sum()), mature)


def _difference(
    rows: pd.DataFrame, first: Floats, second: Floats, training: Training, event_time: str, seed: int
) -> tuple[Estimate, float, float, float]:
    if not len(rows):
        return _NOTHING, float("nan"), float("nan"), float("nan")
    gates = training.gates

    def draws(answers: Floats) -> Floats:
        return metric_draws(rows, answers, training, event_time, samples=gates.bootstrap_samples, seed=seed)

    ours, theirs = draws(first), draws(second)
    apart = difference(ours, theirs, gates.confidence)
    return apart, standard_error(ours - theirs), float(ours[0]), float(theirs[0])


def _disagreement(pairs: Pairs, training: Training) -> tuple[float, str]:
    match training.task:
        case BinaryTask():
            return float(pairs.decided_otherwise.mean()), "decisions that differ"
        case MulticlassTask():
            apart = pairs.challenger.argmax(axis=1) != pairs.champion.argmax(axis=1)
            return float(apart.mean()), "likeliest classes that differ"
        case ForecastTask() | RegressionTask():
            median = task_for(training.task).middle(pairs.challenger)
            outside = (median < pairs.champion[:, 0]) | (median > pairs.champion[:, -1])
            return float(outside.mean()), "medians outside the champion's interval"
        case _:
            return _best_differ(pairs), "requests whose first item differs"


def _best_differ(pairs: Pairs) -> float:
    """Of the whole lists: an item that only one of them has makes no pair."""
    ours, theirs = (_best(frame) for frame in pairs.lists)
    both = ours.index.intersection(theirs.index)
    return float((ours.loc[both] != theirs.loc[both]).mean())


def _best(frame: pd.DataFrame) -> pd.Series:
    scores = frame["answer"].map(lambda text: json.loads(text)["score"])
    return frame.assign(_score=scores).sort_values("_score", kind="stable").groupby(REQUEST)["example"].last()
