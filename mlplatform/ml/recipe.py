"""All that a training depended on beside its rows: enough to train the same model again."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from mlplatform.errors import TrainingError
from mlplatform.ml.ensemble import train_ensemble
from mlplatform.ml.model import Model
from mlplatform.ml.train import LabelledRows, fit
from mlplatform.ml.trainer import Params
from mlplatform.spec.candidate import Candidate, EnsembleCandidate
from mlplatform.spec.training import Training

__all__ = ["Likeness", "Recipe", "compare_models"]

_CANDIDATE: TypeAdapter[Candidate] = TypeAdapter(Candidate)


@dataclass(frozen=True)
class Recipe:
    """The declaration as it was, and what the search had found: today's declaration may be another one."""

    candidate: Candidate
    training: Training
    params: Params
    event_time: str
    as_of: str
    """When the training set was frozen, ISO."""
    members: tuple["Recipe", ...] = ()
    """Of an ensemble: the recipes of what it blends."""

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return {
            "candidate": self.candidate.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json"),
            "params": dict(self.params),
            "event_time": self.event_time,
            "as_of": self.as_of,
            **({"members": [member.to_json() for member in self.members]} if self.members else {}),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Raises pydantic's ValidationError where a field of then is unknown today."""
        return cls(
            candidate=_CANDIDATE.validate_python(content["candidate"]),
            training=Training.model_validate(content["training"]),
            params=content["params"],
            event_time=content["event_time"],
            as_of=content["as_of"],
            members=tuple(cls.from_json(member) for member in content.get("members", ())),
        )

    def train(self, frame: pd.DataFrame) -> Model:
        """Fit and calibrate on the rows of the frozen training set, without a search; of an ensemble, every member.

        Raises:
            TrainingError: the recipe is that of an ensemble and lacks its members'.
        """
        if isinstance(self.candidate, EnsembleCandidate):
            return self._blend(self.candidate, frame)
        rows = LabelledRows.of(frame, self.training, self.event_time, pd.Timestamp(self.as_of))
        return fit(self.candidate, self.params, rows, self.training).model

    def _blend(self, candidate: EnsembleCandidate, frame: pd.DataFrame) -> Model:
        if not self.members:
            raise TrainingError(
                f"the recipe of {candidate.name} was kept without those of what it blends; train it again to keep them"
            )
        members = {member.candidate.name: member.train(frame) for member in self.members}
        as_of = pd.Timestamp(self.as_of)
        found = train_ensemble(frame, candidate, members, self.training, event_time=self.event_time, as_of=as_of)
        return found.model


@dataclass(frozen=True)
class Likeness:
    """A rebuilt model beside the stored one."""

    files: dict[str, bool]
    """Whether each file of the model is equal, byte for byte."""
    rows: int
    largest_difference: float
    """Between the answers of the same rows."""

    @property
    def identical(self) -> bool:
        """Equal files and equal answers."""
        return all(self.files.values()) and self.largest_difference == 0


def compare_models(stored: Path, rebuilt: Model, frame: pd.DataFrame) -> Likeness:
    """`stored` is the folder of a model; `frame` holds at least its features."""
    old = Model.load(stored)
    with TemporaryDirectory() as made:
        folder = Path(made) / "model"
        rebuilt.save(folder)
        written = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        files = {str(name): (stored / name).read_bytes() == (folder / name).read_bytes() for name in written}
    difference = np.abs(old.predict(old.matrix(frame)) - rebuilt.predict(rebuilt.matrix(frame)))
    return Likeness(files, len(frame), float(difference.max(initial=0.0)))
