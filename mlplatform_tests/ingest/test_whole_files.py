"""A packed file that was cut off gives no row, wherever it lies."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest

from mlplatform.errors import SourceError
from mlplatform.home import Home
from mlplatform_tests.feeding import Feeding
from mlplatform_tests.ingest.conftest import reader
from mlplatform_tests.ingest.test_files import APRIL, ids

HEADER = "transaction_id,event_time,amount\n"


def csv(*numbers: int) -> bytes:
    return (HEADER + "".join(f"{i},2018-04-{1 + i % 28:02} 10:00:00,{i}.25\n" for i in numbers)).encode()


def jsonl(*numbers: int) -> bytes:
    rows = [{"transaction_id": i, "event_time": f"2018-04-{1 + i % 28:02}", "amount": i + 0.25} for i in numbers]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def packed(content: bytes, name: str) -> bytes:
    return gzip.compress(content) if name.endswith(".gz") else bytes(pa.compress(content, "zstd", asbytes=True))


@pytest.mark.parametrize("name", ["t.csv.gz", "t.jsonl.gz", "t.csv.zst", "t.jsonl.zst"])
@pytest.mark.parametrize("missing", [1, 8, 2000])
def test_a_packed_file_that_was_cut_off_is_named_and_not_read(tmp_path: Path, name: str, missing: int) -> None:
    content = (csv if "csv" in name else jsonl)(*range(5000))
    (tmp_path / name).write_bytes(packed(content, name)[:-missing])
    with pytest.raises(
        SourceError, match=rf"{name} is not a whole (gzip|zstd) file: .*It was cut off .* copy or export"
    ):
        reader(tmp_path / name).read(*APRIL)


def test_a_file_of_several_gzip_members_is_read_to_its_end(tmp_path: Path) -> None:
    parts = [csv(1, 2), csv(3).removeprefix(HEADER.encode()), csv(4).removeprefix(HEADER.encode())]
    (tmp_path / "t.csv.gz").write_bytes(b"".join(map(gzip.compress, parts)))
    assert ids(reader(tmp_path / "t.csv.gz").read(*APRIL)) == [1, 2, 3, 4]
    (tmp_path / "t.csv.gz").write_bytes(b"".join(map(gzip.compress, parts))[:-3])
    with pytest.raises(SourceError, match="is not a whole gzip file"):
        reader(tmp_path / "t.csv.gz").read(*APRIL)


def test_an_ending_in_capitals_is_one_too(tmp_path: Path) -> None:
    (tmp_path / "T.CSV.GZ").write_bytes(gzip.compress(csv(1, 2)))
    assert ids(reader(tmp_path / "T.CSV.GZ").read(*APRIL)) == [1, 2]


def test_a_packed_file_that_was_cut_off_leaves_the_cursor_where_it_was(tmp_path: Path, home: Home) -> None:
    rows = "reading_id,event_time,sensor,value\n" + "".join(f"{i},2024-01-02 10:00:00,a,{i}.25\n" for i in range(2000))
    whole = gzip.compress(rows.encode())
    source = Feeding(tmp_path, {"kind": "files", "path": str(tmp_path / "*.csv.gz"), "new_files": True})
    (tmp_path / "a.csv.gz").write_bytes(whole[:-20])
    assert "a.csv.gz is not a whole gzip file" in source.refused()
    assert (source.cursor(), source.ids()) == (None, [])
    (tmp_path / "a.csv.gz").write_bytes(whole)
    source.ingested()
    assert source.ids() == list(range(2000))
