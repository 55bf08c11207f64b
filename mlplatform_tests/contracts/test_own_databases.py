"""Every source of every use case may lie in a user's own database: the contract gets the same rows from there."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from mlplatform.contracts.check import check_rows
from mlplatform.contracts.load import load_contract
from mlplatform.ingest.open import open_reader, open_table
from mlplatform.spec import Declaration, PythonSource, Source, SqlSource, declared_use_cases, load_declaration
from mlplatform_tests.databases import UserDatabase

SOURCES = [(name, source.name) for name in declared_use_cases() for source in load_declaration(name).spec.sources]
# Of the largest source there are 400,000 rows; some are enough to see that types and names arrive.
SOME = 3000


def rows_of(source: Source, uc: Declaration) -> pa.Table:
    if source.time_column is None:
        return open_table(source, uc.folder).read_all()
    reader = open_reader(source, uc.folder)
    days = reader.available()
    assert days is not None
    return reader.read(*days)


def some_rows(source: PythonSource, uc: Declaration) -> pa.Table:
    small = (
        {"params": source.params | {"days": 2, "customers": 400, "terminals": 800}} if uc.spec.name == "fraud" else {}
    )
    return rows_of(source.model_copy(update=small), uc).slice(0, SOME)


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
@pytest.mark.parametrize(("use_case", "name"), SOURCES, ids=[f"{use_case}-{name}" for use_case, name in SOURCES])
def test_a_use_case_takes_its_rows_from_a_database(
    user_database: Callable[[str], UserDatabase], use_case: str, name: str, engine: str
) -> None:
    uc = load_declaration(use_case)
    declared = next(source for source in uc.spec.sources if source.name == name)
    assert isinstance(declared, PythonSource)
    given = some_rows(declared, uc)
    database = user_database(engine)
    database.store(name, given)
    kept = declared.model_dump(exclude={"kind", "module", "params", "function", "rows_per_commit"})
    source = SqlSource.model_validate(kept | {"kind": "sql", "database": database.declared, "table": name})
    schema = load_contract(uc.folder, uc.spec.contract.module, name)
    good = [_good(schema, rows, source) for rows in (given, rows_of(source, uc))]
    assert good[1].equals(good[0])
    assert len(good[0]) == len(given)


def _good(schema: type[Any], rows: pa.Table, source: Source) -> pa.Table:
    checked = check_rows(schema, rows, key=source.key, time_column=source.time_column)
    return checked.good.sort_by([(column, "ascending") for column in source.key])


def test_the_days_of_a_database_are_those_of_its_rows(user_database: Callable[[str], UserDatabase]) -> None:
    uc = load_declaration("fraud")
    source = uc.spec.sources[0]
    assert isinstance(source, PythonSource)
    database = user_database("duckdb")
    database.store("transactions", some_rows(source, uc))
    kept = source.model_dump(exclude={"kind", "module", "params", "function", "rows_per_commit"})
    own = SqlSource.model_validate(kept | {"kind": "sql", "database": database.declared, "table": "transactions"})
    assert open_reader(own, uc.folder).available() == (date(2018, 4, 1), date(2018, 4, 3))
