"""`mlplatform doctor`: is everything in place, and what to do where it is not."""

import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import click

from mlplatform.cli.setup import use_home
from mlplatform.cli.watch import DAEMON_SILENCE
from mlplatform.errors import PlatformError
from mlplatform.home import Home
from mlplatform.spec import Watchdog, declared_use_cases, load_declaration
from mlplatform.watchdog.checks import check_disk

__all__ = ["Finding", "examine", "findings"]

PACKAGES = ("dagster", "duckdb", "dbt-core", "dbt-duckdb", "pandera", "lightgbm", "mlflow", "evidently", "bentoml")
PORTS = {3000: "Dagster", 3001: "MLflow", 3002: "reports", 3003: "the first service"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    good: bool
    detail: str


def examine() -> bool:
    """Print every finding; True when all are good."""
    home = Home.current()
    use_home(home)
    found = list(findings(home))
    for finding in found:
        mark = click.style("✓", fg="green") if finding.good else click.style("✗", fg="red")
        click.echo(f"{mark} {finding.what:<24} {finding.detail}")
    return all(finding.good for finding in found)


def findings(home: Home) -> Iterator[Finding]:
    """Look at Python, packages, disk, home, lake, ports, and what the watchdog looks at."""
    yield Finding(
        "python", sys.version_info[:2] in ((3, 11), (3, 12)), f"{sys.version.split()[0]} (tested: 3.11, 3.12)"
    )
    yield from (_package(name) for name in PACKAGES)
    yield _disk(home)
    yield _tried("home", lambda: _home(home))
    yield _tried("duckdb extensions", _extensions)
    yield _tried("lake", lambda: _lake(home))
    yield from (_port(port, who) for port, who in PORTS.items())
    if (home.dagster / "dagster.yaml").exists():
        yield from _watched(home)


def _package(name: str) -> Finding:
    try:
        return Finding(name, good=True, detail=version(name))
    except PackageNotFoundError:
        return Finding(name, good=False, detail="not installed; run `make setup`")


def _disk(home: Home) -> Finding:
    limits = [load_declaration(name).spec.watchdog for name in declared_use_cases()]
    found = list(check_disk(home, max(limits, key=lambda each: each.min_free_gib, default=Watchdog())))
    if found:
        return Finding("disk", good=False, detail=f"{found[0].title}; {found[0].advice}")
    place = next(p for p in (home.root, *home.root.parents) if p.exists())
    return Finding("disk", good=True, detail=f"{shutil.disk_usage(place).free / 2**30:.1f} GiB free at {place}")


def _watched(home: Home) -> Iterator[Finding]:
    """The watchdog's checks, of every use case; sensors only while a daemon runs."""
    import dagster as dg

    from mlplatform.resources.sensor_states import daemon_silence
    from mlplatform.stages.alerting import wall_clock
    from mlplatform.stages.watchdog import look

    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        silence = daemon_silence(instance)
        ticking = silence is not None and silence < DAEMON_SILENCE
        yield Finding("daemon", good=True, detail="running" if ticking else "not running; `mlplatform up` starts it")
        for name in declared_use_cases():
            found = [
                each for each in look(load_declaration(name), instance, wall_clock(), ticking) if each.subject != "disk"
            ]
            for each in found:
                yield Finding(f"watch {name}", good=False, detail=f"{each.title}; {each.advice}")
            if not found:
                yield Finding(f"watch {name}", good=True, detail="sensors, sources, journal and services are well")


def _home(home: Home) -> str:
    if not (home.dagster / "dagster.yaml").exists():
        raise PlatformError(f"{home.root} is not prepared; run `mlplatform setup`")
    return str(home.root)


def _extensions() -> str:
    from mlplatform.lake.extensions import EXTENSIONS, POSTGRES, extension_file

    return ", ".join(extension_file(name).name for name in (*EXTENSIONS, POSTGRES))


def _lake(home: Home) -> str:
    from mlplatform.lake.lake import Lake

    return f"snapshot {Lake.at(home).snapshot()} at {home.lake_catalog}"


def _tried(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, good=True, detail=look())
    except PlatformError as error:
        return Finding(what, good=False, detail=str(error))


def _port(port: int, who: str) -> Finding:
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", port)) == 0
    # A taken port is no fault: it may be our own process.
    return Finding(f"port {port}", good=True, detail=f"{'in use' if taken else 'free'} ({who})")
