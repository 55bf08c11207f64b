"""Columns that already are of the contract's type are not copied; nobody can tell from what comes out."""

from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplatform.contracts.arrow import _ARROW, _turned, cast_table
from mlplatform.contracts.types import ColumnType, Kind

KINDS: dict[str, tuple[ColumnType, st.SearchStrategy[Any]]] = {
    "integer": (ColumnType("integer", "BIGINT"), st.integers(-(2**63), 2**63 - 1)),
    "small": (ColumnType("integer", "UTINYINT"), st.integers(0, 255)),
    "float": (ColumnType("float", "DOUBLE"), st.floats()),
    "single": (ColumnType("float", "FLOAT"), st.floats(width=32)),
    "boolean": (ColumnType("boolean", "BOOLEAN"), st.booleans()),
    "text": (
        ColumnType("string", "VARCHAR"),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    ),
    "time": (ColumnType("timestamp", "TIMESTAMP"), st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59))),
}


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_a_column_of_the_contract_s_type_comes_out_as_a_cast_would_make_it(name: str, data: st.DataObject) -> None:
    to, values = KINDS[name]
    given_values = data.draw(st.lists(st.none() | values, min_size=1))
    table = pa.table({"x": pa.array(given_values, _ARROW[to.sql])})
    quick, slow = cast_table(table, {"x": to}), _turned(table, {"x": to})
    assert quick.values.schema == slow.values.schema
    assert quick.values.to_pylist() == slow.values.to_pylist()
    assert quick.refused["x"].tolist() == slow.refused["x"].tolist()


def test_a_column_of_another_type_is_cast_beside_one_that_is_ready() -> None:
    kinds: dict[str, Kind] = {"a": "integer", "b": "integer"}
    types = {name: ColumnType(kind, "BIGINT") for name, kind in kinds.items()}
    done = cast_table(pa.table({"a": [1, 2], "b": ["3", "x"]}), types)
    assert done.values.to_pydict() == {"a": [1, 2], "b": [3, None]}
    assert done.refused["b"].tolist() == [1]
