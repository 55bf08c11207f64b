"""Files of transactions: what is read, what is refused, and how it is said."""

import gzip
import json
import os
import random
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from mlplatform.errors import SourceError
from mlplatform.home import Home
from mlplatform.ingest.files_feed import FilesFeed
from mlplatform.spec import FilesSource
from mlplatform_tests.feeding import Feeding
from mlplatform_tests.ingest.conftest import reader

HEADER = "transaction_id,event_time,amount\n"
THREE = HEADER + "1,2018-04-01 10:00:00,3.5\n2,2018-04-02 10:00:00,4.5\n3,2018-04-03 10:00:00,5.5\n"
APRIL = (date(2018, 4, 1), date(2018, 5, 1))


def write(folder: Path, content: str | bytes, name: str = "some.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def ids(table: pa.Table) -> list[int]:
    return [int(value) for value in table["transaction_id"].to_pylist()]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_file_gives_back_the_rows_of_the_days_asked_for(tmp_path: Path, simulated: pa.Table, name: str) -> None:
    pacsv.write_csv(simulated, tmp_path / "t.csv")
    pq.write_table(simulated, tmp_path / "t.parquet")
    source = reader(tmp_path / name)
    assert source.available() == (date(2018, 4, 1), date(2018, 4, 6))
    middle = source.read(date(2018, 4, 2), date(2018, 4, 4))
    days = simulated["event_time"].cast(pa.date32()).to_pylist()
    expected = [i for i, day in zip(ids(simulated), days, strict=True) if date(2018, 4, 2) <= day < date(2018, 4, 4)]
    assert ids(middle) == expected


def test_every_row_belongs_to_exactly_one_day(tmp_path: Path, simulated: pa.Table) -> None:
    lines = simulated.to_pandas().to_csv(index=False).splitlines()
    for at in random.Random(0).sample(range(1, len(lines)), 200):
        lines[at] = lines[at].replace("2018-04-0", random.Random(at).choice(["oops", "2099-04-0", "2018-99-0"]), 1)
    source = reader(write(tmp_path, "\n".join(lines)))
    first, last = source.available() or APRIL
    days = [source.read(date(2018, 4, d), date(2018, 4, d + 1)) for d in range(first.day, last.day)]
    assert (first, last) == (date(2018, 4, 1), date(2018, 4, 6))
    assert sorted(i for day in days for i in ids(day)) == ids(simulated)


def test_a_row_without_a_readable_time_comes_with_the_row_before_it(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "9,,1\n1,2018-04-01 10:00:00,3\n2,soon,4\n3,2018-04-03 10:00:00,5\n")
    source = reader(path)
    assert ids(source.read(date(2018, 4, 1), date(2018, 4, 2))) == [9, 1, 2]
    assert ids(source.read(date(2018, 4, 3), date(2018, 4, 4))) == [3]


def test_a_row_from_the_future_does_not_open_a_day_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "1,2018-04-01 10:00:00,3\n2,2099-04-01 10:00:00,4\n")
    source = reader(path)
    assert source.available() == (date(2018, 4, 1), date(2018, 4, 2))
    assert ids(source.read(date(2018, 4, 1), date(2018, 4, 2))) == [1, 2]


def test_a_malformed_value_stays_as_it_was_written(tmp_path: Path) -> None:
    path = write(
        tmp_path, THREE.replace("4.5", "4,5").replace("2,2018-04-02 10:00:00,4,5", '2,2018-04-02 10:00:00,"4,5"')
    )
    assert reader(path).read(*APRIL)["amount"].to_pylist() == ["3.5", "4,5", "5.5"]


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path: Path, mark: str) -> None:
    assert ids(reader(write(tmp_path, THREE.replace(",", mark))).read(*APRIL)) == [1, 2, 3]


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbf" + THREE.replace("\n", "\r\n").encode())
    read = reader(path).read(*APRIL)
    assert read.column_names == ["transaction_id", "event_time", "amount"]
    assert read["amount"].to_pylist() == ["3.5", "4.5", "5.5"]


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.csv.zst"])
def test_line_ends_of_old_macs_do_no_harm(tmp_path: Path, name: str) -> None:
    content = THREE.replace("\n", "\r").replace("3.5", '"3\r5"')
    compression = {"gz": "gzip", "zst": "zstd"}.get(name.rpartition(".")[2])
    with pa.output_stream(str(tmp_path / name), compression=compression) as written:
        written.write(content.encode())
    read = reader(tmp_path / name).read(*APRIL)
    assert read.column_names == ["transaction_id", "event_time", "amount"]
    assert read["amount"].to_pylist() == ["3\r5", "4.5", "5.5"]


