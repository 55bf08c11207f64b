"""Where files are: which there are, and a DuckDB that can read them."""

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TypeAlias
from urllib.parse import urlsplit

import duckdb

from mlplatform.errors import SourceError
from mlplatform.ingest.dialect import text_sql
from mlplatform.ingest.remote_errors import remote_errors
from mlplatform.ingest.secret import secret
from mlplatform.ingest.stored_bytes import content_mark
from mlplatform.lake.engine import engine
from mlplatform.lake.extensions import HTTPFS
from mlplatform.spec import FilesSource
from mlplatform.spec.remote import ObjectStore, WebServer
from mlplatform.spec.source import place_of

__all__ = ["File", "found_files", "local_file", "opened"]


_UNDATED = datetime(1971, 1, 1)
"""What DuckDB gives for a time that a server does not tell lies before."""

_Described: TypeAlias = tuple[str, int, datetime | None, datetime]
"""Name, size in bytes, when it was changed and the present moment (UTC)."""

_PACKED = {".gz": "gzip", ".zst": "zstd"}


@dataclass(frozen=True)
class File:
    """A file as it is now."""

    name: str
    """Its path or address, as DuckDB reads it."""
    size: int
    changed: datetime
    """When it was last written (UTC, no zone); of a web server that does not say, when it was looked at."""
    mark: str | None = None
    """Where who keeps the file does not tell `changed`: what tells one content from another."""

    @property
    def state(self) -> str:
        """Changes with the content."""
        return f"{self.size} {self.mark or self.changed.isoformat()}"

    @property
    def suffix(self) -> str:
        """Its ending without that of a compression, in lower case."""
        return (PurePosixPath(self._path.stem) if self.packed else self._path).suffix.lower()

    @property
    def packed(self) -> str | None:
        """`gzip` or `zstd`, by its ending; None: neither."""
        return _PACKED.get(self._path.suffix.lower())

    @property
    def literal(self) -> str:
        """Its name for DuckDB, in which nothing stands for other names; in those `opened` elsewhere nothing does."""
        return glob.escape(self.name) if place_of(self.name) == "local" else self.name

    @property
    def _path(self) -> PurePosixPath:
        # Behind a `?` an address has parameters; the name of an object has not.
        return PurePosixPath(urlsplit(self.name).path if place_of(self.name) == "http" else self.name)


def found_files(spec: FilesSource) -> list[File]:
    """The files that the source's paths match, by name.

    Raises SourceError when there is none, or their server does not answer or refuses.
    """
    if place_of(spec.paths[0]) == "local":
        files = _local(spec.paths)
        where = f" (looked in {Path.cwd()})"
    else:
        files, where = _remote(spec), ""
    if not files:
        raise SourceError(f"source `{spec.name}`: no file matches {', '.join(spec.paths)}{where}. Correct `path`.")
    return files


@contextmanager
def opened(spec: FilesSource) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB that reads the source's files, with its secrets while it is open."""
    if place_of(spec.paths[0]) == "local":
        with duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"}) as con:
            yield con
        return
    with engine((HTTPFS,)) as con, remote_errors(spec, [secret(spec.name, v) for v in _variables(spec)]):
        made = _secret_sql(spec)
        if made:
            con.execute(f"CREATE OR REPLACE SECRET source ({made})")
        # A `?` or `[` in the key of an object is a part of it, and stands for nothing.
        con.execute("SET s3_url_compatibility_mode = true")
        yield con
        # The instance is used again by others; after an error it is not.
        con.execute("DROP SECRET IF EXISTS source")


def _local(paths: list[str]) -> list[File]:
    found = (path for one in paths for path in glob.glob(str(Path(one).expanduser()), recursive=True))  # noqa: PTH207 (Path.glob refuses absolute patterns)
    files = sorted({Path(path).resolve() for path in found if Path(path).is_file()})
    return [local_file(path) for path in files]


def local_file(path: Path) -> File:
    """A file of this machine as it is now."""
    state = path.stat()
    return File(str(path), state.st_size, datetime.fromtimestamp(state.st_mtime_ns / 1e9, UTC).replace(tzinfo=None))


def _remote(spec: FilesSource) -> list[File]:
    with opened(spec) as con:
        found = _listed(con, spec) if place_of(spec.paths[0]) == "s3" else _described(con, spec.paths)
    return [
        File(name, size, changed)
        if changed and changed > _UNDATED
        else File(name, size, now, mark=content_mark(name, spec))
        for name, size, changed, now in found
    ]


def _listed(con: duckdb.DuckDBPyConnection, spec: FilesSource) -> list[_Described]:
    """The objects that the paths match, by name. A listing tells all of them, so that none is asked on its own."""
    paths = spec.paths
    for path in paths:
        if "?" in path and ("*" in path or "[" in path):
            raise SourceError(
                f"source `{spec.name}`: the `?` in {path} stands for no other character in object storage. Write `*` "
                "in its place."
            )
    con.execute("SET s3_url_compatibility_mode = false")
    names = [name for (name,) in con.execute("SELECT DISTINCT file FROM glob(?) ORDER BY file", [paths]).fetchall()]
    # DuckDB reads parameters behind a `?`, and leaves out the objects whose keys have one.
    if any("?" in name for name in names):
        con.execute("SET s3_url_compatibility_mode = true")
        return _described(con, names)
    return _described(con, paths) if names else []


def _described(con: duckdb.DuckDBPyConnection, paths: list[str]) -> list[_Described]:
    # Of each file only the headers are asked for: its content is not selected.
    query = (
        "SELECT DISTINCT filename, size, CAST(last_modified AS TIMESTAMP) AS changed, CAST(now() AS TIMESTAMP) AS now "
        f"FROM read_blob([{', '.join(map(text_sql, paths))}]) ORDER BY filename"
    )
    try:
        return con.execute(query).fetchall()
    except duckdb.IOException as error:
        if "No files found that match" not in str(error):
            raise
        return []


def _variables(spec: FilesSource) -> list[str]:
    access = spec.access
    if isinstance(access, ObjectStore):
        named = [access.key_variable, access.secret_variable, access.session_variable]
        return [name for name in named if name]
    if isinstance(access, WebServer):
        return [*([access.token_variable] if access.token_variable else []), *access.header_variables.values()]
    return []


def _secret_sql(spec: FilesSource) -> str | None:
    access = spec.access
    if isinstance(access, ObjectStore):
        return ", ".join(_of_object_store(spec.name, access))
    if isinstance(access, WebServer):
        return ", ".join(_of_web_server(spec.name, access))
    return None


def _of_object_store(source: str, access: ObjectStore) -> Iterator[str]:
    yield "TYPE s3"
    yield f"REGION {text_sql(access.region)}"
    named = {"KEY_ID": access.key_variable, "SECRET": access.secret_variable, "SESSION_TOKEN": access.session_variable}
    for option, name in named.items():
        if name:
            yield f"{option} {text_sql(secret(source, name))}"
    if access.endpoint:
        scheme, _, host = access.endpoint.partition("://")
        yield f"ENDPOINT {text_sql(host)}"
        yield f"USE_SSL {str(scheme == 'https').lower()}"
        yield "URL_STYLE 'path'"


def _of_web_server(source: str, access: WebServer) -> Iterator[str]:
    yield "TYPE http"
    if access.token_variable:
        yield f"BEARER_TOKEN {text_sql(secret(source, access.token_variable))}"
    headers = [f"{text_sql(h)}: {text_sql(secret(source, v))}" for h, v in access.header_variables.items()]
    if headers:
        yield f"EXTRA_HTTP_HEADERS MAP {{{', '.join(headers)}}}"
