"""The key of the hashes that the journal keeps instead of values."""

import os
import secrets

from mlplatform.home import Home
from mlplatform.serving.private_folder import make_private

__all__ = ["journal_key"]


def journal_key(home: Home) -> str:
    """The key of the hashes in the journal: MLPLATFORM_JOURNAL_KEY, else one made at the first call, kept in the home.

    Whoever has it can try values against the hashes: only this user can read the file.
    """
    if given := os.environ.get("MLPLATFORM_JOURNAL_KEY"):
        return given
    path = home.journal_key
    make_private(path.parent)
    if not path.exists():
        made = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
        try:
            # Two may come first at once: one key wins, whole.
            os.link(made, path)
        except FileExistsError:
            pass
        finally:
            made.unlink()
    return path.read_text(encoding="ascii").strip()
