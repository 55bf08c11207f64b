"""What a web server or an object store refused, in words of the declaration. No secret is ever repeated."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import duckdb

from mlplatform.errors import SourceError
from mlplatform.spec import FilesSource

__all__ = ["remote_errors"]


@contextmanager
def remote_errors(spec: FilesSource, secrets: Sequence[str]) -> Iterator[None]:
    """Says how reaching the files failed as a SourceError; errors of their content are told elsewhere."""
    try:
        yield
    except duckdb.Error as error:  # of half a transfer there is no class of its own
        message = str(error)
        for secret in secrets:
            message = message.replace(secret, "...")
        for pattern, what in _PROBLEMS:
            if re.search(pattern, message):
                raise SourceError(f"source `{spec.name}`: {_place(message, spec)} {what}") from None
        if isinstance(error, duckdb.HTTPException) or "HTTP" in message:
            first = message.strip().splitlines()[0]
            raise SourceError(f"source `{spec.name}`: {_place(message, spec)} cannot be read: {first}") from None
        raise


def _place(message: str, spec: FilesSource) -> str:
    named = re.search(r"'(s3://[^']+|https?://[^'?]+)", message)
    return named[1] if named else spec.paths[0]


_PROBLEMS = (
    (
        r"Globs \(`\*`\) for generic HTTP",
        "holds a `*`, and a web server cannot list its files. Name each of them in `path`; a `*` of a name is %2A.",
    ),
    (
        # After a 401 or 403 DuckDB (1.5.5) asks once more, for two bytes, and then knows of a status 0 only.
        r"HTTP 40[13]|HTTP 0 |Forbidden|Unauthorized|AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch",
        "is refused to this key, if any. Correct the variables that `access` names, or what the key may read.",
    ),
    (r"HTTP 404|NoSuchBucket|NoSuchKey", "is not there. Correct `path`, or `endpoint` of `access`."),
    (
        r"[Cc]ould not (connect|resolve)|[Cc]onnection (refused|error)|timed? ?out|Timeout",
        "does not answer. Start the server, or correct the host; nothing was loaded.",
    ),
    (r"ETag", "was changed while it was read. Nothing of this batch was loaded; run it again."),
    (
        r"HTTP 5\d\d|Transferred a partial file|transfer closed|HTTP GET error",
        "broke off, or its server failed, in the middle. Nothing of this batch was loaded; run it again.",
    ),
)
