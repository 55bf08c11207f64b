"""A key of the lake, of whatever SQL type, is the text that the journal has for it."""

from datetime import datetime
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.lake.predictions import journalled_key
from mlplatform.serving.identity import key_text
from mlplatform_tests.small_fraud import small_fraud

SPEC = small_fraud().spec
EXACT = 2**53 - 1
DUCKDB = duckdb.connect()


def in_the_lake(value: Any, kind: str) -> str:
    row = DUCKDB.execute(f"SELECT {journalled_key(SPEC, 'k')} FROM (SELECT ?::{kind} AS k) AS s", [value]).fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize("kind", ["BIGINT", "HUGEINT", "VARCHAR", "DECIMAL(38, 0)", "DECIMAL(20, 2)"])
@settings(deadline=None)
@given(st.integers(-EXACT, EXACT))
def test_a_whole_number_is_written_without_a_point(kind: str, number: int) -> None:
    assert in_the_lake(number, kind) == key_text(number) == key_text(float(number))


@settings(deadline=None)
@given(st.integers(-(10**15), 10**15))
def test_so_it_is_where_blanks_made_a_column_of_integers_one_of_floats(number: int) -> None:
    assert in_the_lake(float(number), "DOUBLE") == key_text(number)


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_a_text_is_itself_also_where_it_looks_like_a_number(text: str) -> None:
    assert in_the_lake(text, "VARCHAR") == key_text(text)
    assert in_the_lake(f"{text}.00", "VARCHAR") == f"{text}.00"


@settings(deadline=None)
@given(st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31)).map(lambda moment: moment.replace(microsecond=0)))
def test_a_time_is_iso_8601(moment: datetime) -> None:
    assert in_the_lake(moment, "TIMESTAMP") == moment.isoformat()
