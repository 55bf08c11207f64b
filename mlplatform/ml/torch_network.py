"""A network's weights learned by PyTorch (extra `torch`). Imported only where such a candidate is trained."""

import numpy as np
import torch
from torch.nn import functional

from mlplatform.ml.metrics import Floats
from mlplatform.ml.network import Batches, Settings
from mlplatform.ml.network_form import Layers

__all__ = ["TorchNetwork"]


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
        weights, biases = zip(*self._layers, strict=True)
        self._steps = torch.optim.AdamW(
            [
                {"params": list(weights), "weight_decay": settings.weight_decay},
                {"params": list(biases), "weight_decay": 0.0},
            ],
            lr=settings.learning_rate,
        )

    def learn(self, batches: Batches) -> None:
        """One pass over the batches, in their order."""
        parts = [torch.from_numpy(part) for part in (batches.inputs, batches.labels, batches.weights)]
        for inputs, labels, weights in zip(*(part.split(batches.size) for part in parts), strict=True):
            loss = self._loss(self._forward(inputs), labels, weights)
            self._steps.zero_grad()
            loss.backward()
            self._steps.step()

    def layers(self) -> Layers:
        """Copies, float64."""
        return [(_copy(weights), _copy(bias)) for weights, bias in self._layers]

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
