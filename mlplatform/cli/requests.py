"""Requests for a demonstration: real rows that no model has learned from, or real keys."""

import json
from collections.abc import Mapping
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
    """Two real requests, and one that is wrong, or that nobody is prepared for.

    Raises:
        LakeError: there is no labelled test row; train first.
        ArtifactError: nothing is deployed.
    """
    return _by_key(uc, home) if uc.spec.serving.lookup else _by_features(uc, home)


def _by_features(uc: Declaration, home: Home) -> list[Sample]:
    """Two real rows that turned out differently, and the second again with two mistakes."""
    features = _served_features(uc, home)
    rows = [(what, _row(uc, home, features, label)) for what, label in _two_labels(uc, home)]
    invalid = {**rows[-1][1], features[0]: ["a lot"], "colour": "red"}
    samples = [Sample(f"one that turned out {what}", row, _OK) for what, row in rows]
    return [*samples, Sample("one with two mistakes", invalid, _UNPROCESSABLE)]


def _two_labels(uc: Declaration, home: Home) -> list[tuple[str, float]]:
    """Two labels of the test rows, and what they are called: yes and no, the least and the largest."""
    task, names = uc.spec.training.task, uc.spec.outcomes
    if task.kind == "binary":
        return [(names.positive, 1), (names.negative, 0)]
    with Lake.at(home).read() as con:
        found = con.execute(
            f"SELECT min({uc.spec.training.label}), max({uc.spec.training.label}) FROM {uc.spec.name}.training_set "
            "WHERE part = 'test'"
        ).fetchone()
    if found is None or found[0] is None:
        raise LakeError(f"{uc.spec.name}.training_set has no test row; run `mlplatform run {uc.spec.name}`")
    if task.kind == "multiclass":
        return [(task.classes[int(code)], code) for code in found]
    return [(f"{amount:g}", amount) for amount in found]


def _by_key(uc: Declaration, home: Home) -> list[Sample]:
    """A key that is there, one that is not, and a limit that makes no sense."""
    key, limit = _some_key(uc, home), {"ranking": "k", "forecast": "horizon"}.get(uc.spec.training.task.kind)
    named = ", ".join(f"{name} {value}" for name, value in key.items())
    unknown = {name: "nobody" if isinstance(value, str) else 10**9 for name, value in key.items()}
    answered = _OK if uc.spec.serving.default else _UNPROCESSABLE
    wrong = [Sample(f"{named}, {limit} 0", {**key, limit: 0}, _UNPROCESSABLE)] if limit else []
    return [
        Sample(named, {**key, **({limit: 3} if limit else {})}, _OK),
        Sample("a key that is not there", {**unknown, **({limit: 3} if limit else {})}, answered),
        *wrong,
    ]


def _some_key(uc: Declaration, home: Home) -> Mapping[str, str | int]:
    """The same one each time, but not the default."""
    keys = uc.spec.serving.lookup
    default = " AND ".join(f"{name} = ?" for name in uc.spec.serving.default) or "false"
    with Lake.at(home).read() as con:
        found = con.execute(
            f"SELECT DISTINCT {', '.join(keys)} FROM {uc.spec.name}.features WHERE NOT ({default}) "
            f"ORDER BY {', '.join(f'hash({name})' for name in keys)} LIMIT 1",
            list(uc.spec.serving.default.values()),
        ).fetchone()
    if found is None:
        raise LakeError(f"{uc.spec.name}.features has no row; run `mlplatform run {uc.spec.name}`")
    return dict(zip(keys, found, strict=True))


def _served_features(uc: Declaration, home: Home) -> list[str]:
    """What the live model asks for: the declaration may have changed since that was trained."""
    bundle = Path(read_pointer(home.deployment(uc.spec.name)).path)
    return [str(rule["name"]) for rule in json.loads((bundle / "contract.json").read_text(encoding="utf-8"))]


def _row(uc: Declaration, home: Home, features: list[str], label: float) -> dict[str, Any]:
    """Features, keys and time of one test row, the same one each time: its label is what happened, not what a model
    says."""
    # What it is about goes with it: its label will find it.
    columns = ", ".join([*features, *uc.spec.entity_keys, f"strftime({uc.spec.event_time}, '%Y-%m-%dT%H:%M:%S')"])
    order = ", ".join(f"hash({key})" for key in uc.spec.entity_keys)
    with Lake.at(home).read() as con:
        found = con.execute(
            f"SELECT {columns} FROM {uc.spec.name}.training_set WHERE part = 'test' AND {uc.spec.training.label} = ? "
            f"ORDER BY {order} LIMIT 1",
            [label],
        )
        row = found.fetchone()
    names = [*features, *uc.spec.entity_keys, uc.spec.event_time]
    if row is None:
        raise LakeError(f"{uc.spec.name}.training_set has no test row with label {label}; run `mlplatform run`")
    return dict(zip(names, row, strict=True))
