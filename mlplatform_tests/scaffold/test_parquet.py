"""What a Parquet file says of its columns beside their values."""

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result

from mlplatform_tests.scaffold.conftest import customers

New = Callable[..., Result]


@pytest.fixture
def columns() -> dict[str, object]:
    header, *rows = customers(400)
    made = dict(zip(map(str, header), map(list, zip(*rows, strict=True)), strict=True))
    del made["spent"]
    return dict(made)


@pytest.mark.parametrize("target", ["wanted", "Wanted"])
def test_names_that_are_one_in_sql_are_refused_whichever_is_meant(
    target: str, columns: dict[str, object], project: Path, new: New
) -> None:
    nested = pa.array([{"wanted": 1, "WANTED": 2}] * 400)
    pq.write_table(pa.table({"nested": nested, **columns, "Wanted": range(400)}), project / "data.parquet")
    result = new("data.parquet", target=target)
    assert result.exit_code == 1
    assert "2 columns that are one name in SQL: 'wanted', 'Wanted'" in result.output


def test_names_within_a_column_are_not_compared(columns: dict[str, object], project: Path, new: New) -> None:
    nested = pa.array([{"visits": i, "VISITS": i % 7} for i in range(400)])
    pq.write_table(pa.table({"nested": nested, **columns}), project / "data.parquet")
    result = new("data.parquet", "--look")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(("unit", "said"), [("ns", "nanoseconds"), ("s", "seconds")])
def test_a_duration_is_a_number_whose_unit_is_said(
    unit: str, said: str, columns: dict[str, object], project: Path, new: New
) -> None:
    draw = random.Random(5)
    took = pa.array([draw.randint(1, 10**6) for _ in range(400)], pa.duration(unit))
    pq.write_table(pa.table({**columns, "took": took}), project / "data.parquet")
    result = new("data.parquet")
    assert f"took: is read, and asked for in requests, as a number of {said}" in result.output
    assert f"took, {said}" in (project / "use_cases" / "shop" / "contract.py").read_text()
