"""Rows without a key get a number of their content; declared texts mean "missing"."""

import math

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.errors import SourceError
from mlplatform.ingest.adapted import adapted
from mlplatform.ingest.row_id import numbered
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import merge_rows
from mlplatform.spec import FilesSource, RowId

ROWS = st.lists(
    st.tuples(st.sampled_from(["", "a", "b"]) | st.none(), st.sampled_from(["", "a", "b"]) | st.none()), max_size=8
)


def table(rows: list[tuple[str | None, str | None]]) -> pa.Table:
    return pa.table(
        {"x": pa.array([a for a, _ in rows], pa.string()), "y": pa.array([b for _, b in rows], pa.string())}
    )


@settings(deadline=None)
@given(ROWS)
def test_every_row_has_a_number_of_its_own_whatever_the_order(rows: list[tuple[str | None, str | None]]) -> None:
    ids = numbered(table(rows), RowId())["row_key"].to_pylist()
    again = numbered(table(rows[::-1]), RowId())["row_key"].to_pylist()
    assert len(set(ids)) == len(rows)
    assert sorted(ids) == sorted(again)
    assert all(0 <= each < 2**48 for each in ids)


def test_a_label_that_becomes_known_does_not_change_the_number() -> None:
    before, after = (numbered(table([("a", label)]), RowId(without=["y"]))["row_key"] for label in (None, "b"))
    assert before.equals(after)


def test_what_is_not_the_row_s_content_does_not_change_the_number() -> None:
    rows = table([("a", "NA"), ("a", "b")])
    plain = FilesSource(kind="files", name="s", path="p", key=["row_key"], time_column=None, row_id=RowId())

    def ids(numbered_rows: pa.Table) -> set[int]:
        return set(numbered_rows["row_key"].to_pylist())

    first = ids(adapted(rows, plain, ["x", "y"]))
    missing = plain.model_copy(update={"missing_values": {"y": ["NA"]}})
    assert ids(adapted(rows, missing, ["x", "y"])) == first
    assert ids(numbered(rows.select(["y", "x"]), RowId())) == first
    more = rows.append_column("loaded", pa.array([1, 2])).append_column("note", pa.nulls(2, pa.string()))
    assert ids(adapted(more, plain, ["x", "y", "note"])) == first


def test_a_value_counts_for_its_own_column() -> None:
    ids = numbered(table([("a", None), (None, "a"), ("a", ""), ("", "a")]), RowId())["row_key"].to_pylist()
    swapped = numbered(table([(None, "a"), ("a", None)]), RowId())["row_key"].to_pylist()
    assert len(set(ids)) == 4
    assert set(swapped) < set(ids)


def test_texts_of_either_arrow_type_may_be_missing() -> None:
    source = FilesSource(kind="files", name="s", path="p", key=["x"], time_column=None, missing_values={"x": ["NA"]})
    assert adapted(pa.table({"x": pa.array(["NA", "b"], pa.large_string())}), source)["x"].to_pylist() == [None, "b"]


def test_a_number_does_not_take_the_place_of_a_column() -> None:
    with pytest.raises(SourceError, match="of their own"):
        numbered(pa.table({"row_key": [1]}), RowId())


def test_only_the_declared_texts_of_a_column_are_missing() -> None:
    source = FilesSource(kind="files", name="s", path="p", key=["x"], time_column=None, missing_values={"x": ["NA"]})
    read = adapted(table([("NA", "NA"), (" NA ", "b"), ("nab", None)]), source)
    assert read["x"].to_pylist() == [None, None, "nab"]
    assert read["y"].to_pylist() == ["NA", "b", None]


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.int64()], ids=str)
def test_of_a_column_of_numbers_the_number_that_a_text_is_is_missing(kind: pa.DataType) -> None:
    source = FilesSource(kind="files", name="s", path="p", key=["x"], time_column=None)
    source = source.model_copy(update={"missing_values": {"x": ["-999", "inf", "-inf", "NA"]}})
    given = [-999, 3, None] if pa.types.is_integer(kind) else [-999.0, 3.0, None, math.inf, -math.inf]
    read = adapted(pa.table({"x": pa.array(given, kind)}), source)["x"]
    assert read.type == kind
    assert [value for value in read.to_pylist() if value is not None] == [3]


def test_numbers_with_a_decimal_comma_get_a_point_and_what_is_none_stays() -> None:
    source = FilesSource(kind="files", name="s", path="p", key=["x"], time_column=None)
    source = source.model_copy(update={"decimal_comma": ["x", "not_there"]})
    given = {" 1.234,5": "1234.5", "-0,07": "-0.07", "12": "12", "1.234": "1234", "1.23,4": "1.23,4", "x": "x"}
    read = adapted(pa.table({"x": [*given, None]}), source)["x"].to_pylist()
    assert read == [*given.values(), None]


def test_the_lake_takes_numbered_rows(lake: Lake) -> None:
    rows = numbered(table([("a", "b"), ("a", "b")]), RowId())
    lake.commit(lambda con: merge_rows(con, "raw_shop.records", rows, ["row_key"]), "rows")
    touched = lake.commit(lambda con: merge_rows(con, "raw_shop.records", rows, ["row_key"]), "the same again")
    assert touched.value == 0
