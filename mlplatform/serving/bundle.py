"""The bundle: model, rules and reference sample as one folder, sealed by a manifest of SHA-256 hashes.

Nothing of a bundle is parsed before every byte of it has been checked; only then do the model's own readers see it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlplatform.errors import ArtifactError
from mlplatform.serving.limits import Limits
from mlplatform.serving.outcome_names import OutcomeNames
from mlplatform.serving.signing import SIGNATURE, sign_if_asked, verify_if_asked

if TYPE_CHECKING:
    from mlplatform.contracts.rules import Rule
    from mlplatform.ml.model import Model
    from mlplatform.serving.journal import JournalSettings
    from mlplatform.serving.lookup import Lookup
    from mlplatform.serving.raw.settings import RawSettings

__all__ = [
    "CARD",
    "CONTRACT",
    "MANIFEST",
    "Bundle",
    "Manifest",
    "load_bundle",
    "read_manifest",
    "read_rules",
    "verify_bundle",
    "write_manifest",
]

MANIFEST = "manifest.json"
CONTRACT = "contract.json"
CARD = "card.md"
FORMAT = 1
# Formats whose readers execute nothing. A pickle, an archive or a script has no place in a bundle.
ALLOWED_SUFFIXES = frozenset({".json", ".md", ".onnx", ".parquet", ".sql", ".txt"})

Fact = str | int | float | bool | None


@dataclass(frozen=True)
class Manifest:
    """What a bundle claims to be. `files`: relative path -> SHA-256 in hex; `facts`: provenance, e.g. the run id."""

    use_case: str
    version: str
    files: Mapping[str, str]
    facts: Mapping[str, Fact]

    @property
    def digest(self) -> str:
        """One hash for the whole content: equal digests mean byte-equal files, name and version."""
        listing = json.dumps([self.use_case, self.version, sorted(self.files.items())])
        return hashlib.sha256(listing.encode()).hexdigest()


@dataclass(frozen=True)
class Bundle:
    """A verified bundle, loaded."""

    model: "Model"
    rules: tuple["Rule", ...]
    use_case: str
    version: str
    manifest: Manifest
    journal: "JournalSettings"
    """What is kept of predictions."""
    lookup: "Lookup | None" = None
    """Rows that are found by key, if the use case declares such."""
    raw: "RawSettings | None" = None
    """How raw events become features, if the use case declares what an application sends."""
    card: str = ""
    """The model card, Markdown; empty where none was written."""
    limits: Limits = field(default_factory=Limits)
    """What one request may hold."""
    outcomes: OutcomeNames = field(default_factory=OutcomeNames)
    """What the two decisions are called in front of people."""


def write_manifest(
    folder: Path, use_case: str, version: str | int, facts: Mapping[str, Fact] | None = None
) -> Manifest:
    """Seal the folder: hash each file below it, write manifest.json, and sign it if a key is configured.

    Raises ArtifactError if a file is a link or of a kind that a bundle may not hold.
    """
    files = {name: _sha256(folder / name) for name in _listing(folder)}
    manifest = Manifest(use_case, str(version), files, dict(facts or {}))
    document = {
        "format": FORMAT,
        "use_case": use_case,
        "version": manifest.version,
        "facts": manifest.facts,
        "files": files,
    }
    (folder / MANIFEST).write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    sign_if_asked(folder, _with_manifest(folder, files))
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest as written, nothing checked against it yet. Raises ArtifactError if it is missing or malformed."""
    path = folder / MANIFEST
    try:
        document = json.loads(path.read_bytes())
        if document["format"] != FORMAT:
            raise ArtifactError(f"{path}: format {document['format']}, this version reads {FORMAT}; build it again")
        return Manifest(
            str(document["use_case"]), str(document["version"]), dict(document["files"]), dict(document["facts"])
        )
    except FileNotFoundError:
        raise ArtifactError(f"{folder}: no {MANIFEST}; this is not a sealed bundle, build it again") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: not a manifest ({error}); build the bundle again") from error


def verify_bundle(folder: Path) -> Manifest:
    """Compare every file with the manifest. Raises ArtifactError that names each missing, extra or changed file."""
    manifest = read_manifest(folder)
    present, listed = set(_listing(folder)), set(manifest.files)
    problems = [f"missing {name}" for name in sorted(listed - present)]
    problems += [f"not in the manifest: {name}" for name in sorted(present - listed)]
    problems += [
        f"changed {name}" for name in sorted(present & listed) if _sha256(folder / name) != manifest.files[name]
    ]
    if problems:
        raise ArtifactError(f"{folder}: {'; '.join(problems)}. The bundle was altered after it was built; build again")
    return manifest


def load_bundle(folder: Path) -> Bundle:
    """Verify, then load model and rules.

    Raises ArtifactError if the bundle is not whole, lacks the signature that is asked for, or cannot be understood.
    """
    manifest = verify_bundle(folder)
    verify_if_asked(folder, _with_manifest(folder, manifest.files))
    # Heavy (LightGBM, ONNX Runtime): only a process that serves or tests a model pays for it.
    from mlplatform.ml.model import Model
    from mlplatform.serving.journal import JournalSettings
    from mlplatform.serving.lookup import Lookup
    from mlplatform.serving.raw.settings import RawSettings

    model = Model.load(folder)
    rules, journal, lookup = read_rules(folder), JournalSettings.load(folder), Lookup.load(folder, model)
    raw, card = RawSettings.load(folder), _card(folder)
    return Bundle(
        model=model,
        rules=rules,
        use_case=manifest.use_case,
        version=manifest.version,
        manifest=manifest,
        journal=journal,
        lookup=lookup,
        raw=raw,
        card=card,
        limits=Limits.load(folder),
        outcomes=OutcomeNames.load(folder),
    )


def _card(folder: Path) -> str:
    path = folder / CARD
    return path.read_text(encoding="utf-8") if path.exists() else ""


def read_rules(folder: Path) -> tuple["Rule", ...]:
    """The rules of the contract beside a model. Raises ArtifactError if they are missing or none."""
    from mlplatform.contracts.rules import load_rules

    path = folder / CONTRACT
    try:
        return tuple(load_rules(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        raise ArtifactError(f"{path}: not a list of rules ({error}); build the bundle again") from error


def _listing(folder: Path) -> list[str]:
    """Relative paths of all files but the manifest and its signature, sorted."""
    if not folder.is_dir():
        raise ArtifactError(f"{folder}: no such folder; build the bundle again")
    names = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise ArtifactError(f"{path}: a bundle holds files, not links")
        if path.is_dir() or name in (MANIFEST, SIGNATURE):
            continue
        if path.suffix not in ALLOWED_SUFFIXES:
            raise ArtifactError(f"{path}: a bundle may hold {', '.join(sorted(ALLOWED_SUFFIXES))} only")
        names.append(name)
    return names


def _with_manifest(folder: Path, files: Mapping[str, str]) -> dict[str, str]:
    """What a signature covers: the manifest, too, for it says of which use case and version the files are."""
    return {**files, MANIFEST: _sha256(folder / MANIFEST)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
