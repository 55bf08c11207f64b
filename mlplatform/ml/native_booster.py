"""A stored booster through LightGBM's C interface (`LightGBM/c_api.h`), without its Python package.

`import lightgbm` imports SciPy and narwhals, and pandas and scikit-learn where they are: most of the start of a service
that uses none of them. Numbers are those of `lightgbm.Booster.predict`, bit for bit: it calls the same function.
"""

import ctypes
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np

from mlplatform.errors import ArtifactError
from mlplatform.ml.metrics import Floats

__all__ = ["CONTRIBUTIONS", "FLOAT64", "RAW", "NativeBooster", "library"]

FLOAT64, RAW, CONTRIBUTIONS = 1, 1, 3  # C_API_DTYPE_FLOAT64, C_API_PREDICT_RAW_SCORE, C_API_PREDICT_CONTRIB
_ROW_MAJOR, _ALL_TREES = 1, -1


@cache
def library() -> ctypes.CDLL:
    """LightGBM's shared library, found by its own rules. Raises ArtifactError where it is not installed, or lacks
    OpenMP (Debian: libgomp1)."""
    package = find_spec("lightgbm")
    if package is None or package.origin is None:
        raise ArtifactError("the model needs lightgbm, which is not installed here; install it")
    # As a file, not as `lightgbm.libpath`: that would import the package.
    rules = spec_from_file_location("mlplatform_lightgbm_libpath", Path(package.origin).with_name("libpath.py"))
    assert rules is not None
    assert rules.loader is not None
    module = module_from_spec(rules)
    try:
        rules.loader.exec_module(module)
        loaded = ctypes.cdll.LoadLibrary(module._find_lib_path()[0])
    except Exception as error:  # its rules raise just that where they find nothing
        raise ArtifactError(f"LightGBM's library cannot be loaded ({error}); install what it lacks") from error
    loaded.LGBM_GetLastError.restype = ctypes.c_char_p
    return loaded


class NativeBooster:
    """Predicts. Several threads may use it at once."""

    def __init__(self, text: str) -> None:
        """`text`: a model as LightGBM writes it. Raises ArtifactError if it is none."""
        self.handle = ctypes.c_void_p()
        self._library = library()
        trees = ctypes.c_int()
        self._check(
            self._library.LGBM_BoosterLoadModelFromString(
                ctypes.c_char_p(text.encode()), ctypes.byref(trees), ctypes.byref(self.handle)
            )
        )
        self.features = self._number("LGBM_BoosterGetNumFeature")
        if (classes := self._number("LGBM_BoosterGetNumClasses")) != 1:
            # There would be no room for their scores.
            raise ArtifactError(f"a model of {classes} classes; those of this platform give one score for each row")

    def __del__(self) -> None:
        if self.handle:
            self._library.LGBM_BoosterFree(self.handle)

    def predict(self, rows: Floats, kind: int, threads: int) -> Floats:
        """RAW: the sum of the leaves, [n]; CONTRIBUTIONS: float64[n, f + 1], the average last. `rows`: float64[n, f].

        Raises ArtifactError if the rows have another width than the model.
        """
        rows = np.ascontiguousarray(rows, dtype=np.float64)
        results = np.empty(len(rows) if kind == RAW else (len(rows), self.features + 1))
        written = ctypes.c_int64()
        self._check(
            self._library.LGBM_BoosterPredictForMat(
                self.handle,
                ctypes.c_void_p(rows.ctypes.data),
                ctypes.c_int(FLOAT64),
                ctypes.c_int32(rows.shape[0]),
                ctypes.c_int32(rows.shape[1]),
                ctypes.c_int(_ROW_MAJOR),
                ctypes.c_int(kind),
                ctypes.c_int(0),
                ctypes.c_int(_ALL_TREES),
                ctypes.c_char_p(f"num_threads={threads}".encode()),
                ctypes.byref(written),
                ctypes.c_void_p(results.ctypes.data),
            )
        )
        assert written.value == results.size, "another number of results than there is room for: memory was overwritten"
        return results

    def _number(self, name: str) -> int:
        number = ctypes.c_int()
        self._check(getattr(self._library, name)(self.handle, ctypes.byref(number)))
        return number.value

    def _check(self, code: int) -> None:
        if code:
            raise ArtifactError(f"LightGBM: {self._library.LGBM_GetLastError().decode(errors='replace')}")
