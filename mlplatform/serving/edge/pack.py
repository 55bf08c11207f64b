"""The folder that goes to a device: written beside its place, compared with the service, and only then put there."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlplatform.errors import ArtifactError
from mlplatform.ml.heads import Classes, Probability, Quantiles
from mlplatform.ml.model_form import Column as Input
from mlplatform.ml.model_form import cuts_of, model_to_onnx
from mlplatform.serving.bundle import load_bundle
from mlplatform.serving.column import LARGEST, Column
from mlplatform.serving.edge.hard_rows import hard_rows, wrong_rows
from mlplatform.serving.edge.notes import feature_notes
from mlplatform.serving.edge.parity import TOLERANCE, Latency, Parity, compare, measure, open_bundle
from mlplatform.serving.edge.runner import CONTRACT, FORMAT, GRAPH, MANIFEST
from mlplatform.serving.scoring import Live

__all__ = ["EdgeBundle", "pack_edge"]

KIND = "mlplatform edge bundle"
NOTES, PARITY, CARD = "FEATURES.md", "parity.json", "card.md"
RUNNERS = ("runner.py", "runner.mjs")
REFERENCE = "reference.parquet"
SAMPLE = 1000
"""Rows of the reference sample that are compared."""


@dataclass(frozen=True)
class EdgeBundle:
    """What was written, and what there is to say of it."""

    folder: Path
    digest: str
    """SHA-256 of manifest.json, which names the hash of every other file."""
    files: Mapping[str, int]
    """Bytes of each."""
    parity: Parity
    sampled: int
    """Of the compared rows those of the reference sample; the others are hard ones."""
    latency: Latency


def pack_edge(bundle: Path, bento: str, out: Path, described: Mapping[str, str] | None = None) -> EdgeBundle:
    """Export a sealed bundle of the platform to the folder `out`, which becomes whole or stays as it was.

    `bento`: its name in messages; `described`: what dbt says of the features, by name. The same bundle again gives the
    same bytes.

    Raises:
        ArtifactError: the bundle is not whole, a part of the model has no ONNX form, the copy answers otherwise than
            the service, or `out` holds something that is no such export of this use case.
    """
    live = Live.of(load_bundle(bundle), bento)
    _require_ours(out, live.bundle.use_case)
    base = _reference(live, bundle)
    inputs = [Input(column.name, column.codes) for column in live.reader.columns]
    hard = hard_rows(live.reader.columns, base, cuts_of(live.bundle.model))
    wrong = wrong_rows(live.reader.columns, base[0], live.bundle.journal.identity)
    with _beside(out) as folder:
        (folder / GRAPH).write_bytes(model_to_onnx(live.bundle.model, inputs))
        _write_json(folder / CONTRACT, _contract(live, inputs))
        (folder / NOTES).write_text(feature_notes(live, bundle, inputs, described or {}), encoding="utf-8")
        for runner in RUNNERS:
            shutil.copyfile(Path(__file__).with_name(runner), folder / runner)
        if live.bundle.card:
            (folder / CARD).write_text(live.bundle.card, encoding="utf-8")
        _seal(folder, live)
        edge = open_bundle(folder)
        parity = compare(live, edge, [*base, *hard], wrong)
        _write_json(folder / PARITY, _told(parity, len(base)))
        digest = _seal(folder, live)
        latency = measure(edge, base)
        _put(folder, out)
    files = {path.name: path.stat().st_size for path in sorted(out.iterdir())}
    return EdgeBundle(out, digest, files, parity, len(base), latency)


def _reference(live: Live, bundle: Path) -> list[dict[str, Any]]:
    """Rows of the reference sample as a client would send them, and the contract's example."""
    import pyarrow.parquet as pq

    features = list(live.bundle.model.features)
    table = pq.read_table(bundle / REFERENCE, columns=features)
    step = max(1, table.num_rows // SAMPLE)
    rows = table.take(list(range(0, table.num_rows, step))[:SAMPLE]).to_pylist()
    plain = [{name: None if value != value else value for name, value in row.items()} for row in rows]
    # What the contract refuses today is no row to compare by; of wrong rows there are others.
    return [live.example(), *(row for row in plain if not live.reader.read([row])[1])]


def _contract(live: Live, inputs: list[Input]) -> dict[str, Any]:
    """What the runner reads: the service's compiled rules, and the shape of its answers."""
    bundle, head = live.bundle, live.bundle.model.head
    names = bundle.journal.identity.names(frozenset(bundle.model.features))
    answer: dict[str, Any] = {"task": head.task}
    if isinstance(head, Probability):
        answer["threshold"] = head.threshold
    if isinstance(head, Quantiles):
        answer["levels"] = [f"{level:g}" for level in head.levels]
    if isinstance(head, Classes):
        answer["classes"] = list(head.names)
    event_time = bundle.journal.identity.event_time
    return {
        "use_case": bundle.use_case,
        "version": bundle.version,
        "columns": [_rule(column, given) for column, given in zip(live.reader.columns, inputs, strict=True)],
        "keys": sorted(names - {event_time}),
        "event_time": event_time if event_time in names else "",
        "answer": answer,
    }


def _rule(column: Column, given: Input) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.kind,
        "nullable": column.nullable,
        "low": None if column.low == -LARGEST else column.low,
        "high": None if column.high == LARGEST else column.high,
        "listed": None if column.listed is None else sorted(column.listed),
        "categorical": column.codes is not None,
        "input": "string" if given.is_text else "double",
        "missing": given.missing,
        "allowed": column.allowed,
    }


def _told(parity: Parity, sampled: int) -> dict[str, Any]:
    return {
        "compared_with": "the platform's own scorer",
        "rows": parity.rows,
        "of_the_reference_sample": sampled,
        "refusals": parity.refusals,
        "largest_difference": parity.largest,
        "tolerance": TOLERANCE,
    }


def _seal(folder: Path, live: Live) -> str:
    """Write manifest.json; its SHA-256."""
    names = sorted(path.name for path in folder.iterdir() if path.name != MANIFEST and path.is_file())
    manifest = live.bundle.manifest
    document = {
        "format": FORMAT,
        "kind": KIND,
        "use_case": manifest.use_case,
        "version": manifest.version,
        "of": {"bento": live.bento, "digest": manifest.digest, "facts": manifest.facts},
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names},
    }
    _write_json(folder / MANIFEST, document)
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _require_ours(out: Path, use_case: str) -> None:
    """Only an export of the same use case, or nothing, is replaced."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ArtifactError(f"{out} is not a folder; name another one (--out)")
    if not out.exists() or not any(out.iterdir()):
        return
    try:
        found = json.loads((out / MANIFEST).read_bytes())
        ours = found["kind"] == KIND and found["use_case"] == use_case
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise ArtifactError(f"{out} holds something else than an export of {use_case}; name another folder (--out)")


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A new folder on the same disk; removed, unless it was put in its place. Raises ArtifactError if it is refused."""
    made: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        (made / "new").mkdir()
        yield made / "new"
    except OSError as error:
        raise ArtifactError(f"cannot write {out}: {error}; name another folder (--out)") from error
    finally:
        if made is not None:
            shutil.rmtree(made)


def _put(folder: Path, out: Path) -> None:
    """Two renames: at no time does `out` hold a part of a bundle. What was there is removed with the folder beside."""
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    before = folder.parent / "old"
    if out.exists():
        out.rename(before)
    try:
        folder.rename(out)
    except BaseException:  # an interrupt, too: what lies beside is removed
        if before.exists():
            before.rename(out)
        raise
