"""The bundle that lies in the same bento as this file, and the bento's tag."""

import re
from pathlib import Path

from mlplatform.errors import ArtifactError

__all__ = ["BUNDLE", "bundle_of", "own_tag"]

BUNDLE = Path(__file__).resolve().parents[2] / "bundle"
"""Where the bundle lies in a bento: beside the package."""
DESCRIPTION = "bento.yaml"
# Of what BentoML writes, two words at the left margin are needed; a YAML parser would be one more package.
_WORD = re.compile(r"^(name|version): ([A-Za-z0-9._-]+)$", re.MULTILINE)


def bundle_of(bento: Path) -> Path:
    """The bundle of a bento's folder. Raises ArtifactError if it holds none."""
    bundle = bento.resolve() / "src" / "bundle"
    if not bundle.is_dir():
        raise ArtifactError(f"{bento}: no folder of a bento, which holds {DESCRIPTION} and src/bundle")
    return bundle


def own_tag(bundle: Path = BUNDLE) -> str:
    """The tag of the bento that holds a bundle, from the bento.yaml that BentoML wrote at its root.

    Raises ArtifactError if this is not the copy of a bento.
    """
    path = bundle.parents[1] / DESCRIPTION
    try:
        written = dict(_WORD.findall(path.read_text(encoding="utf-8")))
        return f"{written['name']}:{written['version']}"
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{path}: not the description of a bento ({error}); serve one by its tag") from error
