"""Does a bundle for the edge say what the service says? The same rows through both, and what the difference is.

The bundle answers through its own runner, read from its own folder, as it will on the device.
"""

import importlib.util
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from mlplatform.errors import ArtifactError
from mlplatform.serving.edge.runner import Model
from mlplatform.serving.scoring import Live

__all__ = ["TOLERANCE", "Latency", "Parity", "compare", "measure", "open_bundle"]

TOLERANCE = 1e-9
"""How far an answer may lie from the service's, as a share of it where it is above 1. What differs is the order in
which leaves are added up, and how exponentials are rounded: 1e-15 for LightGBM. A row that takes another way through a
tree differs by far more."""
BATCH = 500
ALONE = 200
"""So many rows are also scored one by one."""


@dataclass(frozen=True)
class Parity:
    """How many rows gave the same answers, and the same refusals."""

    rows: int
    refusals: int
    """Rows that break the contract, or nearly, on whose problems both agree word for word."""
    largest: float
    """The largest difference of two numbers."""


@dataclass(frozen=True)
class Latency:
    """Of one row through the runner, checks included, in milliseconds."""

    p50: float
    p99: float


def open_bundle(folder: Path) -> Model:
    """The model of a bundle by the runner that lies in it. Raises ArtifactError if it cannot be opened."""
    found = importlib.util.spec_from_file_location("mlplatform_edge_runner", folder / "runner.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    try:
        opened: Model = module.Model(folder)
    except module.BundleError as error:
        raise ArtifactError(f"the exported bundle cannot be opened: {error}") from error
    return opened


def compare(live: Live, edge: Model, rows: Sequence[Mapping[str, Any]], wrong: Sequence[Any]) -> Parity:
    """Score `rows` by both, and have both read `wrong`.

    Raises ArtifactError at the first row whose answers differ by more than TOLERANCE, in a decision, or in a word.
    """
    largest = 0.0
    for part in _parts(list(rows)):
        matrix, problems = live.reader.read(part)
        if problems:
            raise ArtifactError(f"a row to compare by breaks the contract: {problems[0]}; build the bundle again")
        expected = live.score([dict(row) for row in part], matrix, explain=False)
        for row, ours, theirs in zip(part, expected, edge.predict(part), strict=True):
            largest = max(largest, _difference(live, row, ours, theirs))
    for row in wrong:
        _require_same_words(live, edge, row)
    return Parity(len(rows), len(wrong), largest)


def measure(edge: Model, rows: Sequence[Mapping[str, Any]], times: int = 1000) -> Latency:
    """Time single rows, after a tenth as many that only warm up."""
    took = []
    for at in range(-(times // 10), times):
        began = perf_counter()
        edge.predict([rows[at % len(rows)]])
        if at >= 0:
            took.append(1000 * (perf_counter() - began))
    p50, p99 = np.quantile(took, [0.5, 0.99])
    return Latency(float(p50), float(p99))


def _parts(rows: list[Any]) -> Iterator[list[Any]]:
    yield from (rows[at : at + BATCH] for at in range(0, len(rows), BATCH))
    yield from ([row] for row in rows[:ALONE])


def _difference(live: Live, row: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> float:
    """The largest of one answer's numbers."""
    pairs = list(zip(_numbers(ours), _numbers(theirs), strict=True))
    distance = max(abs(mine - other) for mine, other in pairs)
    if not all(math.isclose(mine, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE) for mine, other in pairs):
        raise ArtifactError(f"the exported model says {theirs} where {live.bento} says {ours}, for {row}: not exported")
    if [ours.get(name) for name in ("decision", "class")] != [theirs.get(name) for name in ("decision", "class")]:
        # Never seen: the score would have to lie within 1e-15 of the threshold.
        raise ArtifactError(f"the exported model decides {theirs} where {live.bento} decides {ours}, for {row}")
    return distance


def _numbers(answer: Mapping[str, Any]) -> list[float]:
    plain = [value for name, value in answer.items() if name not in ("decision", "class", "quantiles", "probabilities")]
    return [*plain, *answer.get("quantiles", {}).values(), *answer.get("probabilities", {}).values()]


def _require_same_words(live: Live, edge: Model, row: Any) -> None:
    ours = [(p.row, p.field, p.problem, p.allowed) for p in live.reader.read([row])[1]]
    theirs = [(p["row"], p["field"], p["problem"], p["allowed"]) for p in edge.read([row])[1]]
    if ours != theirs:
        raise ArtifactError(
            f"the exported contract says {theirs} where the service says {ours}, for {row}: not exported"
        )
