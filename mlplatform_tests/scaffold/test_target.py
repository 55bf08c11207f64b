"""What is said of the target: columns that copy it, classes that are rare, drift, or are spelled in several ways."""

import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from mlplatform.contracts.check import check_rows
from mlplatform.contracts.load import load_contract
from mlplatform.errors import ScaffoldError
from mlplatform.ingest.open import open_table
from mlplatform.scaffold.plan import Plan
from mlplatform.spec import load_declaration
from mlplatform_tests.scaffold.conftest import Look, Table, extended, kinds


def said(plan: Plan, kind: str) -> str:
    return "; ".join(note.text for note in plan.notes if note.kind == kind)


def amounts(of: Callable[[float, random.Random], object], value: Callable[[random.Random], float]) -> Table:
    draw = random.Random(11)
    table: Table = [["other", "odd", "price"]]
    for _ in range(400):
        price = value(draw)
        table.append([draw.random(), of(price, draw), price])
    return table


@pytest.mark.parametrize(
    "copied",
    [
        lambda price, draw: price,
        lambda price, draw: price * 1000,
        lambda price, draw: -price,
        lambda price, draw: price * 1.19,
        lambda price, draw: math.log(price),
        lambda price, draw: "" if draw.random() < 0.5 else price,
    ],
    ids=["copy", "other unit", "negative", "with tax", "logarithm", "copy with gaps"],
)
def test_what_follows_an_amount_wherever_it_goes_is_a_leak(
    copied: Callable[[float, random.Random], object], look: Look
) -> None:
    table = amounts(copied, lambda draw: round(draw.gammavariate(2, 30), 4) + 0.01)
    assert kinds(look(table, target="price")) == {"odd": "leak"}


def test_half_of_a_count_is_a_leak(look: Look) -> None:
    table = amounts(lambda count, draw: count / 2, lambda draw: 2 * draw.randint(0, 60))
    assert kinds(look(table, target="price")) == {"odd": "leak"}


def test_a_copy_is_a_leak_where_most_amounts_are_none(look: Look) -> None:
    table = amounts(lambda paid, draw: paid * 2, lambda draw: draw.random() if draw.random() < 0.3 else 0)
    assert kinds(look(table, target="price")) == {"odd": "leak"}


@pytest.mark.parametrize(
    "near",
    [
        lambda price, draw: price + 0.14 * draw.gauss(0, 1),
        lambda price, draw: round(price),
        lambda price, draw: price if draw.random() < 0.95 else draw.gauss(0, 1),
    ],
    ids=["correlated 0.99", "rounded", "often the same"],
)
def test_what_only_goes_with_an_amount_is_no_leak(near: Callable[[float, random.Random], object], look: Look) -> None:
    assert kinds(look(amounts(near, lambda draw: draw.gauss(0, 1)), target="price")) == {}


def test_whether_there_is_an_amount_is_no_leak_of_it(look: Look) -> None:
    table = amounts(lambda paid, draw: int(paid > 0), lambda draw: draw.random() if draw.random() < 0.3 else 0)
    assert kinds(look(table, target="price")) == {}


def test_classes_whose_shares_change_over_time_are_said(look: Look) -> None:
    draw = random.Random(2)
    table: Table = [["day", "x", "kind"]]
    for i in range(900):
        kind = "late" if draw.random() < i / 900 else draw.choice(["early", "steady", "steady"])
        table.append([f"2023-{1 + i // 80:02d}-{1 + i % 28:02d}", draw.random(), kind])
    drift = said(look(table, target="kind", time="day"), "target drift")
    assert drift.startswith("its share of 'late' goes from 0.")
    table = [table[0], *([day, x, draw.choice(["a", "b", "c"])] for day, x, _ in table[1:])]
    assert not said(look(table, target="kind", time="day"), "target drift")


def test_rare_ones_of_several_classes_are_named(look: Look) -> None:
    plan = look(
        extended("kind", lambda i, row: "b" if i % 66 == 1 else "c" if i % 66 == 2 else "a", 2000), target="kind"
    )
    assert plan.target.classes == ("a", "b", "c")
    assert said(plan, "imbalance").startswith("of 3 classes 'b' (1.55%), 'c' (1.55%) have few rows")
    assert not said(look(extended("kind", lambda i, row: "abc"[i % 3]), target="kind"), "imbalance")


def test_rare_classes_that_are_dropped_leave_two_and_that_is_said(look: Look) -> None:
    plan = look(extended("kind", lambda i, row: "c" if i < 9 else "ab"[i % 2]), target="kind")
    assert plan.target.classes == ("a", "b")
    assert said(plan, "rare class") == (
        "c (9): too few rows to learn and to judge; not learned; two classes are left, 'b' and 'a'"
    )


SPELLED = ["Cat", "cat ", "CAT", "dog"]


def test_classes_that_differ_in_case_or_blanks_only_are_refused_unless_they_are_said_to_be_some(look: Look) -> None:
    table = extended("kind", lambda i, row: SPELLED[i % 4])
    with pytest.raises(ScaffoldError, match=r"one class in several ways: 'CAT' \(100\), 'Cat' \(100\), 'cat' \(100\)"):
        look(table, target="kind")
    plan = look(table, target="kind", task="multiclass")
    assert len(plan.target.classes) == 4
    assert "taken for different classes, as you said" in said(plan, "spellings")


def test_yes_and_no_in_several_spellings_are_two_classes(project: Path, look: Look, new: Callable[..., Result]) -> None:
    plan = look(extended("agrees", lambda i, row: ["Yes", "yes ", "YES", "no", " No"][i % 5]), target="agrees")
    assert plan.target.task == "binary"
    assert plan.target.classes == ("false", "true")
    assert said(plan, "spellings") == "'No', 'YES', 'Yes', 'no', 'yes' are read as true or false"
    assert new("data.csv", target="agrees").exit_code == 0
    declared = load_declaration("shop", project / "use_cases")
    contract = load_contract(declared.folder, declared.spec.contract.module, "records")
    rows = open_table(declared.spec.sources[0], declared.folder).read_all()
    checked = check_rows(contract, rows, key=declared.spec.sources[0].key)
    assert checked.bad_rows == 0
    assert sum(checked.good["agrees"].to_pylist()) == 240
