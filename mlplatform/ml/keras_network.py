"""A network's weights learned by Keras on TensorFlow (extra `keras`). Imported only where it is trained."""

import os
from threading import Lock
from typing import Any

import numpy as np

# Read when keras is imported; its other backends are no part of the extra. TensorFlow else reports its instruction
# sets on every start.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import keras
import tensorflow as tf

from mlplatform.ml.factors import Table
from mlplatform.ml.metrics import Floats
from mlplatform.ml.network import Batches, Settings
from mlplatform.ml.network_form import Layers

__all__ = ["KerasNetwork"]

# Threads could add up in another order. To be said before TensorFlow computes anything.
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)

_BUILDING = Lock()
"""Keras numbers the layers of a process in one place, which folds that learn beside each other share."""


class KerasNetwork:
    """Dense layers with ReLU and dropout between them; every layer draws from a seed of its own."""

    def __init__(self, settings: Settings) -> None:
        with _BUILDING:
            self._dense = [_dense(width, settings.seed + at) for at, width in enumerate((*settings.widths[1:], 1))]
            self._model = keras.Sequential([keras.Input((settings.widths[0],)), *self._between(settings)])
            steps = keras.optimizers.AdamW(settings.learning_rate, weight_decay=settings.weight_decay)
            steps.exclude_from_weight_decay(var_names=["bias"])
            self._model.compile(steps, _loss(settings.level))

    def learn(self, batches: Batches) -> None:
        """One pass over the batches, in their order."""
        self._model.fit(
            batches.inputs,
            batches.labels[:, None],
            sample_weight=batches.weights,
            batch_size=batches.size,
            shuffle=False,
            verbose=0,
        )

    def layers(self) -> Layers:
        """Copies, float64."""
        return [(_copy(dense.kernel), _copy(dense.bias)) for dense in self._dense]

    def tables(self) -> list[Table]:
        """None: embedded columns are for kind `torch`."""
        return []

    def _between(self, settings: Settings) -> list[keras.Layer]:
        *hidden, last = self._dense
        parts: list[keras.Layer] = []
        for at, dense in enumerate(hidden):
            parts += [dense, keras.layers.ReLU(), keras.layers.Dropout(settings.dropout, seed=settings.seed + at)]
        return [*parts, last]


def _loss(level: float | None) -> Any:
    if level is None:
        return keras.losses.BinaryCrossentropy(from_logits=True)

    def pinball(labels: Any, scores: Any) -> Any:
        below = labels - scores
        return keras.ops.mean(keras.ops.maximum(level * below, (level - 1) * below), axis=-1)

    return pinball


def _dense(width: int, seed: int) -> keras.layers.Dense:
    # He et al. (2015): the variance that ReLU layers pass on unchanged.
    return keras.layers.Dense(width, kernel_initializer=keras.initializers.HeNormal(seed))


def _copy(values: keras.Variable) -> Floats:
    # Not keras.ops.convert_to_numpy: numpy 2 warns of it.
    return np.asarray(values.value.numpy(), dtype=np.float64)
