"""Requests for a demonstration, made from rows of the test part that no model has learned from."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlplatform.errors import LakeError
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.serving.pointer import read_pointer
from mlplatform.spec import Declaration

__all__ = ["Sample", "sample_requests"]

_OK, _UNPROCESSABLE = 200, 422


@dataclass(frozen=True)
class Sample:
    """One request, what a person should know about it, and the status it should get."""

    title: str
    row: dict[str, Any]
    expected_status: int


def sample_requests(uc: Declaration, home: Home) -> list[Sample]:
    """A real positive, a real negative, and the negative again with two mistakes.

    Raises:
        LakeError: there is no labelled test row; train first.
        ArtifactError: nothing is deployed.
    """
    features = _served_features(uc, home)
    positive, negative = _row(uc, home, features, label=1), _row(uc, home, features, label=0)
    first, names = features[0], uc.spec.outcomes
    invalid = {**negative, first: "a lot", "colour": "red"}
    return [
        Sample(f"one that turned out {names.positive}", positive, _OK),
        Sample(f"one that turned out {names.negative}", negative, _OK),
        Sample("one with two mistakes", invalid, _UNPROCESSABLE),
    ]


def _served_features(uc: Declaration, home: Home) -> list[str]:
    """What the live model asks for: the declaration may have changed since that was trained."""
    bundle = Path(read_pointer(home.deployment(uc.spec.name)).path)
    return [str(rule["name"]) for rule in json.loads((bundle / "contract.json").read_text(encoding="utf-8"))]


def _row(uc: Declaration, home: Home, features: list[str], label: int) -> dict[str, Any]:
    """The features of one test row, the same one each time: its label is what happened, not what a model says."""
    columns = ", ".join(features)
    order = ", ".join(f"hash({key})" for key in uc.spec.entity_keys)
    with Lake.at(home).read() as con:
        found = con.execute(
            f"SELECT {columns} FROM {uc.spec.name}.training_set WHERE part = 'test' AND {uc.spec.training.label} = ? "
            f"ORDER BY {order} LIMIT 1",
            [label],
        )
        names, row = [d[0] for d in found.description], found.fetchone()
    if row is None:
        raise LakeError(f"{uc.spec.name}.training_set has no test row with label {label}; run `mlplatform run`")
    return dict(zip(names, row, strict=True))
