"""Tables as people have them, written as files."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mlplatform.cli import main

Row = Sequence[object]
Write = Callable[..., Path]


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
