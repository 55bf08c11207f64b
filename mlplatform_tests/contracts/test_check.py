"""A batch is divided into good rows and rows with reasons, and nothing is lost."""

import json
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.contracts.check import check_rows
from mlplatform.errors import ContractError, SourceError, SpecError
from mlplatform_tests.contracts.conftest import KEY, check, ids, rows

Contract = type[Any]


def test_good_text_becomes_the_types_of_the_contract(transactions: Contract) -> None:
    good = check(transactions, rows()).good
    assert [str(kind) for kind in good.schema.types] == [
        "int64",
        "timestamp[us]",
        "int64",
        "int64",
        "double",
        "int32",
        "timestamp[us]",
        "int32",
    ]
    assert good.slice(1, 1).to_pylist() == [
        {
            "transaction_id": 1,
            "event_time": datetime(2018, 4, 1, 1),
            "customer_id": 1,
            "terminal_id": 1,
            "amount": 1.5,
            "is_fraud": 1,
            "label_known_at": None,
            "fraud_scenario": None,
        }
    ]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("amount", "abc", "amount 'abc' is not a finite number"),
        ("amount", "1,5", "amount '1,5' is not a finite number"),
        ("amount", "inf", "amount 'inf' is not a finite number"),
        ("amount", "-5", "amount '-5' must be at least 0"),
        ("amount", "", "amount is missing"),
        ("amount", None, "amount is missing"),
        ("customer_id", "1.5", "customer_id '1.5' is not a whole number"),
        ("transaction_id", None, "transaction_id is missing"),
        ("transaction_id", "  ", "transaction_id is missing"),
        ("transaction_id", "0", "transaction_id '0' repeats the transaction_id of an earlier row"),
        ("is_fraud", "2", "is_fraud '2' must be one of 0, 1"),
        ("is_fraud", "yes", "is_fraud 'yes' is not a whole number"),
        ("is_fraud", "3000000000", "is_fraud '3000000000' is not a whole number"),
        ("event_time", "soon", "event_time 'soon' is not a timestamp"),
        ("event_time", "2018-02-30", "event_time '2018-02-30' is not a timestamp"),
        ("event_time", "", "event_time is missing"),
        ("event_time", "2099-01-01", "event_time '2099-01-01' is in the future: its batch ends before 2018-04-02"),
    ],
)
def test_a_bad_row_is_set_aside_with_its_reason(
    transactions: Contract, column: str, value: str | None, reason: str
) -> None:
    batch = rows()
    batch.loc[3, column] = value
    checked = check(transactions, batch)
    assert checked.bad["_reason"].to_pylist()[0].startswith(reason)
    assert checked.bad["_reason"].to_pylist()[0].count(";") == 0
    assert ids(checked.good) == ["0", "1", "2", "4", "5"]


def test_a_bad_row_keeps_every_value_as_it_came_and_all_its_reasons(transactions: Contract) -> None:
    batch = rows().assign(note="hi")
    batch.loc[2, ["amount", "customer_id"]] = ["-5 EUR", None]
    (bad,) = check(transactions, batch).bad.to_pylist()
    assert bad.pop("_reason") == "amount '-5 EUR' is not a finite number; customer_id is missing"
    assert bad == batch.loc[2].to_dict()


def test_of_repeated_rows_the_first_good_one_stays(transactions: Contract) -> None:
    batch = rows()
    batch.loc[[1, 3, 4], "transaction_id"] = "7"
    batch.loc[1, "amount"] = "-1"
    checked = check(transactions, batch)
    assert ids(checked.good) == ["0", "2", "7", "5"]
    assert checked.bad["amount"].to_pylist() == ["-1", "4.5"]


def test_large_ids_keep_their_last_digit(transactions: Contract) -> None:
    batch = rows(4)
    batch["transaction_id"] = ["9007199254740993", "9007199254740992", None, "x"]
    assert ids(check(transactions, batch).good) == ["9007199254740993", "9007199254740992"]


def test_typed_rows_need_no_text(transactions: Contract) -> None:
    typed = rows().astype({"transaction_id": "int64", "amount": "float64", "is_fraud": "int64"})
    typed["event_time"] = pd.to_datetime(typed["event_time"])
    typed.loc[2, "amount"] = np.nan
    typed.loc[4, "amount"] = -1.0
    checked = check(transactions, typed)
    assert checked.bad["_reason"].to_pylist() == ["amount is missing", "amount '-1.0' must be at least 0"]


