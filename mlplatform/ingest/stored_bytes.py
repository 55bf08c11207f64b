"""A file's bytes as they are stored, as a stream: what DuckDB does not check of a file is looked at here."""

import hashlib
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pyarrow as pa

from mlplatform.errors import SourceError
from mlplatform.ingest.secret import secret
from mlplatform.spec import FilesSource
from mlplatform.spec.remote import ObjectStore, WebServer
from mlplatform.spec.source import place_of

__all__ = ["content_mark", "stored_bytes"]

_SECONDS = 60
_NETWORK = (httpx.HTTPError, httpx.InvalidURL)

# At INFO it writes whole addresses, and a key may be among their parameters.
logging.getLogger("httpx").setLevel(logging.WARNING)


@contextmanager
def stored_bytes(name: str, spec: FilesSource | None = None) -> Iterator[io.IOBase | pa.NativeFile]:
    """The file of this path or address, to be read once, from its beginning.

    `spec` says how a file on another machine is reached. Raises SourceError when reading it breaks off.
    """
    place = place_of(name)
    if place == "local":
        with _of_disk(name) as file:
            yield file
        return
    assert spec is not None, "only a declared source has files on other machines"
    try:
        with _of_store(name, spec) if place == "s3" else _of_server(name, spec) as file:
            yield file
    except (*_NETWORK, OSError):
        raise SourceError(_broke_off(name, spec)) from None  # whose text may repeat a key


def content_mark(name: str, spec: FilesSource) -> str:
    """A text that changes with what a web server holds at this address: its ETag, or else a hash of all bytes."""
    try:
        with _client(spec) as client:
            answer = client.head(name)
    except _NETWORK:
        raise SourceError(_broke_off(name, spec)) from None
    tag: str | None = answer.headers.get("ETag") if answer.is_success else None
    if tag:
        return tag
    with stored_bytes(name, spec) as stored:
        return hashlib.file_digest(stored, "sha256").hexdigest()  # type: ignore[arg-type]


def _of_disk(name: str) -> io.BufferedReader:
    try:
        return Path(name).open("rb")
    except OSError as error:
        raise SourceError(f"{name} cannot be read: {error.strerror}.") from error


@contextmanager
def _of_server(name: str, spec: FilesSource) -> Iterator[io.IOBase]:
    with _client(spec) as client, client.stream("GET", name) as answer:
        if not answer.is_success:
            raise SourceError(f"source `{spec.name}`: {_bare(name)} cannot be read: status {answer.status_code}.")
        yield _Blocks(answer.iter_raw())


def _client(spec: FilesSource) -> httpx.Client:
    # As DuckDB asks: redirects are followed, and nothing is packed on the way.
    headers = {"Accept-Encoding": "identity"}
    if isinstance(spec.access, WebServer):
        headers |= {header: secret(spec.name, variable) for header, variable in spec.access.header_variables.items()}
        if spec.access.token_variable:
            headers["Authorization"] = f"Bearer {secret(spec.name, spec.access.token_variable)}"
    return httpx.Client(headers=headers, timeout=_SECONDS, follow_redirects=True)


def _of_store(name: str, spec: FilesSource) -> pa.NativeFile:
    # Loading Arrow's S3 takes 0.1 s, which only packed objects pay.
    from pyarrow.fs import S3FileSystem

    access = spec.access if isinstance(spec.access, ObjectStore) else ObjectStore(kind="s3")
    scheme, _, host = (access.endpoint or "https://").partition("://")
    login = {"access_key": access.key_variable, "secret_key": access.secret_variable}
    login |= {"session_token": access.session_variable}
    given = {option: secret(spec.name, variable) for option, variable in login.items() if variable}
    store = S3FileSystem(
        **given, anonymous=not given, region=access.region, scheme=scheme, endpoint_override=host or None
    )
    return store.open_input_stream(name.removeprefix("s3://"), compression=None)


class _Blocks(io.RawIOBase):
    """The blocks of an answer as a file."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, into: memoryview) -> int:  # type: ignore[override]
        while not self._left:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._left = memoryview(block)
        size = min(len(into), len(self._left))
        into[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def _bare(name: str) -> str:
    """Without the parameters of an address, among which may be a key."""
    return name.partition("?")[0] if place_of(name) == "http" else name


def _broke_off(name: str, spec: FilesSource) -> str:
    return (
        f"source `{spec.name}`: {_bare(name)} broke off, or its server failed, in the middle. Nothing of this batch "
        "was loaded; run it again."
    )
