"""Parquet files of different types in one batch: no value becomes another one."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlplatform.errors import SourceError
from mlplatform.home import Home
from mlplatform.ingest.files import TableFiles
from mlplatform_tests.feeding import Feeding
from mlplatform_tests.ingest.conftest import declare

BIG = 2**53 + 1


def write(folder: Path, **columns: pa.Array) -> None:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), folder / f"{len(list(folder.iterdir()))}.parquet")


def read(folder: Path) -> pa.Table:
    return TableFiles(declare(folder / "*.parquet", key=["n"], time_column=None, start=None)).read_all()


def test_whole_numbers_beside_a_file_of_floating_ones_keep_every_digit(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    write(folder, n=pa.array([BIG, None]))
    write(folder, n=pa.array([1.5, float("nan")]), more=pa.array(["x", "y"]))
    write(folder, more=pa.array(["z"]), N=pa.array([BIG + 2], pa.uint64()))
    read_rows = read(folder)
    assert read_rows["n"].to_pylist() == [str(BIG), None, "1.5", None, str(BIG + 2)]
    assert read_rows["more"].to_pylist() == [None, None, "x", "y", "z"]


def test_types_that_hold_each_other_s_values_stay_types(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    write(folder, n=pa.array([1], pa.int32()), x=pa.array([1.5], pa.float32()))
    write(folder, n=pa.array([BIG]), x=pa.array([1.25]))
    assert read(folder).to_pydict() == {"n": [1, BIG], "x": [1.5, 1.25]}


def test_a_mixed_number_within_a_column_is_refused_with_the_files_and_types(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    write(folder, n=pa.array([1]), s=pa.array([{"a": {"b": BIG}}]))
    write(folder, n=pa.array([1]), s=pa.array([{"a": {"b": 1.5}}]))
    with pytest.raises(SourceError, match=r"s\.a\.b is BIGINT in .*0\.parquet and DOUBLE in .*1\.parquet"):
        read(folder)


def test_a_month_whose_whole_numbers_were_written_as_floating_ones_is_stored_as_it_was(
    tmp_path: Path, home: Home
) -> None:
    given: dict[str, Any] = {
        "event_time": pa.array(["2024-01-02"]),
        "sensor": pa.array(["a"]),
        "value": pa.array([0.5]),
    }
    write(tmp_path / "files", reading_id=pa.array([BIG]), **given)
    write(tmp_path / "files", reading_id=pa.array([7.0]), **given)
    source = Feeding(tmp_path, {"kind": "files", "path": str(tmp_path / "files" / "*.parquet"), "new_files": True})
    source.ingested()
    assert source.ids() == [7, BIG]
