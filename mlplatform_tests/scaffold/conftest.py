"""Tables as people have them, written as files."""

import random
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mlplatform.cli import main
from mlplatform.scaffold.make import planned
from mlplatform.scaffold.plan import Plan
from mlplatform.scaffold.wishes import Wishes

Row = Sequence[object]
Write = Callable[..., Path]
Table = list[list[object]]
Look = Callable[..., Plan]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is nobody's project, as the working folder."""
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLPLATFORM_PROJECT", raising=False)
    monkeypatch.setenv("MLPLATFORM_HOME", str(folder / ".mlplatform"))
    return folder


@pytest.fixture
def new(project: Path) -> Callable[..., Result]:
    """`mlplatform new shop --from ... ` in that folder; an exception that is no exit is a traceback, and raised."""

    def run(origin: object, *options: str, name: str = "shop", target: str = "wanted") -> Result:
        arguments = ["new", name, "--from", str(origin), "--target", target, *options]
        result = CliRunner().invoke(main, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def look(project: Path) -> Look:
    def run(table: Table, target: str = "wanted", **wishes: object) -> Plan:
        (project / "data.csv").write_text(as_text(table), encoding="utf-8")
        said = Wishes.model_validate({"target": target, **wishes})
        return planned("shop", "data.csv", None, said, datetime(2026, 7, 1))

    return run


def customers(rows: int = 300, seed: int = 7) -> list[list[object]]:
    """A header and rows: an id, an amount with gaps, a category, a date, a label that depends on them."""
    draw = random.Random(seed)
    table: list[list[object]] = [["customer_id", "visits", "spent", "channel", "since", "wanted"]]
    for number in range(1, rows + 1):
        visits, channel = draw.randint(0, 20), draw.choice(["shop", "web", "phone"])
        spent = "" if draw.random() < 0.1 else round(draw.gammavariate(2, 30), 2)
        since = f"20{draw.randint(10, 23)}-{draw.randint(1, 12):02d}-{draw.randint(1, 28):02d}"
        wanted = draw.random() < 0.1 + 0.03 * visits + (0.2 if channel == "web" else 0)
        table.append([1000 + number, visits, spent, channel, since, "yes" if wanted else "no"])
    return table


def as_text(table: Sequence[Row], delimiter: str = ",") -> str:
    def quoted(value: object) -> str:
        text = str(value)
        unsafe = any(mark in text for mark in (delimiter, '"', "\n"))
        return '"' + text.replace('"', '""') + '"' if unsafe else text

    return "\n".join(delimiter.join(map(quoted, row)) for row in table) + "\n"


def extended(name: str, value: Callable[[int, list[object]], object], rows: int = 400) -> Table:
    table = customers(rows)
    return [[name, *table[0]], *([value(i, row), *row] for i, row in enumerate(table[1:]))]


def kinds(plan: Plan) -> dict[str | None, str]:
    return {note.column: note.kind for note in plan.notes if note.left_out}
