"""From a sealed bundle to a Bento in the store: self-contained source, pinned packages, no pickle, built in seconds."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from mlplatform.errors import ArtifactError
from mlplatform.home import Home
from mlplatform.serving.bundle import verify_bundle
from mlplatform.serving.closure import ROOT, source_closure
from mlplatform.serving.web import web_files

__all__ = ["BuiltBento", "build_bento"]

SERVICE_MODULE = "mlplatform.serving.service"
ENTRIES = (SERVICE_MODULE, "mlplatform.serving.slim", "mlplatform.serving.ready", "mlplatform.serving.aws_lambda")
"""What a bento can be started by."""
CONTENT_LABEL = "content"
DIGITS_IN_TAG = 8


@dataclass(frozen=True)
class BuiltBento:
    """A bento in the store. `bundle` is the folder that a pointer names."""

    tag: str
    path: Path
    bundle: Path


def build_bento(
    bundle_folder: Path,
    use_case: str,
    version: str | int,
    labels: Mapping[str, str] | None = None,
    home: Home | None = None,
) -> BuiltBento:
    """Build `<use_case>:v<version>-<8 hex digits of the content's SHA-256>`, e.g. `fraud:v1-3fa91c02`.

    A tag stands for one content: the same again returns the bento that is there, other content gets a bento beside it.
    None is ever changed or removed, because a pointer may name it and a service may be reading it.
    Raises ArtifactError if the bundle is not whole or belongs to another use case or version.
    """
    manifest = verify_bundle(bundle_folder)
    if (manifest.use_case, manifest.version) != (use_case, str(version)):
        raise ArtifactError(
            f"{bundle_folder} holds {manifest.use_case} version {manifest.version}, not {use_case} version {version}; "
            "seal the bundle for the bento that is being built"
        )
    with _store(home or Home.current()) as store, tempfile.TemporaryDirectory(prefix="mlplatform-bento-") as folder:
        context = Path(folder)
        _fill(context, bundle_folder)
        content = _digest(context)
        tagged = f"v{version}-{content[:DIGITS_IN_TAG]}"
        # Two at once would both find none, and BentoML refuses the second.
        with FileLock(_lock_file(home or Home.current(), use_case)):
            found = _existing(store, f"{use_case}:{tagged}")
            bento = found or _build(context, use_case, tagged, {**(labels or {}), CONTENT_LABEL: content}, store)
        path = Path(bento.path)
        return BuiltBento(str(bento.tag), path, path / "src" / "bundle")


def _lock_file(home: Home, use_case: str) -> Path:
    home.locks.mkdir(parents=True, exist_ok=True)
    return home.locks / f"{use_case}-bento.lock"


def _build(context: Path, use_case: str, version: str, labels: dict[str, str], store: Any) -> Any:
    import bentoml

    return bentoml.build(
        f"{SERVICE_MODULE}:Scoring",
        name=use_case,
        version=version,
        labels=labels,
        description=f"Predictions for {use_case}. POST /predict; the page at / shows an example.",
        include=["mlplatform/**", "bundle/**"],
        build_ctx=str(context),
        _bento_store=store,
    )


def _existing(store: Any, tag: str) -> Any:
    from bentoml.exceptions import NotFound

    try:
        return store.get(tag)
    except NotFound:
        return None


def _fill(context: Path, bundle_folder: Path) -> None:
    """The build context: `bundle/`, the part of the platform's source that the service imports, and its page."""
    shutil.copytree(bundle_folder, context / "bundle")
    web = {path.relative_to(ROOT).as_posix(): path for path in web_files()}
    for name, source in {**source_closure(*ENTRIES), **web}.items():
        target = context / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _digest(context: Path) -> str:
    """SHA-256 over all paths and contents, cut to what a label can show."""
    whole = hashlib.sha256()
    for path in sorted(path for path in context.rglob("*") if path.is_file()):
        whole.update(path.relative_to(context).as_posix().encode() + b"\0")
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()[:16]


@contextmanager
def _store(home: Home) -> Iterator[Any]:
    """BentoML's store below this home. Its own default is fixed at first use, which one process cannot undo."""
    # Must be set before bentoml is imported: no usage reports, and no local paths among the requirements.
    os.environ.update({"BENTOML_DO_NOT_TRACK": "True", "BENTOML_NO_LOCAL_URL": "1"})
    from bentoml._internal.bento import BentoStore
    from bentoml._internal.configuration.containers import BentoMLContainer

    for folder in ("bentos", "models", "tmp"):
        (home.bentoml / folder).mkdir(parents=True, exist_ok=True)
    with (
        BentoMLContainer.bentoml_home.patch(str(home.bentoml)),
        BentoMLContainer.tmp_bento_store_dir.patch(str(home.bentoml / "tmp")),
    ):
        yield BentoStore(str(home.bentoml / "bentos"))
