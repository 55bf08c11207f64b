"""One row through LightGBM's C interface: 5 microseconds in place of the 180 that `Booster.predict` needs for one.

A reader proves on rows of its own that it gives what the way for many rows gives, bit for bit, before anybody uses it;
where it does not, there is none.
"""

import ctypes
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Self

import numpy as np

from mlplatform.errors import ArtifactError
from mlplatform.ml.metrics import Floats
from mlplatform.ml.native_booster import CONTRIBUTIONS, FLOAT64, RAW, NativeBooster, library

__all__ = ["MOST_ROWS", "FastRow"]

logger = logging.getLogger(__name__)

MOST_ROWS = 16
"""Up to so many rows one after the other are faster than all at once."""
_PROBES = 8
_PARAMETERS = b"num_threads=1"


class _Reader:
    """A booster of its own with a configuration and buffers for each kind of prediction. For one thread at a time: a
    configuration, and what LightGBM prepares in a booster for contributions, are not made to be shared."""

    def __init__(self, text: str) -> None:
        self._library = library()
        self._booster = NativeBooster(text)
        self._features = self._booster.features
        self._configs: list[ctypes.c_void_p] = []
        self._row = np.empty(self._features)
        self._calls = {RAW: self._call(RAW, 1), CONTRIBUTIONS: self._call(CONTRIBUTIONS, self._features + 1)}

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
            self._booster.handle,
            ctypes.c_int(kind),
            ctypes.c_int(0),
            ctypes.c_int(-1),
            ctypes.c_int(FLOAT64),
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
    def of(cls, text: str, booster: NativeBooster) -> Self | None:
        """None where it is not to be had, or says anything else than `booster`, which was read from the same `text`."""
        # Spread over what features take; numpy.random would be one more import of a cold start.
        rows = 100 * np.sin(np.arange(1.0, _PROBES * booster.features + 1)).reshape(_PROBES, booster.features)
        rows[::3, ::2] = np.nan
        try:
            made = cls(text)
            same = np.array_equal(made.raw(rows), booster.predict(rows, RAW, threads=1)) and np.array_equal(
                made.contributions(rows), booster.predict(rows, CONTRIBUTIONS, threads=1)
            )
        except (AttributeError, OSError, ctypes.ArgumentError, ArtifactError) as error:
            logger.warning(
                "LightGBM's fast way for single rows is not to be had here (%s); the slower one serves", error
            )
            return None
        if not same:
            logger.warning("LightGBM's fast way for single rows gives other numbers; the slower one serves")
        return made if same else None

    def raw(self, rows: Floats) -> Floats:
        """Sum of the leaves, [n], of rows float64[n, f]."""
        return self._each(RAW, rows)[:, 0]

    def contributions(self, rows: Floats) -> Floats:
        """TreeSHAP values and, last, the average: float64[n, f + 1]."""
        return self._each(CONTRIBUTIONS, rows)

    def _each(self, kind: int, rows: Floats) -> Floats:
        try:
            reader = self._idle.pop()
        except IndexError:
            reader = _Reader(self._text)
        results = reader.read(kind, rows)
        self._idle.append(reader)
        return results
