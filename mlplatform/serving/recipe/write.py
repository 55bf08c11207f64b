"""Writes the folder that an image is built from: the sealed bento, its requirements, Containerfile and manifests."""

import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from mlplatform.errors import ArtifactError, PlatformError
from mlplatform.serving.bundle import verify_bundle
from mlplatform.serving.own_bundle import bundle_of, own_tag
from mlplatform.serving.recipe.packages import image_requirements

__all__ = ["CONCURRENCY", "TEMPLATES", "Recipe", "render", "write_recipe"]

TEMPLATES = Path(__file__).parent / "templates"
FILES = ("Containerfile", "cloudrun.yaml", "knative.yaml", "kubernetes.yaml")
LAMBDA_FILES = ("Containerfile.lambda",)
CONCURRENCY = 64
"""Requests that one container takes at once: what is in front of it and the service itself agree on it. A row takes
0.3 ms and one thread; more at once only wait inside instead of outside."""
_NAME = re.compile(r"[a-z0-9]([a-z0-9._/:@-]*[a-z0-9])?")


class _Filled(Template):
    # `$` and `{` are the Containerfile's own.
    delimiter = "@"


@dataclass(frozen=True)
class Recipe:
    """What was written."""

    folder: Path
    tag: str
    packages: int


def write_recipe(bento: Path, folder: Path, image: str | None = None, extras: Sequence[str] = ()) -> Recipe:
    """Write the build context of a bento (its folder in the store) into `folder`, which must not be there yet.

    `image`: its name in the registry, for the manifests.

    Raises ArtifactError if the bento is not whole or a package is not pinned, PlatformError if the folder is there.
    """
    if folder.exists():
        raise PlatformError(f"{folder} is there already; name a folder that is not, or remove it")
    bundle = bundle_of(bento)
    manifest, tag = verify_bundle(bundle), own_tag(bundle)
    image = image or f"registry.example/{tag}"
    if not _NAME.fullmatch(image):
        raise PlatformError(f"--image {image!r}: no name of an image, such as registry.example/fraud:v1")
    requirements = image_requirements(bundle, extras)
    files = {
        "requirements.txt": requirements,
        **{
            name: render(name, manifest.use_case, tag, image)
            for name in (*FILES, *(LAMBDA_FILES if "aws" in extras else ()))
        },
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside, and then in its place: what fails on the way leaves no half of a recipe, which would be refused next time.
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as beside:
        new = Path(beside) / "new"
        shutil.copytree(bento / "src", new / "app" / "src", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copyfile(bento / "bento.yaml", new / "app" / "bento.yaml")
        for name, text in files.items():
            (new / name).write_text(text, encoding="utf-8")
        new.rename(folder)
    return Recipe(folder, tag, requirements.count("=="))


def render(name: str, use_case: str, tag: str, image: str) -> str:
    """One file of the recipe."""
    facts: Mapping[str, str] = {
        "use_case": use_case,
        # A name of Kubernetes is one of DNS.
        "name": use_case.replace("_", "-"),
        "tag": tag,
        "image": image,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "concurrency": str(CONCURRENCY),
    }
    try:
        return _Filled((TEMPLATES / name).read_text(encoding="utf-8")).substitute(facts)
    except OSError as error:
        raise ArtifactError(f"{TEMPLATES / name}: {error}; install the platform again") from error
