"""How many values a JSON body holds, counted before any is made: a few MiB of brackets are a million objects, and
making them would hold up everybody else."""

__all__ = ["holds_more_values"]

_BEFORE_A_VALUE = (b",", b"[", b"{")
_QUOTES = 4
"""Of one field: two around its name, two around its value."""


def holds_more_values(body: bytes, most: int) -> bool:
    """Whether there may be more than `most` values: each but the outermost follows one of three signs.

    What stands in texts does not count, unless the body is no JSON.
    """
    if len(body) <= most or _signs(body) <= most:
        return False
    # Only now, since it copies the body: those signs may be the contents of long texts.
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    return bare.count(b'"') > _QUOTES * most or _signs(b"".join(bare.split(b'"')[::2])) > most


def _signs(body: bytes) -> int:
    return sum(body.count(sign) for sign in _BEFORE_A_VALUE)
