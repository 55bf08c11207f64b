"""Folders that nobody but their owner may look into: what lies in them need not be guarded one by one."""

from contextlib import suppress
from pathlib import Path

__all__ = ["SECRETS", "make_private"]

SECRETS = "secrets"
"""The folder of the home that is private as a whole."""
_OWNER_ONLY = 0o700


def make_private(folder: Path) -> None:
    """Make a folder, for its owner only, and SECRETS above it as well; what else is missing above, as usual."""
    private = [folder, *(each for each in folder.parents[:1] if each.name == SECRETS)]
    for each in reversed(private):
        each.parent.mkdir(parents=True, exist_ok=True)
        each.mkdir(mode=_OWNER_ONLY, exist_ok=True)
    for each in private:
        if each.name == SECRETS and each.stat().st_mode & 0o077:
            # Made for everybody to look into by an earlier version. Files are private themselves, so that a home that
            # is somebody else's, or mounted to be read only, is no reason to stop.
            with suppress(OSError):
                each.chmod(_OWNER_ONLY)
