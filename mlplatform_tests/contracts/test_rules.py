"""A contract as plain data."""

from typing import Any

import pandas as pd
import pandera.pandas as pandera
import pytest
from pydantic import ValidationError

from mlplatform.contracts.rules import Rule, describe, dump_rules, load_rules
from mlplatform.errors import SpecError


class Example(pandera.DataFrameModel):  # type: ignore[misc]  # pandera is untyped here, see pyproject.toml
    count: int = pandera.Field(gt=0, lt=10)
    share: float = pandera.Field(gt=0, le=1)
    ratio: float = pandera.Field(in_range={"min_value": 0, "max_value": 2}, nullable=True)
    colour: str = pandera.Field(isin=["red", "blue"], description="Of the shoe.", metadata={"example": "red"})
    when: pd.Timestamp
    open: bool


def test_each_column_becomes_a_rule_with_inclusive_bounds() -> None:
    count, share, ratio, colour, when, is_open = describe(Example)
    assert (count.type, count.minimum, count.maximum) == ("integer", 1, 9)
    assert (share.minimum, share.maximum) == (5e-324, 1)
    assert (ratio.minimum, ratio.maximum, ratio.nullable) == (0, 2, True)
    assert colour == Rule(
        name="colour", type="string", categories=["blue", "red"], description="Of the shoe.", example="red"
    )
    assert (when.type, is_open.type) == ("timestamp", "boolean")


def test_the_json_says_the_same(transactions: type[Any]) -> None:
    for schema in (Example, transactions):
        assert load_rules(dump_rules(describe(schema))) == describe(schema)


def test_a_text_that_holds_no_rules_is_refused() -> None:
    with pytest.raises(ValidationError, match="colour"):
        load_rules('[{"name": "a", "type": "string", "colour": 1}]')


def test_a_type_that_rows_cannot_have_is_named() -> None:
    class Odd(pandera.DataFrameModel):  # type: ignore[misc]
        took: pd.Timedelta

    with pytest.raises(SpecError, match="contract column `took` has the type timedelta64"):
        describe(Odd)


def test_the_types_of_the_fraud_contract_are_those_of_the_lake(transactions: type[Any]) -> None:
    assert {rule.name: rule.type for rule in describe(transactions)} == {
        "transaction_id": "integer",
        "event_time": "timestamp",
        "customer_id": "integer",
        "terminal_id": "integer",
        "amount": "float",
        "is_fraud": "integer",
        "label_known_at": "timestamp",
        "fraud_scenario": "integer",
    }
