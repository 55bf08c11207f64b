"""One row through LightGBM's C interface: 5 microseconds in place of the 180 that `Booster.predict` needs for one.

The way in (`lightgbm.basic._LIB`, `Booster._handle`) is private. So a reader proves on rows of its own that it gives
what `Booster.predict` gives, bit for bit, before anybody uses it; where it does not, there is none.
"""

import ctypes
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Self

import lightgbm as lgb
import numpy as np

from mlplatform.ml.metrics import Floats

__all__ = ["MOST_ROWS", "FastRow"]

logger = logging.getLogger(__name__)

MOST_ROWS = 16
"""Up to so many rows one after the other are faster than all at once."""
_PROBES = 8
_FLOAT64, _RAW, _CONTRIBUTIONS = 1, 1, 3  # C_API_DTYPE_FLOAT64, C_API_PREDICT_RAW_SCORE, C_API_PREDICT_CONTRIB
_PARAMETERS = b"num_threads=1"


class _Reader:
    """A booster of its own with a configuration and buffers for each kind of prediction. For one thread at a time: a
    configuration, and what LightGBM prepares in a booster for contributions, are not made to be shared."""

    def __init__(self, text: str) -> None:
        self._library = lgb.basic._LIB
        self._booster = lgb.Booster(model_str=text)
        self._features = self._booster.num_feature()
        self._configs: list[ctypes.c_void_p] = []
        self._row = np.empty(self._features)
        self._calls = {_RAW: self._call(_RAW, 1), _CONTRIBUTIONS: self._call(_CONTRIBUTIONS, self._features + 1)}

    def __del__(self) -> None:
        for config in self._configs:
            self._library.LGBM_FastConfigFree(config)

    def read(self, kind: int, rows: Floats) -> Floats:
        """float64[n, 1] or [n, f + 1] of rows float64[n, f]."""
        predict, result = self._calls[kind]
        results = np.empty((len(rows), len(result)))
        for number in range(len(rows)):
            self._row[:] = rows[number]
            if code := predict():
                raise OSError(f"LightGBM could not predict (code {code})")
            results[number] = result
        return results

    def _call(self, kind: int, width: int) -> tuple[Callable[[], int], Floats]:
        """What predicts `_row`, and where the result will be."""
        config, result, length = ctypes.c_void_p(), np.empty(width), ctypes.c_int64()
        code = self._library.LGBM_BoosterPredictForMatSingleRowFastInit(
            self._booster._handle,
            ctypes.c_int(kind),
            ctypes.c_int(0),
            ctypes.c_int(-1),
            ctypes.c_int(_FLOAT64),
            ctypes.c_int32(self._features),
            ctypes.c_char_p(_PARAMETERS),
            ctypes.byref(config),
        )
        if code:
            raise OSError(f"LightGBM gives no fast configuration (code {code})")
        self._configs.append(config)
        arguments = (
            config,
            ctypes.c_void_p(self._row.ctypes.data),
            ctypes.byref(length),
            ctypes.c_void_p(result.ctypes.data),
        )
        return partial(self._library.LGBM_BoosterPredictForMatSingleRowFast, *arguments), result


class FastRow:
    """Raw scores and contributions of few rows. Several threads may use it at once: each takes a reader of its own."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._idle = deque([_Reader(text)])

    @classmethod
    def of(cls, text: str, predict: Callable[..., Floats], features: int) -> Self | None:
        """None where it is not to be had, or says anything else than `predict(rows, raw_score | pred_contrib)`.

        `text`: the model as LightGBM writes it.
        """
        rows = np.random.default_rng(0).normal(scale=100, size=(_PROBES, features))
        rows[::3, ::2] = np.nan
        try:
            made = cls(text)
            same = np.array_equal(made.raw(rows), predict(rows, raw_score=True)) and np.array_equal(
                made.contributions(rows), predict(rows, pred_contrib=True)
            )
        except (AttributeError, OSError, ctypes.ArgumentError) as error:
            logger.warning(
                "LightGBM's fast way for single rows is not to be had here (%s); the slower one serves", error
            )
            return None
        if not same:
            logger.warning("LightGBM's fast way for single rows gives other numbers; the slower one serves")
        return made if same else None

    def raw(self, rows: Floats) -> Floats:
        """Sum of the leaves, [n], of rows float64[n, f]."""
        return self._each(_RAW, rows)[:, 0]

    def contributions(self, rows: Floats) -> Floats:
        """TreeSHAP values and, last, the average: float64[n, f + 1]."""
        return self._each(_CONTRIBUTIONS, rows)

    def _each(self, kind: int, rows: Floats) -> Floats:
        try:
            reader = self._idle.pop()
        except IndexError:
            reader = _Reader(self._text)
        results = reader.read(kind, rows)
        self._idle.append(reader)
        return results
