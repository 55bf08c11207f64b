"""A table of a database of one's own, of each engine, becomes a declaration that reads the same rows."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import Result

from mlplatform.ingest.open import open_table
from mlplatform.spec import load_declaration
from mlplatform_tests.databases import PASSWORD, UserDatabase
from mlplatform_tests.scaffold.conftest import customers


@pytest.fixture
def rows() -> pa.Table:
    header, *table = customers()
    columns = list(zip(*table, strict=True))
    return pa.table(
        {
            **{str(name): pa.array(values) for name, values in zip(header, columns, strict=True) if name != "spent"},
            "spent": pa.array([None if value == "" else float(str(value)) for value in columns[2]]),
        }
    )


@pytest.mark.parametrize("kind", ["postgres", "sqlite", "duckdb"])
def test_a_table_of_a_database_is_looked_at_and_declared(
    kind: str, rows: pa.Table, project: Path, new: Callable[..., Result], user_database: Callable[[str], UserDatabase]
) -> None:
    database = user_database(kind)
    database.store("customers", rows)
    origin = "env:SHOP_DATABASE" if kind == "postgres" else database.place
    result = new(origin, "--table", "customers")
    assert result.exit_code == 0, result.output
    declared = load_declaration("shop", project / "use_cases")
    assert declared.spec.training.features[:2] == ["visits", "channel"]
    assert len(open_table(declared.spec.sources[0], declared.folder).read_all()) == len(rows)


def test_columns_that_postgres_alone_tells_apart_are_refused(
    project: Path, new: Callable[..., Result], user_database: Callable[[str], UserDatabase]
) -> None:
    database = user_database("postgres")
    database.run(
        'CREATE TABLE public.answers AS SELECT i, i % 2 AS "Target", i % 3 AS target FROM generate_series(1, 300) i'
    )
    result = new(database.place, "--table", "answers", target="target")
    assert result.exit_code == 1
    assert "more than one column of answers is called `target`: upper and lower case do not" in result.output
    assert "Binder" not in result.output


def test_an_address_that_was_typed_is_written_to_no_file(
    rows: pa.Table, project: Path, new: Callable[..., Result], user_database: Callable[[str], UserDatabase]
) -> None:
    database = user_database("postgres")
    database.store("customers", rows)
    result = new(database.place, "--table", "customers")
    assert result.exit_code == 0, result.output
    assert "export SHOP_DATABASE=" in result.output
    assert PASSWORD not in result.output
    written = [path.read_text() for path in (project / "use_cases").rglob("*") if path.is_file()]
    assert not any(PASSWORD in text for text in written)