def test_a_column_of_mixed_types_is_read_as_text(transactions: Contract) -> None:
    batch = rows()
    batch["amount"] = [1, 2.5, "3.5", "x", None, "6"]
    checked = check(transactions, batch)
    assert checked.good["amount"].to_pylist() == [1.0, 2.5, 3.5, 6.0]


def test_a_time_with_a_zone_is_turned_to_utc(transactions: Contract) -> None:
    batch = rows(2)
    batch["event_time"] = ["2018-04-01T10:00:00+02:00", "2018-04-01 10:00:00"]
    zoned = pa.table({**{name: batch[name] for name in batch if name != "event_time"}}).append_column(
        "event_time", pa.array([datetime(2018, 4, 1, 8), datetime(2018, 4, 1, 10)], pa.timestamp("ns", "Europe/Berlin"))
    )
    assert check(transactions, batch).good["event_time"].to_pylist()[0] == datetime(2018, 4, 1, 8)
    assert check(transactions, zoned).good["event_time"].to_pylist()[0] == datetime(2018, 4, 1, 8)


def test_an_optional_column_is_checked_when_it_is_there(transactions: Contract) -> None:
    checked = check(transactions, rows().assign(fraud_scenario=pd.Series(["0", "", "9", "2", None, "3"])))
    assert checked.bad["_reason"].to_pylist() == ["fraud_scenario '9' must be one of 0, 1, 2, 3"]
    assert checked.good["fraud_scenario"].to_pylist() == [0, None, 2, None, 3]


def test_a_missing_column_is_named_with_those_that_came(transactions: Contract) -> None:
    says = r"Transactions: column amount, is_fraud is missing; the source has transaction_id, event_time, .*columns:"
    with pytest.raises(ContractError, match=says):
        check(transactions, rows().drop(columns=["amount", "is_fraud"]))


def test_an_empty_batch_is_good(transactions: Contract) -> None:
    checked = check(transactions, rows(2)[:0])
    assert (len(checked.good), len(checked.bad), checked.bad_share) == (0, 0, 0.0)
    assert checked.good.column_names == list(transactions.to_schema().columns)


def test_the_cases_are_a_table_of_rule_and_count_and_example(transactions: Contract) -> None:
    batch = rows()
    batch.loc[[1, 2], "amount"] = ["-1", "-2"]
    batch.loc[3, "customer_id"] = None
    cases = check(transactions, batch).cases
    assert cases.to_dict("records") == [
        {"column": "amount", "check": "must be at least 0", "rows": 2, "example": "-1"},
        {"column": "customer_id", "check": "is missing", "rows": 1, "example": ""},
    ]


def test_too_large_a_share_of_bad_rows_is_an_error_that_lists_the_rules(transactions: Contract) -> None:
    batch = rows()
    batch.loc[[1, 2], "amount"] = ["-1", "-2"]
    checked = check(transactions, batch)
    checked.require(0.34, "fraud/transactions 2018-04-01")
    with pytest.raises(
        ContractError, match=r"2018-04-01: 2 of 6 rows \(33.3%\).* allowed 1.0%. amount must be at least 0"
    ):
        checked.require(0.01, "fraud/transactions 2018-04-01")


class Orders(pandera.DataFrameModel):  # type: ignore[misc]  # pandera is untyped here, see pyproject.toml
    order: str = pandera.Field(unique=True, str_length={"min_value": 1})
    net: float = pandera.Field(gt=0)
    gross: float
    paid: bool

    @pandera.check("gross", name="whole cents")  # type: ignore[untyped-decorator]
    def _whole_cents(cls, gross: Any) -> Any:  # noqa: N805
        return (gross * 100).round(6) % 1 == 0

    @pandera.dataframe_check(name="gross is net or more")  # type: ignore[untyped-decorator]
    def _gross(cls, frame: Any) -> Any:  # noqa: N805
        return frame["gross"] >= frame["net"]


ORDERS = pd.DataFrame(
    {"order": ["a", "b", "c"], "net": [1.0, 2.0, 3.0], "gross": [1.1, 2.2, 3.3], "paid": ["true"] * 3}
)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"gross": 2.005}, "gross '2.005' breaks the rule `whole cents`"),
        ({"gross": 1.5}, "breaks the rule `gross is net or more`"),
        ({"net": 0.0}, "net '0.0' must be above 0"),
        ({"order": "a"}, "order 'a' repeats the order of an earlier row"),
        ({"paid": "perhaps"}, "paid 'perhaps' is neither true nor false"),
    ],
)
def test_own_rules_of_a_contract_give_reasons_too(change: dict[str, Any], reason: str) -> None:
    batch = ORDERS.copy()
    for column, value in change.items():
        batch.loc[1, column] = value
    checked = check_rows(Orders, batch)
    assert checked.bad["_reason"].to_pylist() == [reason]
    assert checked.good["order"].to_pylist() == ["a", "c"]


