"""Which column becomes the key of a row, and which numbers are names."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result

from mlplatform.ingest.open import open_table
from mlplatform.spec import load_declaration
from mlplatform_tests.scaffold.conftest import Look, Table, as_text, customers, extended, kinds

New = Callable[..., Result]


def without_id(name: str, value: Callable[[int], object]) -> Table:
    return [[name if i == 0 else value(i), *row[1:]] for i, row in enumerate(customers(400))]


@pytest.mark.parametrize("digits", [20, 21])
@pytest.mark.parametrize("options", [[], ["--entity", "number"]])
def test_whole_numbers_that_no_integer_holds_are_texts_and_name_rows(
    digits: int, options: list[str], project: Path, new: New
) -> None:
    table = without_id("number", lambda i: 10 ** (digits - 1) + i)
    (project / "data.csv").write_text(as_text(table), encoding="utf-8")
    result = new("data.csv", *options)
    assert result.exit_code == 0, result.output
    assert "number: every row has one of its own" in result.output
    declared = load_declaration("shop", project / "use_cases")
    assert declared.spec.entity_keys == ["number"]
    assert "number: str = " in (declared.folder / "contract.py").read_text()
    assert len(set(open_table(declared.spec.sources[0], declared.folder).read_all()["number"].to_pylist())) == 400


def test_unsigned_numbers_of_a_parquet_file_name_rows(project: Path, new: New) -> None:
    header, *rows = customers(400)
    columns = dict(zip(map(str, header), map(list, zip(*rows, strict=True)), strict=True))
    del columns["spent"]
    columns["customer_id"] = pa.array([2**63 - 200 + i for i in range(400)], pa.uint64())
    pq.write_table(pa.table(columns), project / "data.parquet")
    assert "customer_id: every row has one of its own" in new("data.parquet", "--look").output


def test_an_amount_with_a_huge_number_in_it_stays_one(look: Look) -> None:
    plan = look(extended("odd", lambda i, row: 10**20 if i == 7 else i % 90))
    assert {feature.name: feature.kind for feature in plan.features}["odd"] == "number"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (lambda i: f"they came {i} times", "identifier"),
        (lambda i: f'{{"visits":{i}}}', "unread"),
        (lambda i: f"[{i},{i % 7}]", "unread"),
        (lambda i: f"{1 + i % 28:02d}.{1 + i // 28 % 12:02d}.{1990 + i // 336}", "unread"),
    ],
    ids=["free text", "JSON", "a list", "a foreign date"],
)
def test_a_text_that_is_no_name_is_no_key(value: Callable[[int], object], why: str, look: Look) -> None:
    plan = look(without_id("said", value))
    assert plan.key is None
    assert kinds(plan)["said"] == why


def test_a_text_of_several_words_is_a_key_where_it_is_called_so(look: Look) -> None:
    plan = look(without_id("rownames", lambda i: f"Doe, Miss. Jane {i}"))
    assert plan.key is not None
    assert plan.key.name == "rownames"


@pytest.mark.parametrize(
    ("name", "is_key"), [("paid", False), ("customerId", True), ("order nr", True), ("BID", False)]
)
def test_a_whole_number_with_gaps_between_is_a_key_where_it_is_called_so(name: str, is_key: bool, look: Look) -> None:
    plan = look(without_id(name, lambda i: 1000 + 37 * i))
    assert (plan.key is not None) == is_key
