"""A network's weights learned by PyTorch (extra `torch`). Imported only where such a candidate is trained."""

from itertools import combinations

import numpy as np
import torch
from torch.nn import functional

from mlplatform.ml.factors import Table
from mlplatform.ml.metrics import Floats
from mlplatform.ml.network import Batches, Settings
from mlplatform.ml.network_form import Layers

__all__ = ["TorchNetwork"]

_SMALL = 0.3
"""Vectors begin so much shorter than 1: products of the first steps must not rule the network."""


class TorchNetwork:
    """Layers with ReLU and dropout between them.

    Written with tensors instead of `torch.nn` modules: their dropout draws from torch's global generator, which folds
    that learn beside each other would share, so that a search would not repeat.
    """

    def __init__(self, settings: Settings) -> None:
        # Small matrices; a second thread waits more than it gains, and could add up in another order.
        torch.set_num_threads(1)
        self._dropout, self._level = settings.dropout, settings.level
        self._random = torch.Generator().manual_seed(settings.seed)
        sizes = zip(settings.widths, (*settings.widths[1:], 1), strict=True)
        self._layers = [self._layer(inputs, outputs) for inputs, outputs in sizes]
        self._tables = [self._table(count, settings.embedding_width) for count in settings.embedded]
        weights, biases = zip(*self._layers, strict=True)
        self._steps = torch.optim.AdamW(
            [
                {
                    "params": [*weights, *(vectors for vectors, _ in self._tables)],
                    "weight_decay": settings.weight_decay,
                },
                {"params": [*biases, *(bias for _, bias in self._tables)], "weight_decay": 0.0},
            ],
            lr=settings.learning_rate,
        )

    def learn(self, batches: Batches) -> None:
        """One pass over the batches, in their order."""
        arrays = (batches.inputs, batches.codes, batches.labels, batches.weights)
        parts = [torch.from_numpy(array).split(batches.size) for array in arrays]
        for inputs, codes, labels, weights in zip(*parts, strict=True):
            loss = self._loss(self._forward(inputs) + self._products(codes), labels, weights)
            self._steps.zero_grad()
            loss.backward()
            self._steps.step()

    def layers(self) -> Layers:
        """Copies, float64."""
        return [(_copy(weights), _copy(bias)) for weights, bias in self._layers]

    def tables(self) -> list[Table]:
        """Copies, float64; the last row, of what is missing or new, is zero."""
        copied = [(_copy(vectors), _copy(bias)) for vectors, bias in self._tables]
        return [(np.vstack([v[:-1], np.zeros_like(v[:1])]), np.append(b[:-1], 0.0)) for v, b in copied]

    def _products(self, codes: torch.Tensor) -> torch.Tensor:
        """As `factors.products`."""
        total = torch.zeros(len(codes))
        vectors = [table[codes[:, at]] for at, (table, _) in enumerate(self._tables)]
        for at, (_, bias) in enumerate(self._tables):
            total = total + bias[codes[:, at]]
        for left, right in combinations(vectors, 2):
            total = total + (left * right).sum(dim=1)
        return total

    def _table(self, codes: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        vectors = torch.randn(codes + 1, width, generator=self._random) * width**-0.5 * _SMALL
        return vectors.requires_grad_(), torch.zeros(codes + 1, requires_grad=True)

    def _forward(self, inputs: torch.Tensor) -> torch.Tensor:
        *hidden, (weights, bias) = self._layers
        for inner, shift in hidden:
            inputs = self._drop(torch.relu(inputs @ inner + shift))
        return (inputs @ weights + bias)[:, 0]

    def _loss(self, scores: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        if self._level is None:
            return functional.binary_cross_entropy_with_logits(scores, labels, weights)
        below = labels - scores
        return (weights * torch.maximum(self._level * below, (self._level - 1) * below)).mean()

    def _drop(self, values: torch.Tensor) -> torch.Tensor:
        if self._dropout == 0:
            return values
        kept = torch.rand(values.shape, generator=self._random) >= self._dropout
        return values * kept / (1 - self._dropout)

    def _layer(self, inputs: int, outputs: int) -> tuple[torch.Tensor, torch.Tensor]:
        # He et al. (2015): the variance that ReLU layers pass on unchanged.
        weights = torch.randn(inputs, outputs, generator=self._random) * (2 / inputs) ** 0.5
        return weights.requires_grad_(), torch.zeros(outputs, requires_grad=True)


def _copy(values: torch.Tensor) -> Floats:
    return np.asarray(values.detach().numpy(), dtype=np.float64)
