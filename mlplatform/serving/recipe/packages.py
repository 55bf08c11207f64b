"""Which packages a bundle needs to be served by the slim entry, pinned and hashed as this checkout pins them.

What a bundle holds says what is loaded: trees need LightGBM's library, graphs ONNX Runtime, rows by key Arrow. Whatever
only trains, orchestrates or plots is not among them.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

import mlplatform
from mlplatform.errors import ArtifactError
from mlplatform.serving.lookup import ROWS_FILE

__all__ = ["Pin", "closure", "image_requirements", "needed_packages", "read_pins"]

ALWAYS = ("httptools", "numpy", "orjson", "prometheus-client", "pydantic", "starlette", "uvicorn", "uvloop")
TOKENS = ("cryptography", "httpx", "pyjwt")
"""For MLPLATFORM_JWKS and MLPLATFORM_VERIFY_KEY: who sets them must not find out at the start that they lack."""
OF_KIND = {"lightgbm": ("lightgbm",), "logistic": ("onnxruntime",), "onnx": ("onnxruntime",)}
BY_KEY = ("pandas", "pyarrow")
EXTRAS = {
    "aws": ("awslambdaric", "mangum"),
    "score": (
        "duckdb",
        "duckdb-extension-ducklake",
        "duckdb-extension-sqlite-scanner",
        "filelock",
        "pandas",
        "pyarrow",
    ),
    "traces": ("opentelemetry-exporter-otlp-proto-http", "opentelemetry-sdk"),
}
"""What an image may hold beside: a function of AWS Lambda, POST /score on a mounted lake, OpenTelemetry."""
WITHOUT_DEPENDENCIES = frozenset({"lightgbm"})
"""Its C library alone is used (`ml/native_booster.py`), not its package, which needs SciPy: 110 MB."""
_PACKAGE = Path(mlplatform.__file__).parent
_PLACES = (_PACKAGE / "_requirements" / "base.txt", _PACKAGE.parent / "requirements" / "base.txt")
_LINE = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?: *; *(?P<marker>[^\\]+?))?(?: *\\)?$")
# An image is Linux, whatever builds it.
_HERE = {name: str(value) for name, value in default_environment().items()}
_LINUX = {**_HERE, "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "extra": ""}


@dataclass(frozen=True)
class Pin:
    """One package at one version, with the hashes of its files."""

    name: str
    version: str
    hashes: tuple[str, ...]

    def __str__(self) -> str:
        return " \\\n    ".join([f"{self.name}=={self.version}", *(f"--hash={each}" for each in self.hashes)])


def image_requirements(bundle: Path, extras: Iterable[str] = ()) -> str:
    """A requirements.txt for `pip install --require-hashes --no-deps`, one package each, sorted.

    Raises ArtifactError where a package is not pinned here, or the bundle cannot be read.
    """
    pins = read_pins()
    names = closure([*needed_packages(bundle), *(name for extra in extras for name in EXTRAS[extra])])
    if missing := sorted(set(names) - set(pins)):
        raise ArtifactError(f"{', '.join(missing)} are not pinned in requirements/base.txt; run `make requirements`")
    return "".join(f"{pins[name]}\n" for name in names)


def needed_packages(bundle: Path) -> list[str]:
    """The packages that answering from this bundle imports itself."""
    kinds = {kind for path in bundle.rglob("model.json") for kind in _kinds(_read(path))}
    found = {*ALWAYS, *TOKENS, *(name for kind in kinds for name in OF_KIND.get(kind, ()))}
    return sorted(found | set(BY_KEY if (bundle / ROWS_FILE).exists() else ()))


def closure(roots: Iterable[str]) -> list[str]:
    """The roots and all that they require on Linux with this Python, by canonical name, sorted.

    Raises ArtifactError where one is not installed here: its requirements are not known then.
    """
    pending, found = [canonicalize_name(root) for root in roots], set[NormalizedName]()
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += () if name in WITHOUT_DEPENDENCIES else _required(name)
    return sorted(found)


def read_pins(path: Path | None = None) -> dict[str, Pin]:
    """Canonical name -> the pin of Linux and this Python. Raises ArtifactError if the file is not there."""
    path = path or next((place for place in _PLACES if place.is_file()), None)
    if path is None:
        raise ArtifactError(f"none of {', '.join(map(str, _PLACES))} is there; the pins of the image come from it")
    pins: dict[str, Pin] = {}
    name, version, hashes = "", "", list[str]()
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("    --hash="):
            hashes.append(line.strip().removeprefix("--hash=").removesuffix("\\").strip())
            if name:
                pins[name] = Pin(name, version, tuple(hashes))
        elif found := _LINE.match(line):
            wanted = found["marker"] is None or Marker(found["marker"].strip()).evaluate(_LINUX)
            name, version, hashes = (canonicalize_name(found["name"]) if wanted else ""), found["version"], []
    return pins


def _required(name: str) -> Iterator[NormalizedName]:
    try:
        listed = requires(name) or []
    except PackageNotFoundError:
        raise ArtifactError(
            f"{name} is not installed here, so nobody knows what it requires; run `make setup`"
        ) from None
    for text in listed:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(_LINUX):
            yield canonicalize_name(requirement.name)


def _kinds(stored: Any) -> Iterator[str]:
    """Of a model's description and of those inside of it."""
    if isinstance(stored, Mapping):
        if isinstance(stored.get("kind"), str):
            yield stored["kind"]
        for value in stored.values():
            yield from _kinds(value)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"cannot read {path}: {error}; build the bento again") from error
