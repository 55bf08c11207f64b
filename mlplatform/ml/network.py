"""Neural networks on tables, whichever library learns the weights: inputs, search space, early stopping, storage."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mlplatform.ml.design import typical_row
from mlplatform.ml.examples import Examples
from mlplatform.ml.factors import Embedded, Table, products
from mlplatform.ml.metrics import Floats, rank, ranking_metric
from mlplatform.ml.network_form import Inputs, Layers, forward, network_to_onnx
from mlplatform.ml.onnx_scorer import OnnxScorer
from mlplatform.ml.space import Space, draw, free, require_known
from mlplatform.ml.trainer import Fit, Goal, Params, Scorer
from mlplatform.spec.candidate import KerasCandidate, TorchCandidate

__all__ = ["Batches", "Network", "NetworkTrainer", "Settings"]

SPACE: Space = {
    "learning_rate": (3e-4, 1e-2, True),
    "dropout": (0.0, 0.5, False),
    "weight_decay": (1e-5, 1e-1, True),
    "positive_weight": (1.0, 10.0, True),
}

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Settings:
    """What a network is built from."""

    widths: tuple[int, ...]
    """Of the inputs and of each hidden layer."""
    learning_rate: float
    dropout: float
    weight_decay: float
    seed: int
    level: float | None = None
    """The quantile whose pinball loss is minimised; None: logistic loss."""
    embedded: tuple[int, ...] = ()
    """Number of codes of each column that gets vectors."""
    embedding_width: int = 16


@dataclass(frozen=True)
class Batches:
    """Rows of one pass, shuffled and cut: inputs float32[n, d], codes int64[n, embedded columns], labels and weights
    float32[n], rows per step."""

    inputs: Float32
    codes: npt.NDArray[np.int64]
    labels: Float32
    weights: Float32
    size: int

    def shuffled(self, random: np.random.Generator) -> "Batches":
        """The same rows in another order."""
        order = random.permutation(len(self.labels))
        return Batches(self.inputs[order], self.codes[order], self.labels[order], self.weights[order], self.size)


class Network(Protocol):
    """Weights that learn. All randomness comes from the settings' seed, none from a library's global state."""

    def learn(self, batches: Batches) -> None:
        """One pass: a step of AdamW on the weighted loss for each batch."""
        ...

    def layers(self) -> Layers:
        """The weights as they are now, copied."""
        ...

    def tables(self) -> list[Table]:
        """The vectors of embedded columns as they are now, copied."""
        ...


@dataclass(frozen=True)
class NetworkTrainer:
    """Early stopping on the tune rows by the gates' metric, or by the pinball loss of a level.

    `open_network` makes the untrained network. Amounts are learned with mean 0 and deviation 1.
    """

    candidate: TorchCandidate | KerasCandidate
    categories: Mapping[int, int]
    goal: Goal
    open_network: Callable[[Settings], Network]
    embedded: Embedded

    def suggest(self, trial: Any) -> Params:
        """Step size, regularisation and the weight of positives."""
        return draw(trial, self._space(), self.candidate)

    def defaults(self) -> Params:
        """Usual ones for small networks."""
        start = {"learning_rate": 2e-3, "dropout": 0.1, "weight_decay": 1e-3, "positive_weight": 1.0}
        return free(self.candidate, {name: value for name, value in start.items() if name in self._space()})

    def prepare(self, train: Examples, tune: Examples, threads: int) -> Fit:
        """Scale and encode once. `threads` is unused: on more than one, small matrices wait more than they gain."""
        del threads
        require_known(self.candidate, self._space())
        embedded = self.embedded
        inputs = Inputs.of(train.rows, self.categories, embedded.columns)
        design, watched = inputs.design(train.rows), inputs.design(tune.rows)
        codes, watched_codes = embedded.codes(train.rows), embedded.codes(tune.rows)
        background = typical_row(train.rows, self.categories)
        mean, deviation = self._scale(train)
        learned, judged = (replace(part, labels=(part.labels - mean) / deviation) for part in (train, tune))

        def fit(params: Params) -> Scorer:
            chosen = {name: float(value) for name, value in {**params, **self.candidate.params}.items()}
            batches = _batches(design, codes, learned, chosen.pop("positive_weight", 1.0), self.candidate.batch_size)
            network = self.open_network(self._settings(design.shape[1], chosen))

            def value(layers: Layers, tables: Sequence[Table]) -> float:
                return self._value(forward(layers, watched) + products(tables, watched_codes), judged)

            layers, tables = self._learn(network, batches, value)
            rescaled = _rescaled(layers, tables, mean, deviation)
            return OnnxScorer.of(network_to_onnx(inputs, rescaled[0], embedded, rescaled[1]), background)

        return fit

    def _settings(self, inputs: int, chosen: Mapping[str, float]) -> Settings:
        width = self.candidate.embedding_width if isinstance(self.candidate, TorchCandidate) else 0
        return Settings(
            (inputs, *self.candidate.hidden),
            **chosen,
            seed=self.candidate.seed,
            level=self.goal.level,
            embedded=self.embedded.counts,
            embedding_width=width,
        )

    def _learn(
        self, network: Network, batches: Batches, value: Callable[[Layers, Sequence[Table]], float]
    ) -> tuple[Layers, Sequence[Table]]:
        random = np.random.default_rng(self.candidate.seed)
        best, kept, waited = -np.inf, (network.layers(), network.tables()), 0
        for _ in range(self.candidate.epochs):
            network.learn(batches.shuffled(random))
            now = network.layers(), network.tables()
            reached = value(*now)
            best, kept, waited = (reached, now, 0) if reached > best else (best, kept, waited + 1)
            if waited >= self.candidate.early_stopping_epochs:
                break
        return kept

    def _value(self, scores: Floats, tune: Examples) -> float:
        if self.goal.level is None:
            return ranking_metric(self.goal.metric, rank(tune.labels, scores), tune.weights)
        below = tune.labels - scores
        loss = np.maximum(self.goal.level * below, (self.goal.level - 1) * below)
        return -float(np.average(loss, weights=tune.weights))

    def _space(self) -> Space:
        if self.goal.level is None:
            return SPACE
        return {name: bounds for name, bounds in SPACE.items() if name != "positive_weight"}

    def _scale(self, train: Examples) -> tuple[float, float]:
        """What amounts are shifted and divided by; classes stay 0 and 1."""
        if self.goal.level is None:
            return 0.0, 1.0
        return float(np.mean(train.labels)), float(np.std(train.labels)) or 1.0


def _rescaled(layers: Layers, tables: Sequence[Table], mean: float, deviation: float) -> tuple[Layers, Sequence[Table]]:
    """The last layer and the products in the label's own unit."""
    *hidden, (weights, bias) = layers
    root = np.sqrt(deviation)
    in_unit = [(vectors * root, biases * deviation) for vectors, biases in tables]
    return [*hidden, (weights * deviation, bias * deviation + mean)], in_unit


def _batches(
    design: Floats, codes: npt.NDArray[np.int64], train: Examples, positive_weight: float, size: int
) -> Batches:
    weights = np.ones(len(train)) if train.weights is None else train.weights
    weights = np.where(train.labels == 1, positive_weight, 1.0) * weights
    # A step's size must not depend on how the rows were thinned.
    weights = weights / weights.mean()
    labels, size = train.labels.astype(np.float32), min(size, len(train))
    return Batches(design.astype(np.float32), codes, labels, weights.astype(np.float32), size)
