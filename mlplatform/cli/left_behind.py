"""The process that serves a use case, found without its starter: that one may have been killed."""

from itertools import pairwise
from pathlib import Path

__all__ = ["service_pid"]

_PROCESSES = Path("/proc")


def service_pid(name: str, port: int) -> int | None:
    """Of `bentoml serve <name>:... --port <port>`; None where there is none, or the system does not show it."""
    for file in _PROCESSES.glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            # Ended meanwhile, or somebody else's.
            continue
        if _serves(words, name, str(port)):
            return int(file.parent.name)
    return None


def _serves(words: list[str], name: str, port: str) -> bool:
    following = list(pairwise(words))
    asked = ("bentoml", "serve") in following and ("--port", port) in following
    return asked and any(word == "serve" and bento.startswith(f"{name}:") for word, bento in following)
