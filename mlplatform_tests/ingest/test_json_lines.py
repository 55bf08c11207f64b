"""JSON lines: each member is a column, and what is no object is told."""

import gzip
import json
from pathlib import Path

import pytest

from mlplatform.errors import SourceError
from mlplatform.ingest.files import TableFiles
from mlplatform_tests.ingest.conftest import declare


def read(path: Path) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = (
        TableFiles(declare(path, key=["id"], time_column=None, start=None)).read_all().to_pylist()
    )
    return rows


def test_members_that_few_rows_have_are_columns_however_many_there_are(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"id": i, f"tag_{i}": i}) + "\n" for i in range(500)))
    rows = read(path)
    assert [row["id"] for row in rows] == [str(i) for i in range(500)]
    assert all(row[f"tag_{i}"] == str(i) for i, row in enumerate(rows))


def test_members_that_differ_in_case_keep_their_values(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 1, "a": "x", "A": "y"}\n{"id": 2, "A": "z"}\n')
    assert [list(row.values()) for row in read(path)] == [["1", "x", "y"], ["2", None, "z"]]


def test_a_member_may_be_called_json(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 1, "json": {"b": 2}}\n')
    assert read(path) == [{"id": "1", "json": '{"b":2}'}]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", r"a\.jsonl: there is no line with a JSON object that has a member"),
        ("{}\n", r"a\.jsonl: there is no line with a JSON object that has a member"),
        ("null\n", r"a\.jsonl: a line is `null`, which is no JSON object"),
        ('{"id": 1}\n5\n', r"a\.jsonl: a line is `5`, which is no JSON object"),
        ('[{"id": 1}]\n', r"a\.jsonl: a line is `\[.*\]`, which is no JSON object"),
    ],
    ids=["empty", "no member", "null", "number", "list"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_no_object_is_told(tmp_path: Path, content: str, says: str, packed: bool) -> None:
    path = tmp_path / ("a.jsonl.gz" if packed else "a.jsonl")
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    with pytest.raises(SourceError, match=says.replace("jsonl", r"jsonl(\.gz)?") + ".*Write one object a line"):
        read(path)
    (tmp_path / "b.jsonl").write_text('{"id": 1}\n')
    if not content:
        assert read(tmp_path / "*.jsonl*") == [{"id": "1"}]
