"""Whatever is given: a use case, or one sentence that says what is wrong and what to do. Never a traceback."""

import gzip
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import duckdb
import pytest
import yaml
from click.testing import Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlplatform.errors import PlatformError
from mlplatform.scaffold import open_rows
from mlplatform.scaffold.make import planned
from mlplatform.scaffold.origin import parse_origin
from mlplatform.scaffold.wishes import Wishes
from mlplatform.scaffold.write import texts
from mlplatform.spec import UseCase, load_declaration
from mlplatform_tests.scaffold.conftest import as_text, customers

New = Callable[..., Result]
GOOD = customers()


def text(rows: list[list[object]] = GOOD, delimiter: str = ",") -> bytes:
    return as_text(rows, delimiter).encode()


def with_column(name: str, value: Callable[[int], object]) -> list[list[object]]:
    return [[name, *GOOD[0]], *([value(i), *row] for i, row in enumerate(GOOD[1:]))]


REFUSED = {
    "no header": (text(GOOD[1:]), [], "has no header"),
    "an unknown delimiter": (text(delimiter="^"), [], "one column"),
    "not UTF-8": (
        as_text([*GOOD, [1, 2, 3, "cafés", "2020-01-01", "no"]]).encode("latin-1"),
        [],
        "line 302, is not UTF-8",
    ),
    "two encodings": (
        text() + "9,1,2,Köln,2020-01-01,no\n".encode() + b"9,1,2,K\xf6ln,2020-01-01,no\n",
        [],
        "line 303",
    ),
    "UTF-16": (as_text(GOOD).encode("utf-16"), [], "UTF-16"),
    "zero bytes": (text() + b"\0\0\0\n", [], "zero byte"),
    "an empty file": (b"", [], "empty"),
    "a header alone": (text(GOOD[:1]), [], "no rows"),
    "one row": (text(GOOD[:2]), [], "nothing to learn"),
    "few rows": (text(GOOD[:40]), [], "at least"),
    "a cut-off line": (text()[:-20], [], "number of fields"),
    "a lone quote": (text() + b'1,2,3,"web,2020-01-01,no\n', [], "quote"),
    "a column twice": (text([["visits", *GOOD[0]], *([1, *row] for row in GOOD[1:])]), [], "twice"),
    "a target that is not there": (text(), ["--target", "wantde"], "Did you mean 'wanted'?"),
    "a constant target": (text([GOOD[0], *([*row[:-1], "no"] for row in GOOD[1:])]), [], "in every row"),
    "an empty target": (text([GOOD[0], *([*row[:-1], ""] for row in GOOD[1:])]), [], "no value"),
    "an id as target": (text(), ["--target", "customer_id", "--task", "multiclass"], "too many for classes"),
    "texts as an amount": (text(), ["--task", "regression"], "is no number"),
    "a time that does not parse": (text(), ["--time", "channel"], "no times that can be read"),
    "a time of another country": (
        text(with_column("day", lambda i: f"{i % 28 + 1:02d}/{i % 12 + 1:02d}/2020")),
        ["--time", "day"],
        "dates written as %d/%m/%Y",
    ),
    "a time that does not parse in some rows": (
        text(with_column("day", lambda i: "2020-02-30" if i in (3, 9) else f"2020-01-{i % 28 + 1:02d}")),
        ["--time", "day"],
        "2 of 300 values are no times that can be read: '2020-02-30'",
    ),
    "a time that is to come": (
        text(with_column("due", lambda i: f"2999-01-{i % 28 + 1:02d}")),
        ["--time", "due"],
        "yet to come",
    ),
    "a time with gaps": (
        text(with_column("day", lambda i: "" if i % 10 == 0 else f"2020-01-{i % 28 + 1:02d}")),
        ["--time", "day"],
        "no readable time",
    ),
    "no header, of texts": (text([row[3:] for row in GOOD[1:]]), [], "has no header"),
    "no header, of numbers": (
        text([[row[0], row[1], row[2] or 1, i % 2] for i, row in enumerate(GOOD[1:])]),
        [],
        "header",
    ),
    "commas of thousands in the target": (
        text(with_column("sum", lambda i: f"{i % 90 + 1},{i % 10}00")),
        ["--target", "sum"],
        "looks like numbers with commas, e.g.",
    ),
    "a target with a sign": (
        text(with_column("sum", lambda i: f"{i} EUR €")),
        ["--target", "sum"],
        "too many for classes",
    ),
    "an amount with a sign": (
        text(with_column("sum", lambda i: f"{i}.50 €")),
        ["--target", "sum"],
        "looks like numbers with a sign beside them",
    ),
    "the target as a feature": (text(), ["--use", "wanted"], "--target and --use both name `wanted`"),
    "the target as entity": (text(), ["--entity", "WANTED"], "--target and --entity both name `wanted`"),
    "the target as time": (text(), ["--time", "wanted"], "--target and --time both name `wanted`"),
    "the time as entity": (text(), ["--time", "since", "--entity", "since"], "--time and --entity both name `since`"),
    "used and left out": (text(), ["--use", "visits", "--leave-out", "visits"], "--use and --leave-out both name"),
    "an unknown entity": (text(), ["--entity", "person"], "no such column"),
    "nothing but the target": (
        text([[row[-1]] for row in GOOD]),
        [],
        "no column is left to learn `wanted` from: the table has none beside `wanted`. Add columns",
    ),
    "nothing but the target and a key": (
        text([[row[0], row[-1]] for row in GOOD]),
        [],
        "the table has none beside `customer_id`, `wanted`",
    ),
    "a delay of labels without a time": (
        text(),
        ["--label-delay-days", "7"],
        "--label-delay-days 7 says how long after its time a row's label is known, and no --time says when that is",
    ),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_what_cannot_be_learned_from_is_refused_in_one_sentence(case: str, project: Path, new: New) -> None:
    content, options, said = REFUSED[case]
    (project / "data.csv").write_bytes(content)
    result = new("data.csv", *options)
    assert result.exit_code == 1
    assert said in result.output
    assert "Traceback" not in result.output
    assert not (project / "use_cases").exists()


def test_names_that_count_up_are_names(project: Path, new: New) -> None:
    """As an array has them that was written without any, or a table of years."""
    for names in (range(5), range(2019, 2024)):
        rows = [[*(float(i * j % 17) for j in range(1, 6)), row[-1]] for i, row in enumerate(GOOD[1:])]
        (project / "data.csv").write_bytes(text([[*names, "wanted"], *rows]))
        result = new("data.csv", "--look")
        assert result.exit_code == 0, result.output


def test_a_file_that_is_not_there_or_says_not_what_it_is_is_refused(project: Path, new: New) -> None:
    (project / "data.xlsx").write_bytes(b"PK")
    for origin, said in (
        ("nowhere.csv", "does not exist"),
        ("data.xlsx", "does not say what it is"),
        (".", "is a folder"),
    ):
        result = new(origin)
        assert result.exit_code == 1
        assert said in result.output


def test_a_damaged_parquet_file_and_a_damaged_gzip_file_are_refused(project: Path, new: New) -> None:
    (project / "data.parquet").write_bytes(b"PAR1 and no more")
    (project / "data.csv.gz").write_bytes(gzip.compress(text())[:-30])
    assert "not a whole Parquet file" in new("data.parquet").output
    assert "not a whole gzip file" in new("data.csv.gz").output


def test_a_database_needs_a_table(project: Path, new: New) -> None:
    result = new("postgresql://nobody@127.0.0.1:1/shop")
    assert result.exit_code == 1
    assert "--table" in result.output


def test_a_database_that_does_not_answer_is_named_without_its_password(project: Path, new: New) -> None:
    result = new("postgresql://nobody:hush-hush@127.0.0.1:1/shop", "--table", "customers")
    assert result.exit_code == 1
    assert "hush-hush" not in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("before", [None, "mine"])
def test_an_address_that_was_typed_is_forgotten_when_it_was_read(
    before: str | None, project: Path, new: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_DATABASE", before or "")
    if before is None:
        monkeypatch.delenv("SHOP_DATABASE")
    address = "postgresql://nobody:hush-hush@127.0.0.1:1/shop"
    assert new(address, "--table", "customers").exit_code == 1
    assert os.environ.get("SHOP_DATABASE") == before
    assert "hush-hush" not in repr(parse_origin(address, "customers", "shop"))


@pytest.mark.parametrize(
    "name", ["Shop", "1shop", "my shop", "raw_shop", "use_cases", "", "a" * 41, "shop;drop", "no", "order", "left"]
)
def test_a_name_that_no_use_case_can_have_is_refused(name: str, project: Path, new: New) -> None:
    (project / "data.csv").write_bytes(text())
    result = new("data.csv", name=name)
    assert result.exit_code == 1
    assert list(project.iterdir()) == [project / "data.csv"]


def test_nothing_is_ever_overwritten(project: Path, new: New) -> None:
    (project / "data.csv").write_bytes(text())
    assert new("data.csv").exit_code == 0
    declaration = project / "use_cases" / "shop" / "defs.yaml"
    declaration.write_text(declaration.read_text() + "# mine\n")
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    result = new("data.csv")
    assert result.exit_code == 1
    assert "there already" in result.output
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_names_of_sql_with_quotes_with_spaces_and_in_other_scripts_become_legal_ones(project: Path, new: New) -> None:
    names = [
        "customer id",
        "select",
        'the "spent" sum',
        "class",
        "größe",
        "数量",
        "Group By",
        "2nd",
        "a;b",
        "{{ x }}",
        "wanted?",
    ]
    draw = customers(400)
    rows = [
        [row[0], row[1], row[2] or 1, row[3], row[1], i % 7, row[3], i % 5, i % 3, i % 4, row[5]]
        for i, row in enumerate(draw[1:])
    ]
    (project / "data.csv").write_bytes(as_text([names, *rows]).encode())
    result = new("data.csv", target="wanted?")
    assert result.exit_code == 0, result.output
    spec = load_declaration("shop", project / "use_cases").spec
    assert "'select' is called select_" in result.output
    assert spec.sources[0].columns["select_"] == "select"  # type: ignore[union-attr]
    assert all(name.isidentifier() and name.isascii() for name in spec.training.features)


def test_columns_called_like_words_of_yaml_stay_names(project: Path, new: New) -> None:
    table = customers()
    table[0][1:5] = ["No", "yes", "ON", "null"]
    (project / "data.csv").write_bytes(text(table))
    result = new("data.csv")
    assert result.exit_code == 0, result.output
    assert load_declaration("shop", project / "use_cases").spec.training.features[:3] == ["no_", "yes_", "on_"]
    models = yaml.safe_load((project / "use_cases" / "shop" / "models" / "_shop.yml").read_text())["models"]
    assert all(isinstance(column["name"], str) for model in models for column in model["columns"])


@pytest.mark.slow
def test_ten_thousand_columns_become_the_two_hundred_that_tell_most(project: Path, new: New) -> None:
    rows = customers(200)
    wide = [f"c{i}" for i in range(10_000)]
    table = [
        [*rows[0], *wide],
        *([*row, *((hash((i, j)) % 97) for j in range(10_000))] for i, row in enumerate(rows[1:])),
    ]
    (project / "data.csv").write_bytes(as_text(table).encode())
    result = new("data.csv")
    assert result.exit_code == 0, result.output
    assert "columns could be features" in result.output
    assert 200 <= len(load_declaration("shop", project / "use_cases").spec.training.features) <= 210


def test_a_table_with_very_many_columns_and_rows_is_refused_with_its_size(
    project: Path, new: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [[f"c{i}" for i in range(1200)], *([i % 7] * 1200 for i in range(50))]
    (project / "data.csv").write_bytes(text(rows))
    (project / "data.csv.gz").write_bytes(gzip.compress(text(rows)))
    duckdb.sql("COPY (FROM 'data.csv') TO 'data.parquet'")
    monkeypatch.setattr(open_rows, "_MOST_VALUES", 20_000)
    for origin in ("data.csv", "data.csv.gz", "data.parquet"):
        result = new(origin, target="c1")
        assert result.exit_code == 1
        assert "has 1,200 columns and about" in result.output
        assert "Keep the columns that may matter, or fewer rows" in result.output


def test_a_table_that_does_not_fit_into_the_memory_is_refused_in_one_sentence(
    project: Path, new: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        ["wanted", *(f"c{i}" for i in range(900))],
        *([i % 2, *[f"{i}{j}" for j in range(900)]] for i in range(300)),
    ]
    (project / "data.csv").write_bytes(text(rows))
    monkeypatch.setattr(open_rows, "_MEMORY", "10MB")
    result = new("data.csv")
    assert result.exit_code == 1
    assert "does not fit into the 10MB" in result.output


_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1, max_size=20)
_VALUES = st.one_of(
    st.just(""),
    st.integers(-5, 5).map(str),
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=8),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(name=_NAMES, values=st.lists(_VALUES, min_size=3, max_size=3), label=st.lists(_VALUES, min_size=2, max_size=2))
def test_any_column_gives_a_plan_or_one_of_our_errors(
    name: str, values: list[str], label: list[str], project: Path
) -> None:
    table = [["amount", name, "t"], *([i % 13, values[i % 3], label[i % 2]] for i in range(150))]
    path = project / "data.csv"
    path.write_bytes(as_text(table).encode())
    try:
        plan = planned("shop", str(path), None, Wishes(target="t"), datetime(2026, 7, 1))
    except PlatformError:
        return
    compile(texts(plan)["contract.py"], "contract.py", "exec")
    assert UseCase.model_validate(yaml.safe_load(texts(plan)["defs.yaml"])["attributes"])


def test_a_table_of_a_duckdb_file_is_read_like_a_file(project: Path, new: New) -> None:
    (project / "data.csv").write_bytes(text())
    with duckdb.connect(str(project / "shop.duckdb")) as con:
        con.execute("CREATE TABLE customers AS FROM 'data.csv'")
    result = new("shop.duckdb", "--table", "customers")
    assert result.exit_code == 0, result.output
    assert load_declaration("shop", project / "use_cases").spec.sources[0].kind == "sql"
