"""What every kind of model offers: a search space, a fit, and a scorer that is stored without pickle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, cast

from mlplatform.ml.encoding import Encoding
from mlplatform.ml.examples import Examples
from mlplatform.ml.extras import require_extra
from mlplatform.ml.metrics import Floats

if TYPE_CHECKING:
    # At run time only where a trainer is chosen: what serves a model knows no declarations.
    from mlplatform.spec.candidate import SearchedCandidate, SklearnCandidate
    from mlplatform.spec.cleaning import CleaningPolicy
    from mlplatform.spec.task import ForecastTask, RegressionTask, Task

__all__ = ["Fit", "Goal", "Params", "Refitting", "Scorer", "Trainer", "refitting", "trainer_for"]

Params = Mapping[str, float | int | str | bool]


class Scorer(Protocol):
    """A fitted model before calibration."""

    @property
    def kind(self) -> str:
        """How it is stored."""
        ...

    def raw(self, rows: Floats) -> Floats:
        """Uncalibrated log-odds or scores of rows float64[n, f], [n], or quantiles or classes, [n, levels]."""
        ...

    def contributions(self, rows: Floats) -> Floats:
        """What each feature adds to the raw score (of a forecast, the median) beside the model's average or a typical
        row, float64[n, f]."""
        ...

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the model's file below `folder`; return what `load` needs beside it, as JSON."""
        ...


Fit = Callable[[Params], Scorer]


class Trainer(Protocol):
    """Learns one kind of model. All randomness comes from the candidate's seed."""

    def suggest(self, trial: Any) -> Params:
        """Draw one point of the search space from an Optuna trial."""
        ...

    def defaults(self) -> Params:
        """The point of the search space that is tried first, and used when there is no search."""
        ...

    def prepare(self, train: Examples, tune: Examples, threads: int) -> Fit:
        """Do once what does not depend on the parameters; the result fits for given ones, on `threads` threads."""
        ...


class Refitting(Protocol):
    """A trainer that can learn from more rows without any to stop by."""

    def refit(self, params: Params, fitted: Scorer, examples: Examples, threads: int) -> Scorer:
        """Learn from `examples` for as long as `fitted` had learned."""
        ...


def refitting(trainer: Trainer) -> Refitting:
    """The trainer as one that refits; the declaration has refused the others."""
    assert hasattr(trainer, "refit"), f"{type(trainer).__name__} cannot learn again"
    return cast("Refitting", trainer)


CLASS_METRIC = "average_precision"
LOSS_METRIC = "binary_logloss"


@dataclass(frozen=True)
class Goal:
    """What a trainer minimises: the log loss of classes, unless a level or places say otherwise."""

    metric: str
    """What early stopping of classes follows."""
    level: float | None = None
    """The pinball loss of this quantile (Koenker and Bassett, 1978)."""
    first_places: int | None = None
    """The order of the first places of each request, where a trainer can; the others learn classes."""


def trainer_for(
    candidate: SearchedCandidate,
    encoding: Encoding,
    metric: str,
    task: Task,
    policies: Mapping[str, CleaningPolicy] = MappingProxyType({}),
) -> Trainer:
    """The trainer of a declared candidate for matrices of `encoding`.

    `metric` is what models are compared by, which early stopping of classes follows; `policies` are those of the
    columns that are cleaned. Raises TrainingError when the kind needs an extra that is not installed.
    """
    if not policies:
        return _seeing(candidate, encoding, metric, task)
    from mlplatform.ml.cleaned import CleanedTrainer

    return CleanedTrainer(lambda left: _seeing(candidate, left, metric, task), encoding, policies, candidate.seed)


def _seeing(candidate: SearchedCandidate, encoding: Encoding, metric: str, task: Task) -> Trainer:
    if not candidate.ignore:
        return _of_task(candidate, encoding, metric, task)
    from mlplatform.ml.subset import SubsetTrainer, without

    left, seen = without(encoding, candidate.ignore)
    return SubsetTrainer(seen, _of_task(candidate, left, metric, task))


def _of_task(candidate: SearchedCandidate, encoding: Encoding, metric: str, task: Task) -> Trainer:
    from mlplatform.spec.task import ForecastTask, MulticlassTask, RankingTask, RegressionTask

    if isinstance(task, ForecastTask | RegressionTask):
        return _forecaster(candidate, encoding, metric, task)
    if isinstance(task, MulticlassTask):
        from mlplatform.ml.one_vs_rest import OneVsRestTrainer

        # Watched by a metric of its own two classes; the log loss is defined where a part has one of them only.
        return OneVsRestTrainer(_trainer(candidate, encoding, Goal(LOSS_METRIC)), len(task.classes))
    # An order is learned row by row by most: what is watched while they learn is a metric of classes.
    goal = Goal(CLASS_METRIC, first_places=task.k) if isinstance(task, RankingTask) else Goal(metric)
    return _trainer(candidate, encoding, goal)


def _forecaster(
    candidate: SearchedCandidate, encoding: Encoding, metric: str, task: ForecastTask | RegressionTask
) -> Trainer:
    from mlplatform.spec.candidate import SklearnCandidate
    from mlplatform.spec.task import ForecastTask

    named = task.anchor if isinstance(task, ForecastTask) else None
    anchor = None if named is None else encoding.features.index(named)
    if isinstance(candidate, SklearnCandidate) and candidate.model == "ridge":
        from mlplatform.ml.ridge import RidgeTrainer

        return RidgeTrainer(candidate, encoding.code_counts(), anchor)
    from mlplatform.ml.per_level import PerLevelTrainer

    goals = {level: Goal(metric=metric, level=level) for level in task.quantiles}
    return PerLevelTrainer({level: _trainer(candidate, encoding, goal) for level, goal in goals.items()}, anchor)


def _trainer(candidate: SearchedCandidate, encoding: Encoding, goal: Goal) -> Trainer:
    from mlplatform.spec.candidate import LightGBMCandidate, SklearnCandidate, TorchCandidate

    if isinstance(candidate, LightGBMCandidate):
        from mlplatform.ml.trees import TreesTrainer

        return TreesTrainer(candidate, encoding, goal)
    if isinstance(candidate, SklearnCandidate):
        return _sklearn(candidate, encoding, goal)
    from mlplatform.ml.factors import Embedded
    from mlplatform.ml.network import NetworkTrainer

    if isinstance(candidate, TorchCandidate):
        require_extra("torch", ("torch",), candidate.name)
        from mlplatform.ml.torch_network import TorchNetwork

        embedded = Embedded.of(encoding.features, encoding.code_counts(), candidate.embed)
        return NetworkTrainer(candidate, encoding.code_counts(), goal, TorchNetwork, embedded)
    require_extra("keras", ("keras", "tensorflow"), candidate.name)
    from mlplatform.ml.keras_network import KerasNetwork

    return NetworkTrainer(candidate, encoding.code_counts(), goal, KerasNetwork, Embedded())


def _sklearn(candidate: SklearnCandidate, encoding: Encoding, goal: Goal) -> Trainer:
    if candidate.model == "logistic":
        from mlplatform.ml.linear import LinearTrainer

        return LinearTrainer(candidate, encoding.code_counts())
    from mlplatform.ml.forests import BoostingTrainer, ForestTrainer

    if candidate.model == "random_forest":
        return ForestTrainer(candidate, encoding.code_counts())
    return BoostingTrainer(candidate, encoding.code_counts(), goal.level)
