"""The model as it is stored, shipped and served: a folder of text and ONNX, read without unpickling anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from mlplatform.errors import ArtifactError
from mlplatform.ml.cleaning import STORED, Cleaning
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.groups import Groups
from mlplatform.ml.heads import Classes, Head, head_from_json
from mlplatform.ml.metrics import Floats

if TYPE_CHECKING:
    # What serves a model reads JSON: pandas alone would be half of a start.
    import pandas as pd

    from mlplatform.ml.trainer import Scorer

__all__ = ["Model"]

FILE = "model.json"
FORMAT = 1
SEEN = "seen"
"""The columns that the scorer sees, where it does not see all."""


@dataclass(frozen=True)
class Model:
    """Encoding, scorer and head as one. Rows are float64[n, f] in the order of `features`."""

    encoding: Encoding
    scorer: Scorer
    head: Head
    """Calibration, and what else turns a raw score into the task's answer."""
    learned_until: datetime
    """Event time from which on no row was used to train, tune or calibrate."""
    held_out: Groups | None = None
    """Groups none of whose rows were used, at whatever time."""

    @property
    def kind(self) -> str:
        """How the scorer is stored: `lightgbm`, `per_level`, `one_vs_rest`, `logistic`, `onnx` or `ensemble`."""
        return self.scorer.kind

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return self.encoding.features

    @property
    def categorical(self) -> tuple[str, ...]:
        """Names of the columns that hold category codes."""
        return tuple(self.encoding.categories)

    def unseen(self, frame: pd.DataFrame, event_time: str) -> npt.NDArray[np.bool_]:
        """Which rows of a frame it can not have learned from, bool[n]: later ones, and those of groups held out."""
        later = (frame[event_time] >= self.learned_until).to_numpy()
        if self.held_out is None or self.held_out.key not in frame.columns:
            return later
        return later | self.held_out.holds(frame[self.held_out.key])

    def matrix(self, frame: pd.DataFrame) -> Floats:
        """The rows of a frame with at least the columns `features`, as the other methods take them."""
        return self.encoding.matrix(frame)

    def predict(self, rows: Floats) -> Floats:
        """Probabilities or scores, [n], quantiles of an amount, [n, levels], or classes, [n, classes]. NaN: missing."""
        return self.head(self.scorer.raw(rows))

    def calibrated(self, rows: Floats) -> Floats:
        """The same on a scale where models can be added up: calibrated log-odds, scores, or quantiles."""
        return self.head.calibrated(self.scorer.raw(rows))

    def explain(self, rows: Floats) -> Floats:
        """What each feature adds, in the head's `unit`, float64[n, f]; of a forecast, to the median.

        With a sigmoid calibration the rows add up to the calibrated log-odds less a constant; with an isotonic
        one, which is not linear, to the uncalibrated. Of several classes: to the one that is answered.
        """
        if isinstance(self.head, Classes):
            from mlplatform.ml.one_vs_rest import contributions_to

            return contributions_to(self.scorer, self.predict(rows).argmax(axis=1), rows)
        return self.scorer.contributions(rows) * self.head.slope

    def importance(self, rows: Floats) -> dict[str, float]:
        """Mean absolute contribution of each feature over `rows`, largest first."""
        means = np.abs(self.explain(rows)).mean(axis=0)
        order = np.argsort(-means, kind="stable")
        return {self.features[i]: float(means[i]) for i in order}

    def save(self, folder: Path) -> None:
        """Write model.json and the scorer's file below `folder`, which is made if missing."""
        folder.mkdir(parents=True, exist_ok=True)
        description = {
            "format": FORMAT,
            "kind": self.kind,
            "features": list(self.features),
            "categorical": list(self.categorical),
            "categories": {name: list(values) for name, values in self.encoding.categories.items()},
            **self.head.to_json(),
            "learned_until": self.learned_until.isoformat(),
            **({"held_out": asdict(self.held_out)} if self.held_out else {}),
            **self.scorer.save(folder),
        }
        (folder / FILE).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises ArtifactError when it is incomplete or of another format."""
        stored = _read(folder / FILE)
        try:
            return cls(
                encoding=Encoding(
                    tuple(stored["features"]), {name: tuple(v) for name, v in stored["categories"].items()}
                ),
                scorer=_scorer(folder, stored),
                head=head_from_json(stored),
                learned_until=datetime.fromisoformat(stored["learned_until"]),
                held_out=Groups(**stored["held_out"]) if "held_out" in stored else None,
            )
        except KeyError as error:
            raise ArtifactError(f"{folder / FILE} has no {error}; package the model again") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"cannot read {path}: {error}; package the model again") from error
    if stored.get("format") != FORMAT:
        raise ArtifactError(f"{path} has format {stored.get('format')}, this version reads {FORMAT}; package it again")
    return stored


def _scorer(folder: Path, stored: Mapping[str, Any]) -> Scorer:
    """Wrapped as it was trained: rows are cleaned first, then columns are left out."""
    scorer = _loader(stored["kind"])(folder, stored)
    if SEEN in stored:
        from mlplatform.ml.subset import SubsetScorer

        scorer = SubsetScorer(tuple(stored[SEEN]), scorer)
    if STORED in stored:
        from mlplatform.ml.cleaned import CleanedScorer

        scorer = CleanedScorer(Cleaning.from_json(stored[STORED], stored["features"]), scorer)
    return scorer


def _loader(kind: str) -> Callable[[Path, Mapping[str, Any]], Scorer]:
    if kind == "lightgbm":
        from mlplatform.ml.stored_trees import StoredTrees

        return StoredTrees.load
    if kind == "per_level":
        from mlplatform.ml.per_level import PerLevelScorer

        return lambda folder, stored: PerLevelScorer.load(folder, stored, _scorer)
    if kind == "one_vs_rest":
        from mlplatform.ml.one_vs_rest import OneVsRestScorer

        return lambda folder, stored: OneVsRestScorer.load(folder, stored, _scorer)
    if kind == "logistic":
        from mlplatform.ml.linear import LinearScorer

        return LinearScorer.load
    if kind == "onnx":
        from mlplatform.ml.onnx_scorer import OnnxScorer

        return OnnxScorer.load
    if kind == "ensemble":
        from mlplatform.ml.blend import BlendScorer

        return BlendScorer.load
    raise ArtifactError(
        f"unknown kind of model {kind!r}; known: lightgbm, per_level, one_vs_rest, logistic, onnx, ensemble"
    )
