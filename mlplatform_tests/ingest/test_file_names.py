"""A file is read under the name it has, which says nothing about its rows."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlplatform_tests.ingest.conftest import reader
from mlplatform_tests.ingest.test_files import APRIL, ids, write

HEADER = "transaction_id,event_time,amount\n"


def row(number: int) -> str:
    return f"{number},2018-04-01 10:00:00,3.5\n"


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "csv.gz", "csv.zst"])
@pytest.mark.parametrize("name", ["a[1]", "a*", "a?", "[a]*?", "a b+%23#"])
def test_a_name_with_a_glob_s_characters_stands_for_one_file(tmp_path: Path, name: str, ending: str) -> None:
    for number, one in enumerate([name, "a1", "ab"]):
        text = HEADER + row(number)
        path = tmp_path / f"{one}.{ending}"
        if ending == "parquet":
            columns = {"transaction_id": [number], "event_time": ["2018-04-01 10:00:00"], "amount": [3.5]}
            pq.write_table(pa.table(columns), path)
        elif ending == "jsonl":
            path.write_text(f'{{"transaction_id": {number}, "event_time": "2018-04-01 10:00:00"}}\n')
        else:
            compression = {"gz": "gzip", "zst": "zstd"}.get(ending.rpartition(".")[2])
            with pa.output_stream(str(path), compression=compression) as packed:
                packed.write(text.encode())
    assert sorted(ids(reader(tmp_path / f"*.{ending}").read(*APRIL))) == [0, 1, 2]


def test_a_folder_called_name_value_takes_no_column_s_place(tmp_path: Path) -> None:
    for ending in ("csv", "jsonl", "parquet"):
        folder = tmp_path / ending / "amount=99" / "region=eu"
        folder.mkdir(parents=True)
        write(folder, HEADER + row(1), "t.csv")
        write(folder, '{"transaction_id": 1, "event_time": "2018-04-01 10:00:00", "amount": "3.5"}\n', "t.jsonl")
        columns = {"transaction_id": ["1"], "event_time": ["2018-04-01 10:00:00"], "amount": ["3.5"]}
        pq.write_table(pa.table(columns), folder / "t.parquet")
        read = reader(folder / f"t.{ending}").read(*APRIL)
        assert read.to_pylist() == [{"transaction_id": "1", "event_time": "2018-04-01 10:00:00", "amount": "3.5"}]


def test_a_column_may_be_called_as_those_that_a_query_adds(tmp_path: Path) -> None:
    text = "transaction_id,event_time,_time,_position,rows\n1,2018-04-01 10:00:00,x,y,z\n2,soon,x,y,z\n"
    read = reader(write(tmp_path, text)).read(*APRIL)
    assert read.column_names == ["transaction_id", "event_time", "_time", "_position", "rows"]
    assert [ids(read), read["_time"].to_pylist()] == [[1, 2], ["x", "x"]]


def test_a_file_that_vanished_since_it_was_listed_is_named(tmp_path: Path) -> None:
    from mlplatform.errors import SourceError
    from mlplatform.ingest.place import local_file
    from mlplatform.ingest.whole import require_whole

    path = write(tmp_path, "x", "a.csv.gz")
    file = local_file(path)
    os.unlink(path)  # noqa: PTH108 (what another program does)
    with pytest.raises(SourceError, match=r"a\.csv\.gz cannot be read: No such file"):
        require_whole([file])
