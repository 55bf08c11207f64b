"""A model on the requests of the past: scored from the journal, without a service that runs it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlplatform.serving.bundle import Bundle, Manifest, read_rules
from mlplatform.serving.codec import dumps, loads
from mlplatform.serving.journal import JournalSettings
from mlplatform.serving.scoring import Live

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["JOURNAL", "Rescored", "open_model", "rescore", "rescored_id"]

JOURNAL = "journal"
"""The role of what nobody was answered."""
_SCORES = ("score", "forecast")


@dataclass(frozen=True)
class Rescored:
    """What a model made of logged predictions. Each of these is either among the `rows` or counted by why not."""

    rows: tuple[Mapping[str, Any], ...] = ()
    """As the log has them: the original's request, keys and times; the model's version and answer; no latency."""
    learned_from: int = 0
    """Events before the model's training ended: it may know their labels."""
    not_kept: int = 0
    """The log lacks a feature that the model needs (`journal.columns`)."""
    hashed: int = 0
    """It has one as a hash only (`journal.hashed`)."""
    refused: int = 0
    """The model's contract refuses the values."""

    def plus(self, other: "Rescored") -> "Rescored":
        """The counts of both, without the rows."""
        counts = ("learned_from", "not_kept", "hashed", "refused")
        return Rescored((), *(getattr(self, name) + getattr(other, name) for name in counts))


def open_model(folder: Path, use_case: str, version: int) -> Live:
    """A registered model's own folder as a service would hold it; raises ArtifactError where it could not serve."""
    from mlplatform.ml.model import Model

    manifest = Manifest(use_case, str(version), {}, {})
    model, rules = Model.load(folder), read_rules(folder)
    return Live.of(Bundle(model, rules, use_case, str(version), manifest, JournalSettings()), JOURNAL)


def rescored_id(prediction_id: str, version: int) -> str:
    """The id of a logged prediction, and of the version that scored it again."""
    return f"{prediction_id}@v{version}"


def rescore(live: Live, logged: Sequence[Mapping[str, Any]], hashed: Sequence[str]) -> Rescored:
    """`logged`: rows of the prediction log with `features` as JSON text; `hashed`: columns that it keeps as a hash."""
    needed, learned_until = live.bundle.model.features, live.bundle.model.learned_until
    later = [row for row in logged if row["event_time"] >= learned_until]
    features = [loads((row["features"] or "{}").encode()) for row in later]
    kept = [(row, have) for row, have in zip(later, features, strict=True) if all(name in have for name in needed)]
    known_to_it, not_kept = len(logged) - len(later), len(later) - len(kept)
    if set(needed) & set(hashed):
        return Rescored(learned_from=known_to_it, not_kept=not_kept, hashed=len(kept))
    rows = [{name: have[name] for name in needed} for _, have in kept]
    good, matrix = _readable(live, rows)
    answers = live.score([rows[i] for i in good], matrix, explain=False) if good else []
    version = int(live.bundle.version)
    made = [_entry(kept[i][0], version, answer) for i, answer in zip(good, answers, strict=True)]
    return Rescored(tuple(made), known_to_it, not_kept, refused=len(rows) - len(good))


def _readable(live: Live, rows: Sequence[dict[str, Any]]) -> "tuple[list[int], npt.NDArray[np.float64]]":
    """Which rows the contract takes, and their matrix; one by one only if one is bad."""
    matrix, problems = live.reader.read(rows)
    if not problems:
        return list(range(len(rows))), matrix
    good = [i for i, row in enumerate(rows) if not live.reader.read([row])[1]]
    return good, live.reader.read([rows[i] for i in good])[0]


def _entry(row: Mapping[str, Any], version: int, answer: Mapping[str, Any]) -> dict[str, Any]:
    moment: datetime = row["predicted_at"]
    return {
        **row,
        "prediction_id": rescored_id(row["prediction_id"], version),
        "predicted_at": moment,
        "model_version": version,
        "bento": None,
        "role": JOURNAL,
        "latency_ms": None,
        "score": next((float(answer[name]) for name in _SCORES if name in answer), None),
        "decision": answer.get("decision"),
        "answer": dumps(answer).decode(),
        "reasons": None,
        # They stand beside the original.
        "features": None,
    }