def test_a_header_longer_than_a_field_may_be_is_read(tmp_path: Path) -> None:
    names = ["transaction_id", "event_time", *(f"a_column_with_a_long_name_{i}" for i in range(8000))]
    row = ["1", "2018-04-01 10:00:00", *(["x"] * 8000)]
    assert ids(reader(write(tmp_path, ",".join(names) + "\n" + ",".join(row) + "\n")).read(*APRIL)) == [1]


def test_a_gzipped_file_is_read(tmp_path: Path) -> None:
    assert ids(reader(write(tmp_path, gzip.compress(THREE.encode()), "t.csv.gz")).read(*APRIL)) == [1, 2, 3]


def test_an_offset_counts(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "1,2018-04-02T01:00:00+02:00,3\n2,2018-04-02 01:00:00,3\n")
    assert ids(reader(path).read(date(2018, 4, 1), date(2018, 4, 2))) == [1]


def test_a_glob_reads_files_of_different_layouts_in_the_order_of_their_names(tmp_path: Path) -> None:
    write(tmp_path, THREE, "b.csv")
    write(tmp_path, "event_time;transaction_id;note\n2018-04-09 00:00:00;7;hello\n", "c.csv")
    write(tmp_path, HEADER + "5,2018-04-05 00:00:00,1\n", "a.csv")
    read = reader(tmp_path / "*.csv").read(*APRIL)
    assert ids(read) == [5, 1, 2, 3, 7]
    assert read["note"].to_pylist() == [None] * 4 + ["hello"]


def test_own_names_become_the_contract_s_names(tmp_path: Path) -> None:
    path = write(tmp_path, "Id,When,Betrag,amount\n1,2018-04-01 10:00:00,3.5,x\n")
    columns = {"transaction_id": "Id", "event_time": "When", "amount": "Betrag"}
    read = reader(path, columns=columns).read(*APRIL).to_pylist()
    assert read == [{"transaction_id": "1", "event_time": "2018-04-01 10:00:00", "amount": "3.5"}]


def test_a_relative_path_starts_at_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, THREE)
    monkeypatch.chdir(tmp_path)
    assert ids(reader(Path("some.csv")).read(*APRIL)) == [1, 2, 3]


def test_a_file_with_only_a_header_has_nothing_available(tmp_path: Path) -> None:
    source = reader(write(tmp_path, HEADER))
    assert source.available() is None
    assert len(source.read(*APRIL)) == 0


def test_the_cursor_forgets_files_that_are_gone(tmp_path: Path) -> None:
    spec = FilesSource(kind="files", name="s", path=str(tmp_path / "*.csv"), key=["transaction_id"], new_files=True)
    old = write(tmp_path, THREE, "a.csv")
    (first,) = FilesFeed(spec).batches(None)
    old.unlink()
    new = write(tmp_path, THREE, "b.csv")
    (second,) = FilesFeed(spec).batches(first.cursor)
    assert list(json.loads(second.cursor or "")) == [str(new)]
    assert FilesFeed(spec).pending(second.cursor) is None


