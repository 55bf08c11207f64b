"""Databases of a user's own: a real Postgres server of the test's own, and files of SQLite and DuckDB."""

import getpass
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from mlplatform.ingest.dialect import DIALECTS, text_sql
from mlplatform.lake.engine import engine
from mlplatform_tests.processes import free_port, running

PASSWORD = "corr3ct-h0rse"
USER = "shop_reader"


@dataclass(frozen=True)
class UserDatabase:
    """A database that its owner writes to; `declared` is what stands in the YAML."""

    declared: dict[str, str]
    place: str
    """The path, or the connection string."""

    @property
    def kind(self) -> str:
        return self.declared["engine"]

    def store(self, name: str, rows: pa.Table) -> None:
        """Create a table of these rows."""
        with self._open() as con:
            con.register("given", rows)
            con.execute(f"CREATE TABLE shop.{name} AS FROM given")

    def insert(self, name: str, rows: pa.Table) -> None:
        with self._open() as con:
            con.register("given", rows)
            con.execute(f"INSERT INTO shop.{name} FROM given")

    def run(self, statement: str) -> None:
        """A statement in the database's own SQL."""
        with self._open() as con:
            if self.kind == "postgres":
                con.execute(f"CALL postgres_execute('shop', {text_sql(statement)}, use_transaction := false)")
            elif self.kind == "mysql":
                con.execute(f"CALL mysql_execute('shop', {text_sql(statement)})")
            else:
                con.execute("USE shop")
                con.execute(statement)

    @contextmanager
    def _open(self) -> Iterator[Any]:
        with engine(DIALECTS[self.kind].extensions) as con:
            con.execute(f"ATTACH {text_sql(self.place)} AS shop (TYPE {self.kind})")
            yield con


@dataclass(frozen=True)
class PostgresServer:
    """A running server: its port and its log, which holds every statement."""

    port: int
    log: Path

    def dsn(self, database: str = "postgres", user: str = USER, password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"


@dataclass(frozen=True)
class MariaDbServer:
    """A running server."""

    port: int

    def dsn(self, database: str = "mysql", user: str = USER, password: str = PASSWORD) -> str:
        return f"mysql://{user}:{password}@127.0.0.1:{self.port}/{database}"


def mariadb_program() -> str | None:
    """Where the server is, which is not on everybody's PATH."""
    return shutil.which("mariadbd", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


@contextmanager
def mariadb_server(program: str) -> Iterator[MariaDbServer]:
    """A server of its own on loopback, as the user that Postgres runs as, too."""
    folder = Path(tempfile.mkdtemp(prefix="mlplatform-mariadb-", dir="/tmp"))
    account = _account()
    shutil.chown(folder, account["user"])
    install = ["mariadb-install-db", "--no-defaults", f"--datadir={folder}/data", "--skip-test-db"]
    subprocess.run([*install, "--auth-root-authentication-method=normal"], check=True, capture_output=True, **account)
    first = folder / "first.sql"
    first.write_text(f"CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO {USER}@'%';")
    port, log = free_port(), folder / "log"
    command = [program, "--no-defaults", f"--datadir={folder}/data", f"--port={port}", "--bind-address=127.0.0.1"]
    command += [f"--socket={folder}/socket", f"--pid-file={folder}/pid", f"--init-file={first}"]
    command += ["--character-set-server=utf8mb4", "--innodb-flush-log-at-trx-commit=0"]
    try:
        with running(command, lambda: b"ready for connections" in log.read_bytes(), log, **account):
            yield MariaDbServer(port)
    finally:
        shutil.rmtree(folder)


def postgres_programs() -> Path | None:
    """Where Debian keeps the newest server's programs, which are not on the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@contextmanager
def postgres_server(programs: Path) -> Iterator[PostgresServer]:
    """A server of its own on loopback, as a user who is not root: as root it refuses to start."""
    # Not below pytest's folder: that is root's alone.
    folder = Path(tempfile.mkdtemp(prefix="mlplatform-postgres-", dir="/tmp"))
    account = _account()
    shutil.chown(folder, account["user"])
    secret = folder / "password"
    secret.write_text(PASSWORD)
    shutil.chown(secret, account["user"])
    port = free_port()
    made = [
        programs / "initdb",
        "-D",
        folder / "data",
        "-U",
        USER,
        "-A",
        "scram-sha-256",
        "--pwfile",
        secret,
        "-E",
        "UTF8",
    ]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL, **account)
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "log_statement": "all"}
    options = [part for name, value in (settings | {"fsync": "off"}).items() for part in ("-c", f"{name}={value}")]
    log = folder / "log"
    with log.open("wb") as written:
        started = [programs / "postgres", "-D", folder / "data", *options]
        server = subprocess.Popen(started, stdout=written, stderr=written, **account)
    try:
        _wait(server, port, log)
        yield PostgresServer(port, log)
    finally:
        server.send_signal(signal.SIGINT)  # Postgres' fast shutdown: it does not wait for clients
        server.wait(20)
        shutil.rmtree(folder)


def _account() -> dict[str, Any]:
    """How a subprocess becomes a user who may run Postgres."""
    if os.geteuid() != 0:
        return {"user": getpass.getuser(), "cwd": "/"}
    names = {entry.pw_name for entry in pwd.getpwall()}
    name = "postgres" if "postgres" in names else "nobody"
    return {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": [], "cwd": "/"}


def _wait(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and server.poll() is None:
        if b"ready to accept connections" in log.read_bytes():
            return
        time.sleep(0.05)
    raise RuntimeError(f"Postgres did not start:\n{log.read_text()}")
