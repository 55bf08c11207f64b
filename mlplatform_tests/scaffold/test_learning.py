"""Of a wide table only the rows that learn choose the columns, and they are those that the split will give to train."""

import random
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result

from mlplatform.contracts.load import load_contract
from mlplatform.ingest.open import open_table
from mlplatform.ml.splits import cut_parts
from mlplatform.scaffold import learning, usable
from mlplatform.scaffold.choose import choose
from mlplatform.scaffold.learning import LEARNING
from mlplatform.scaffold.look import look as looked_at
from mlplatform.scaffold.open_rows import opened_rows
from mlplatform.scaffold.origin import parse_origin
from mlplatform.scaffold.wishes import Wishes
from mlplatform.spec import load_declaration
from mlplatform_tests.scaffold.conftest import Look, Table, as_text

ROWS = 500
NOW = datetime(2026, 7, 1)
WAYS: dict[str, dict[str, str]] = {
    "by a whole number": {"entity": "number"},
    "by a text": {"entity": "code"},
    "by a key with blanks around it": {"entity": "padded"},
    "by a group": {"entity": "household"},
    "by a time": {"time": "day"},
    "by their content": {},
}
NAMES = ("number", "code", "padded", "household", "day")


def wide(way: str) -> Table:
    """Five columns of noise, and the one by which rows are dealt."""
    draw = random.Random(3)
    keys = [
        [1000 + i, f"K{i}", f" P{i}", f"h{i // 3}", f"2023-{1 + i // 45:02d}-{1 + i % 28:02d}"] for i in range(ROWS)
    ]
    used = [at for at, name in enumerate(NAMES) if name in WAYS[way].values()]
    table: Table = [[*(NAMES[at] for at in used), *(f"c{i}" for i in range(5)), "wanted"]]
    table += [[*(key[at] for at in used), *(draw.random() for _ in range(5)), draw.randint(0, 1)] for key in keys]
    return table


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usable, "MOST_FEATURES", 2)
    monkeypatch.setattr(learning, "_NUMBERING", 2)


def marked(path: str, **wishes: str) -> list[bool]:
    """Of each row, whether it was taken for one that learns."""
    origin = parse_origin(path, None, "shop")
    with opened_rows(origin) as con:
        said = Wishes.model_validate({"target": "wanted", **wishes})
        choose(con, looked_at(con), "shop", origin, said, NOW)
        return [learns for (learns,) in con.execute(f"FROM {LEARNING}").fetchall()]


def _midnight_behind(times: pd.Series) -> pd.Timestamp:
    return pd.Timestamp(times.max()).normalize() + pd.Timedelta(days=1)


@pytest.mark.parametrize("way", WAYS)
def test_the_rows_that_choose_are_those_of_the_train_part(way: str, project: Path, new: Callable[..., Result]) -> None:
    (project / "data.csv").write_text(as_text(wide(way)), encoding="utf-8")
    options = [part for option, name in WAYS[way].items() for part in (f"--{option}", name)]
    result = new("data.csv", *options)
    assert result.exit_code == 0, result.output
    spec, folder = (declared := load_declaration("shop", project / "use_cases")).spec, declared.folder
    columns = load_contract(folder, spec.contract.module, "records").to_schema().columns
    read = open_table(spec.sources[0], folder, columns).read_all().to_pandas()
    for name in ("household", "day"):
        read[name] = read[name].str.strip() if name in read else ""
    read["number"] = read["number"].astype(int) if "number" in read else 0
    read["event_time"] = pd.to_datetime(read["day"]).astype("datetime64[us]") if way == "by a time" else NOW
    parts = cut_parts(read, spec.training.split, "event_time", _midnight_behind(read["event_time"]))
    wanted = dict(zip(read["c0"].astype(float), parts.train, strict=True))
    given = [float(str(row[-6])) for row in wide(way)[1:]]
    assert marked("data.csv", **WAYS[way]) == [wanted[value] for value in given]
    assert 0.4 < sum(parts.train) / ROWS < 0.75


def test_a_column_that_tells_only_the_rows_that_judge_is_not_chosen(
    project: Path, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = wide("by a whole number")
    (project / "data.csv").write_text(as_text(table), encoding="utf-8")
    learners = marked("data.csv", entity="number")
    monkeypatch.setattr(usable, "MOST_FEATURES", 1)
    draw = random.Random(5)
    for row, learns in zip(table[1:], learners, strict=True):
        label = row[-1]
        row[1] = label if learns and draw.random() < 0.85 else draw.randint(0, 1)
        row[2] = draw.randint(0, 1) if learns else label
        row[3] = label if not learns or draw.random() < 0.7 else 1 - int(str(label))
    assert [feature.name for feature in look(table, entity="number").features] == ["c0"]


def test_columns_that_were_chosen_do_not_number_the_rows(project: Path, new: Callable[..., Result]) -> None:
    """Else nobody could tell, before they are chosen, which rows learn."""
    (project / "data.csv").write_text(as_text(wide("by their content")), encoding="utf-8")
    result = new("data.csv")
    assert "Only rows that learn were asked" in result.output
    declared = load_declaration("shop", project / "use_cases")
    columns = load_contract(declared.folder, declared.spec.contract.module, "records").to_schema().columns
    numbering = declared.spec.sources[0].row_id
    assert numbering is not None
    assert len({*columns} - {*numbering.without, "row_key"}) == 2
