"""`--entity`: whose row it is, where the time deals the rows and where some rows have none."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import Result

from mlplatform.contracts.check import check_rows
from mlplatform.contracts.load import load_contract
from mlplatform.errors import ScaffoldError
from mlplatform.ingest.open import open_table
from mlplatform.spec import load_declaration
from mlplatform_tests.scaffold.conftest import Look, Table, as_text, extended

New = Callable[..., Result]


def households(every: int, none: str = "") -> Table:
    """One row of so many belongs to nobody."""
    return extended("household", lambda i, row: none if i % every == 3 else f"h{i // 4}")


def notes(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.output


def test_where_the_time_deals_the_rows_the_entity_is_said_to_hold_none_together(project: Path, new: New) -> None:
    table = households(1000)
    table = [
        ["day", *table[0]],
        *([f"2023-{1 + i // 40:02d}-{1 + i % 28:02d}", *row] for i, row in enumerate(table[1:])),
    ]
    (project / "data.csv").write_text(as_text(table), encoding="utf-8")
    said = notes(new("data.csv", "--time", "day", "--entity", "household"))
    assert "household: the time deals the rows, so that rows of the same one learn and judge" in said
    spec = load_declaration("shop", project / "use_cases").spec
    assert spec.training.split.kind == "time"
    assert "household" not in spec.training.features
    written = {path.name: path.read_text() for path in (project / "use_cases" / "shop").rglob("*.*")}
    assert "s.household" in written["shop_features.sql"]
    assert "# Rows of one household learn and judge" in written["defs.yaml"]


@pytest.mark.parametrize("none", ["", "NA"])
def test_rows_that_are_nobodys_are_named_and_go_to_quarantine(none: str, project: Path, new: New) -> None:
    (project / "data.csv").write_text(as_text(households(40, none)), encoding="utf-8")
    assert "household: 10 of 400 rows have no household: to quarantine" in notes(
        new("data.csv", "--entity", "household")
    )
    declared = load_declaration("shop", project / "use_cases")
    spec = declared.spec
    contract = load_contract(declared.folder, spec.contract.module, "records")
    rows = open_table(spec.sources[0], declared.folder, contract.to_schema().columns).read_all()
    checked = check_rows(contract, rows, key=spec.sources[0].key)
    assert checked.bad_rows == 10
    assert checked.bad_rows / len(rows) <= spec.contract.max_bad_share
    assert checked.good["household"].null_count == 0


def test_many_rows_that_are_nobodys_are_refused(look: Look) -> None:
    with pytest.raises(ScaffoldError, match="--entity household: 40 of 400 rows have none"):
        look(households(10), entity="household")


def test_what_names_nobody_is_no_entity(look: Look) -> None:
    for value, said in (("yes", "yes or no"), ("2020-01-01", "a time"), ("", "empty in every row")):
        with pytest.raises(ScaffoldError, match=f"--entity odd: it is {said}"):
            look(extended("odd", lambda i, row, value=value: value), entity="odd")


def test_numbers_with_a_point_are_an_entity_of_their_type(project: Path, new: New) -> None:
    """As pandas writes whole numbers with gaps."""
    table = extended("account", lambda i, row: "" if i == 3 else f"{i // 4}.0")
    (project / "data.csv").write_text(as_text(table), encoding="utf-8")
    notes(new("data.csv", "--entity", "account"))
    declared = load_declaration("shop", project / "use_cases")
    contract = load_contract(declared.folder, declared.spec.contract.module, "features")
    assert pa.types.is_floating(pa.from_numpy_dtype(contract.to_schema().columns["account"].dtype.type))
