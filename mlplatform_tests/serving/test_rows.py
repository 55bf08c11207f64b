import math
from typing import Any

import numpy as np
import pytest

from mlplatform.contracts.rules import Rule
from mlplatform.errors import ArtifactError
from mlplatform.serving.column import describe_allowed, example_value
from mlplatform.serving.rows import RowReader


def read_one(rule: Rule, value: Any, categories: list[str] | None = None) -> float:
    reader = RowReader([rule.name], [rule], {rule.name: categories} if categories else {})
    matrix, problems = reader.read([{rule.name: value}])
    assert not problems
    return float(matrix[0, 0])


def test_a_category_becomes_the_code_that_the_model_learned_not_its_place_in_the_contract() -> None:
    rule = Rule(name="channel", type="string", categories=["swipe", "chip"])

    assert read_one(rule, "swipe", ["chip", "swipe"]) == 1.0


def test_a_category_that_the_model_never_saw_is_a_missing_value() -> None:
    rule = Rule(name="channel", type="string", categories=["chip", "swipe"])

    assert math.isnan(read_one(rule, "swipe", ["chip"]))


@pytest.mark.parametrize("learned", [["1", "2"], ["1.0", "2.0"]])
@pytest.mark.parametrize("sent", [2, 2.0])
def test_a_numeric_category_is_found_however_training_wrote_it(learned: list[str], sent: float) -> None:
    assert read_one(Rule(name="kind", type="integer"), sent, learned) == 1.0
    assert read_one(Rule(name="kind", type="float"), sent, learned) == 1.0


def test_a_boolean_category_is_found() -> None:
    assert read_one(Rule(name="night", type="boolean"), True, ["False", "True"]) == 1.0


def test_columns_come_out_in_the_order_of_the_model_not_of_the_contract() -> None:
    rules = [Rule(name="a", type="float"), Rule(name="b", type="float")]
    matrix, _ = RowReader(["b", "a"], rules).read([{"a": 1, "b": 2}, {"b": 4, "a": 3}])

    assert np.array_equal(matrix, [[2.0, 1.0], [4.0, 3.0]])


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Rule(name="x", type="timestamp"), "is a timestamp"),
        (Rule(name="x", type="string"), "no codes"),
        (Rule(name="y", type="float"), "no rule for x"),
    ],
)
def test_a_feature_that_no_model_can_take_is_refused_when_it_is_loaded(rule: Rule, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        RowReader(["x"], [rule])


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule(name="x", type="float", minimum=math.nextafter(0, math.inf)), "a number, more than 0"),
        (Rule(name="x", type="float", maximum=math.nextafter(1, -math.inf)), "a number, less than 1"),
        (Rule(name="x", type="integer", minimum=1, nullable=True), "a whole number, at least 1, or null"),
        (Rule(name="x", type="boolean"), "true or false"),
    ],
)
def test_what_is_allowed_reads_as_a_person_would_say_it(rule: Rule, words: str) -> None:
    assert describe_allowed(rule) == words


@pytest.mark.parametrize(
    "rule",
    [
        Rule(name="x", type="float", minimum=5),
        Rule(name="x", type="float", maximum=-5),
        Rule(name="x", type="integer", minimum=0.5, maximum=3),
        Rule(name="x", type="boolean"),
        Rule(name="x", type="integer", categories=[3, 4]),
        Rule(name="x", type="float", nullable=True),
    ],
)
def test_a_rule_without_an_example_gets_one_that_it_allows(rule: Rule) -> None:
    assert not RowReader(["x"], [rule]).read([{"x": example_value(rule)}])[1]
