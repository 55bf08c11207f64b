"""The challenger: a file beside the pointer that says which other bundle a service tries, and on which requests."""

import json
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal, cast, get_args

from mlplatform.errors import ArtifactError
from mlplatform.serving.pointer import write_document

__all__ = ["Challenger", "Mode", "challenger_file", "read_challenger", "share_taken", "write_challenger"]

Mode = Literal["shadow", "canary"]
_WHOLE = 2**64


@dataclass(frozen=True)
class Challenger:
    """Which bundle is tried. `path`: folder of the bundle; `bento`: its tag; `since`: ISO 8601, for people."""

    use_case: str
    bento: str
    version: str
    path: str
    mode: Mode
    """`shadow`: scores what the champion has answered; `canary`: answers a share of the entities itself."""
    share: float
    """Of the entities that a canary answers, 0..1; a shadow scores everything."""
    since: str

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise ArtifactError(f"a challenger runs as {' or '.join(get_args(Mode))}, not {self.mode!r}")
        if not 0 <= self.share <= 1:
            raise ArtifactError(f"a challenger's share lies between 0 and 1, not at {self.share}")

    @property
    def salt(self) -> bytes:
        """Another version meets other entities; the same one keeps its entities when its share grows."""
        return blake2b(f"{self.use_case}:{self.version}".encode(), digest_size=16).digest()

    def takes(self, entity: str) -> bool:
        """Whether an entity is among the share: always the same answer for the same entity, version and share."""
        return share_taken(entity, self.salt, self.share)


def share_taken(entity: str, salt: bytes, share: float) -> bool:
    """Whether the keyed hash of an entity, taken as a number in 0..1, lies below `share`.

    So who is in a share is in every larger one.
    """
    hashed = blake2b(entity.encode(errors="surrogatepass"), digest_size=8, key=salt).digest()
    return int.from_bytes(hashed) < share * _WHOLE


def challenger_file(pointer_file: Path) -> Path:
    """Beside the pointer of the use case."""
    return pointer_file.with_suffix(".challenger.json")


def write_challenger(file: Path, challenger: Challenger) -> None:
    """Replace the file in one step; removing it ends the challenge."""
    write_document(file, asdict(challenger))


def read_challenger(file: Path) -> Challenger:
    """Raises ArtifactError if the file is missing or names no challenger."""
    try:
        told = json.loads(file.read_bytes())
        texts = {name: str(told[name]) for name in Challenger.__dataclass_fields__ if name not in ("mode", "share")}
        return Challenger(**texts, mode=cast("Mode", told["mode"]), share=float(told["share"]))
    except FileNotFoundError:
        raise ArtifactError(f"{file}: there is no challenger") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{file}: names no challenger ({error}); start the challenge again") from error
