"""Every test has a home of its own; nothing is written to the checkout."""

import os
import shutil
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlplatform.cli.setup import prepare_home
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform_tests.databases import (
    MariaDbServer,
    PostgresServer,
    UserDatabase,
    mariadb_program,
    mariadb_server,
    postgres_programs,
    postgres_server,
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Where CI has installed the servers (`.ci/run` says so), a test of a source that skips has failed."""
    report = yield
    sources = ("ingest/", "stages/test_sql_source", "stages/test_goes_on", "contracts/test_own_databases")
    demanded = "MLPLATFORM_TESTS_SKIP_NO_SOURCE" in os.environ and any(part in item.nodeid for part in sources)
    if report.skipped and demanded and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} may not skip here: {report.longrepr}"
    return report


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name, value in Home(tmp_path / "home").environment().items():
        monkeypatch.setenv(name, value)
    return Home.current()


@pytest.fixture(scope="session")
def dbt_manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dbt's manifest, parsed once for all tests: it says nothing of a home, and takes ten seconds."""
    from mlplatform.resources.dbt import manifest

    home = Home(tmp_path_factory.mktemp("dbt"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in home.environment().items():
            patch.setenv(name, value)
        return manifest(home)


@pytest.fixture
def prepared(home: Home, dbt_manifest: Path) -> Home:
    """A home as `mlplatform setup` leaves it."""
    prepare_home(home)
    target = home.dbt / "target"
    target.mkdir(parents=True)
    shutil.copyfile(dbt_manifest, target / "manifest.json")
    return home


@pytest.fixture
def lake(home: Home) -> Lake:
    lake = Lake.at(home)
    lake.create()
    return lake


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("no Postgres server is installed (Debian: apt-get install postgresql)")
    with postgres_server(programs) as server:
        yield server


@pytest.fixture(scope="session")
def mysql() -> Iterator[MariaDbServer]:
    program = mariadb_program()
    if program is None:
        pytest.skip("no MariaDB server is installed (Debian: apt-get install mariadb-server)")
    with mariadb_server(program) as server:
        yield server


@pytest.fixture
def user_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Callable[[str], UserDatabase]:
    """An empty database of one of the engines, declared as a user would."""

    def create(kind: str) -> UserDatabase:
        if kind in {"sqlite", "duckdb"}:
            path = str(tmp_path / f"shop.{kind}")
            return UserDatabase({"engine": kind, "path": path}, path)
        server: PostgresServer | MariaDbServer = request.getfixturevalue(kind)
        name = f"shop_{uuid.uuid4().hex[:8]}"
        UserDatabase({"engine": kind}, server.dsn()).run(f"CREATE DATABASE {name}")
        monkeypatch.setenv("SHOP_DATABASE", server.dsn(name))
        return UserDatabase({"engine": kind, "dsn_variable": "SHOP_DATABASE"}, server.dsn(name))

    return create
