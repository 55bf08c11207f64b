"""One row through LightGBM's C interface: 5 microseconds in place of the 180 that `Booster.predict` needs for one.

The way in (`lightgbm.basic._LIB`, `Booster._handle`) is private. So a reader proves on rows of its own that it gives
what `Booster.predict` gives, bit for bit, before anybody uses it; where it does not, there is none.
"""

import ctypes
import logging
import threading
from collections.abc import Callable
from typing import Any, Self

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
    """Configuration and buffers of one thread; LightGBM locks each configuration, and they must not be shared."""

    def __init__(self, library: Any, booster: lgb.Booster, kind: int, features: int) -> None:
        self._library = library
        self._booster = booster  # keeps the handle alive
        self._config = ctypes.c_void_p()
        self.row = np.empty(features)
        self.result = np.empty(features + 1 if kind == _CONTRIBUTIONS else 1)
        self._length = ctypes.c_int64()
        code = library.LGBM_BoosterPredictForMatSingleRowFastInit(
            booster._handle,
            ctypes.c_int(kind),
            ctypes.c_int(0),
            ctypes.c_int(-1),
            ctypes.c_int(_FLOAT64),
            ctypes.c_int32(features),
            ctypes.c_char_p(_PARAMETERS),
            ctypes.byref(self._config),
        )
        if code:
            raise OSError(f"LightGBM gives no fast configuration (code {code})")
        self._predict = library.LGBM_BoosterPredictForMatSingleRowFast
        self._arguments = (
            self._config,
            ctypes.c_void_p(self.row.ctypes.data),
            ctypes.byref(self._length),
            ctypes.c_void_p(self.result.ctypes.data),
        )

    def __del__(self) -> None:
        if self._config:
            self._library.LGBM_FastConfigFree(self._config)

    def read(self) -> None:
        """From `row` to `result`."""
        if code := self._predict(*self._arguments):
            raise OSError(f"LightGBM could not predict (code {code})")


class FastRow:
    """Raw scores and contributions of few rows. May be shared between threads."""

    def __init__(self, booster: lgb.Booster) -> None:
        self._library = lgb.basic._LIB
        self._booster = booster
        self._features = booster.num_feature()
        self._of_thread = threading.local()

    @classmethod
    def of(cls, booster: lgb.Booster, predict: Callable[..., Floats]) -> Self | None:
        """None where it is not to be had, or says anything else than `predict(rows, raw_score | pred_contrib)`."""
        rows = np.random.default_rng(0).normal(scale=100, size=(_PROBES, booster.num_feature()))
        rows[::3, ::2] = np.nan
        try:
            made = cls(booster)
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
        reader = self._reader(kind)
        results = np.empty((len(rows), len(reader.result)))
        for number in range(len(rows)):
            reader.row[:] = rows[number]
            reader.read()
            results[number] = reader.result
        return results

    def _reader(self, kind: int) -> _Reader:
        readers: dict[int, _Reader] = self._of_thread.__dict__.setdefault("readers", {})
        if kind not in readers:
            readers[kind] = _Reader(self._library, self._booster, kind, self._features)
        return readers[kind]
