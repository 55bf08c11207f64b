"""A model that is one ONNX graph: forests, boosted trees of scikit-learn, neural networks.

ONNX Runtime scores on one thread; many rows are dealt out in blocks of one size, so that they score the same on any
number of cores. Alone and among others a row's score may differ in its last digit: vector instructions round otherwise.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf

from mlplatform.errors import ArtifactError
from mlplatform.ml.cores import spare_threads
from mlplatform.ml.metrics import Floats
from mlplatform.ml.onnx_graph import INPUT
from mlplatform.ml.shapley import sampled_shapley

__all__ = ["FILE", "UNREADABLE", "OnnxScorer", "open_session", "run_session"]

FILE = "model.onnx"
BLOCK = 4096
UNREADABLE = (OSError, KeyError, TypeError, ValueError, InvalidProtobuf, InvalidGraph, Fail)
"""What a damaged file or description raises when it is opened."""


@dataclass(frozen=True)
class OnnxScorer:
    """Scores through ONNX Runtime; explains by sampled Shapley values against a typical row."""

    content: bytes
    background: tuple[float, ...]
    """The row that contributions are measured from; NaN where a value is typically missing."""
    session: onnxruntime.InferenceSession
    kind: ClassVar[str] = "onnx"

    @classmethod
    def of(cls, content: bytes, background: tuple[float, ...]) -> Self:
        """Open a session on the graph."""
        return cls(content, background, open_session(content))

    @classmethod
    def load(cls, folder: Path, stored: Mapping[str, Any]) -> Self:
        """Read `model.onnx` and the background of model.json."""
        try:
            background = tuple(float("nan") if value is None else float(value) for value in stored["background"])
            return cls.of((folder / FILE).read_bytes(), background)
        except UNREADABLE as error:
            raise ArtifactError(f"cannot read {folder / FILE}: {error}; package the model again") from error

    def raw(self, rows: Floats) -> Floats:
        """What the graph computes, [n]."""
        return run_session(self.session, rows)

    def contributions(self, rows: Floats) -> Floats:
        """Shapley values against the background, float64[n, f]; they add up to score less the background's score."""
        return sampled_shapley(self.raw, rows, np.asarray(self.background))

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the ONNX file; return the background."""
        (folder / FILE).write_bytes(self.content)
        return {"background": [None if np.isnan(value) else value for value in self.background]}


def open_session(content: bytes) -> onnxruntime.InferenceSession:
    """A session on one thread: one row costs 26 us; a second thread only adds hand-over."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run_session(session: onnxruntime.InferenceSession, rows: Floats) -> Floats:
    """Scores of rows float64[n, f], [n]."""
    rows = np.ascontiguousarray(rows, dtype=np.float64)
    if len(rows) <= BLOCK:
        return _run(session, rows)
    blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
    with ThreadPoolExecutor(spare_threads()) as pool:
        return np.concatenate(list(pool.map(partial(_run, session), blocks)))


def _run(session: onnxruntime.InferenceSession, rows: Floats) -> Floats:
    scores: Floats = session.run(None, {INPUT: rows})[0]
    return scores