def test_a_key_that_the_contract_calls_unique_is_replaced_by_its_later_row() -> None:
    batch = ORDERS.assign(order=["a", "b", "a"])
    checked = check_rows(Orders, batch, key=["order"], repeats="replace")
    assert checked.good.select(["order", "net"]).to_pylist() == [{"order": "b", "net": 2.0}, {"order": "a", "net": 3.0}]
    assert (checked.replaced, checked.bad_rows) == (1, 0)


@pytest.mark.parametrize("name", ["Net", "row_id", "_loaded_at", "_x", ""])
def test_a_new_column_whose_name_the_table_cannot_take_is_named(name: str) -> None:
    with pytest.raises(ContractError, match=f"new column `{name}`, which .* `schema_change: evolve` cannot store it"):
        check_rows(Orders, ORDERS.assign(**{name: 1}), schema_change="evolve")
    assert len(check_rows(Orders, ORDERS.assign(**{name: 1})).good) == 3


class Steady(pandera.DataFrameModel):  # type: ignore[misc]
    value: float

    @pandera.dataframe_check(name="mean below 10")  # type: ignore[untyped-decorator]
    def _mean(cls, frame: Any) -> Any:  # noqa: N805
        return bool(frame["value"].mean() < 10)


def test_a_rule_over_the_whole_batch_stops_it() -> None:
    with pytest.raises(ContractError, match="the batch as a whole breaks the rule `mean below 10`"):
        check_rows(Steady, pd.DataFrame({"value": [50.0]}))


def test_a_key_that_the_contract_lacks_is_a_mistake_of_the_declaration() -> None:
    with pytest.raises(SpecError, match="Steady lacks the column id"):
        check_rows(Steady, pd.DataFrame({"value": [1.0]}), key=["id"])


damage = st.tuples(
    st.integers(0, 11),
    st.sampled_from(["transaction_id", "event_time", "customer_id", "amount", "is_fraud"]),
    st.sampled_from([None, "", "abc", "-1", "3", "1e400", "NaN", "2099-01-01", "infinity", "é;\"'", "0"]),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(damage, max_size=12))
def test_whatever_is_damaged_no_row_is_lost_and_good_rows_stay_good(
    transactions: Contract, damages: list[tuple[int, str, str | None]]
) -> None:
    batch = rows(12)
    for at, column, value in damages:
        batch.loc[at, column] = value
    batch["line"] = range(12)
    checked = check(transactions, batch)
    untouched = set(range(12)) - {at for at, _, _ in damages}
    bad = set(checked.bad["line"].to_pylist())
    assert len(checked.good) + len(checked.bad) == 12
    assert all(checked.bad["_reason"].to_pylist())
    # A row nobody touched can only be bad for repeating the id of a damaged row before it.
    repeats = [row["_reason"] for row in checked.bad.to_pylist() if row["line"] in untouched]
    assert all("repeats" in reason for reason in repeats)
    assert len(checked.good) == 12 - len(bad)
    assert len(set(ids(checked.good))) == len(checked.good)
    again = check(transactions, checked.good)
    assert again.good.equals(checked.good)


def test_a_row_of_reasons_can_be_written_as_json(transactions: Contract) -> None:
    batch = rows()
    batch.loc[1, "amount"] = 'say "hi"'
    assert json.loads(json.dumps(check(transactions, batch).bad.to_pylist()))[0]["amount"] == 'say "hi"'


def test_the_key_is_never_missing_whatever_the_contract_says() -> None:
    class Loose(pandera.DataFrameModel):  # type: ignore[misc]
        transaction_id: pd.Int64Dtype = pandera.Field(nullable=True)

    checked = check_rows(Loose, pd.DataFrame({"transaction_id": ["1", None]}), key=KEY)
    assert checked.bad["_reason"].to_pylist() == ["transaction_id is missing"]


@pytest.mark.parametrize("kind", ["pandas", "Arrow"])
def test_rows_with_two_columns_of_one_name_are_refused(transactions: Contract, kind: str) -> None:
    twice = pd.concat([rows(), rows()[["amount"]]], axis=1)
    arrays = [pa.array(twice.iloc[:, at]) for at in range(twice.shape[1])]
    given_rows = twice if kind == "pandas" else pa.Table.from_arrays(arrays, list(twice.columns))
    with pytest.raises(SourceError, match=r"there are two columns `amount`\. Rename one of each"):
        check(transactions, given_rows)