@pytest.mark.parametrize("day", [2, 4], ids=["of one day", "that moved to another day"])
def test_days_that_are_read_again_leave_the_newest_version_of_a_row(tmp_path: Path, home: Home, day: int) -> None:
    source = Feeding(tmp_path, {"kind": "files", "path": str(tmp_path / "*.csv"), "new_files": True})
    for name, at, value, written in (("b.csv", 2, 1.5, 1_700_000_000), ("a.csv", day, 2.5, 1_800_000_000)):
        rows = f"1,2023-01-{at:02} 10:00:00,a,{value}\n2,soon,a,1\n" + "".join(
            f"{i},2023-01-02 10:00:00,a,7.5\n" for i in range(3, 300)
        )
        (tmp_path / name).write_text(f"reading_id,event_time,sensor,value\n{rows}")
        os.utime(tmp_path / name, (written, written))
    source.ingested()
    assert source.rows("reading_id, value")[0] == (1, 2.5)
    assert source.ingested(first_day="2023-01-02", last_day="2023-01-02")["rows_new_or_changed"] == 0
    assert source.rows("reading_id, value")[0] == (1, 2.5)


@pytest.mark.slow
def test_a_run_that_is_killed_between_files_is_resumed(tmp_path: Path, home: Home) -> None:
    for number in range(40):
        rows = "".join(f"{2 * number + i},2024-01-01 10:00:00,a,1.5\n" for i in range(2))
        (tmp_path / f"{number:02}.csv").write_text(f"reading_id,event_time,sensor,value\n{rows}")
    given = {"kind": "files", "path": str(tmp_path / "*.csv"), "new_files": True, "files_per_commit": 1}
    source = Feeding(tmp_path, given)
    source.ingest_and_kill(lambda: source.cursor() is not None)
    stored = source.ids()
    assert 0 < len(stored) < 80
    assert len(json.loads(source.cursor() or "{}")) == len(stored) // 2
    source.ingested()
    assert source.ids() == list(range(80))


def test_the_fingerprint_changes_with_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, THREE)
    before = reader(path).fingerprint()
    assert reader(path).fingerprint() == before
    os.utime(path, ns=(1, 1))
    assert reader(path).fingerprint() != before


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", r"some\.csv is empty"),
        (THREE[:-18], r"some\.csv, line 4: the number of fields is not that of the header. The file was cut off"),
        (THREE.replace("2,2018", "2018", 1), r"some\.csv, line 3: the number of fields"),
        (THREE + '4,2018-04-04 10:00:00,"6', r"some\.csv, line 5: a quote is opened and never closed"),
        (THREE.encode() + b"5,2018-04-05 10:00:00,\xe4\n", r"some\.csv, line 5: the text is not UTF-8"),
        (THREE.encode("utf-16"), r"some\.csv, line 1, is not UTF-8"),
        (THREE.replace(",", "^"), r"has no column `transaction_id`; it has transaction_id\^event_time\^amount"),
        (THREE.replace("event_time", "eventtime"), r"has no column `event_time`.*Did you mean `eventtime`\?"),
        (THREE.replace("amount", "event_time"), r"line 1: the column event_time is there twice"),
        (THREE.replace("2018-04-0", "04/01/201"), r"no value of `event_time`.* e\.g\. '04/01/201"),
    ],
    ids=["empty", "cut", "short", "quote", "latin1", "utf16", "delimiter", "column", "twice", "times"],
)
def test_a_file_that_cannot_be_read_as_a_whole_is_named_with_what_to_do(
    tmp_path: Path, content: str | bytes, says: str
) -> None:
    with pytest.raises(SourceError, match=says):
        reader(write(tmp_path, content)).read(*APRIL)


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.99])
def test_a_parquet_file_that_was_cut_off_is_named(tmp_path: Path, simulated: pa.Table, keep: float) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(simulated, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(SourceError, match=r"t\.parquet(: it is not a whole Parquet file| is empty)"):
        reader(path).available()


def test_a_parquet_file_damaged_inside_is_named_when_it_is_read(tmp_path: Path, simulated: pa.Table) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(simulated, path)
    content = bytearray(path.read_bytes())
    content[500:3000] = b"\xaa" * 2500
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"t\.parquet"):
        reader(path).read(*APRIL)


def test_a_path_that_matches_nothing_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=rf"no file matches data/\*\.csv \(looked in {tmp_path}\)"):
        reader(Path("data/*.csv")).available()
