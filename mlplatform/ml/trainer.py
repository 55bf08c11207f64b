"""What every kind of model offers: a search space, a fit, and a scorer that is stored without pickle."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from mlplatform.ml.encoding import Encoding
from mlplatform.ml.examples import Examples
from mlplatform.ml.extras import require_extra
from mlplatform.ml.metrics import Floats
from mlplatform.spec.cleaning import CleaningPolicy
from mlplatform.spec.training import LightGBMCandidate, SearchedCandidate, SklearnCandidate, TorchCandidate

__all__ = ["Fit", "Params", "Scorer", "Trainer", "trainer_for"]

Params = Mapping[str, float | int | str | bool]


class Scorer(Protocol):
    """A fitted model before calibration."""

    @property
    def kind(self) -> str:
        """How it is stored."""
        ...

    def log_odds(self, rows: Floats) -> Floats:
        """Uncalibrated log-odds of rows float64[n, f], [n]."""
        ...

    def contributions(self, rows: Floats) -> Floats:
        """What each feature adds to the log-odds beside the model's average or a typical row, float64[n, f]."""
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


def trainer_for(
    candidate: SearchedCandidate,
    encoding: Encoding,
    metric: str,
    policies: Mapping[str, CleaningPolicy] = MappingProxyType({}),
) -> Trainer:
    """The trainer of a declared candidate for matrices of `encoding`.

    `metric` is the gates' metric, which early stopping follows; `policies` are those of the columns that are cleaned.
    Raises TrainingError when the kind needs an extra that is not installed.
    """
    if not policies:
        return _trainer(candidate, encoding, metric)
    from mlplatform.ml.cleaned import CleanedTrainer

    return CleanedTrainer(lambda cleaned: _trainer(candidate, cleaned, metric), encoding, policies, candidate.seed)


def _trainer(candidate: SearchedCandidate, encoding: Encoding, metric: str) -> Trainer:
    if isinstance(candidate, LightGBMCandidate):
        from mlplatform.ml.trees import TreesTrainer

        return TreesTrainer(candidate, encoding, metric)
    if isinstance(candidate, SklearnCandidate):
        return _sklearn(candidate, encoding)
    from mlplatform.ml.network import NetworkTrainer

    if isinstance(candidate, TorchCandidate):
        require_extra("torch", ("torch",), candidate.name)
        from mlplatform.ml.torch_network import TorchNetwork

        return NetworkTrainer(candidate, encoding.code_counts(), metric, TorchNetwork)
    require_extra("keras", ("keras", "tensorflow"), candidate.name)
    from mlplatform.ml.keras_network import KerasNetwork

    return NetworkTrainer(candidate, encoding.code_counts(), metric, KerasNetwork)


def _sklearn(candidate: SklearnCandidate, encoding: Encoding) -> Trainer:
    if candidate.model == "logistic":
        from mlplatform.ml.linear import LinearTrainer

        return LinearTrainer(candidate, encoding.code_counts())
    from mlplatform.ml.forests import BoostingTrainer, ForestTrainer

    if candidate.model == "random_forest":
        return ForestTrainer(candidate, encoding.code_counts())
    return BoostingTrainer(candidate, encoding.code_counts())
