"""A declared source finds its reader."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from mlplatform.errors import SpecError
from mlplatform.ingest.files import FilesReader, TableFiles
from mlplatform.ingest.open import open_reader, open_source, open_table
from mlplatform.spec import PythonSource
from mlplatform.spec.load import USE_CASES
from mlplatform_tests.ingest.conftest import declare

FRAUD = USE_CASES / "fraud"


def python(**fields: Any) -> PythonSource:
    given: dict[str, Any] = {"name": "transactions", "key": ["transaction_id"], "start": "2018-04-01"}
    return PythonSource(kind="python", **(given | fields))


def test_the_simulator_is_found_beside_the_declaration() -> None:
    reader = open_reader(python(params={"days": 2}), FRAUD)
    assert reader.available() == (date(2018, 4, 1), date(2018, 4, 3))


def test_files_need_no_folder(tmp_path: Path) -> None:
    assert isinstance(open_reader(declare(tmp_path / "t.csv"), tmp_path), FilesReader)


def test_a_source_without_a_time_is_a_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("transaction_id,amount\n1,a lot\n2,3\n")
    spec = declare(tmp_path / "t.csv").model_copy(update={"time_column": None, "partition": "none", "start": None})
    table = open_table(spec, tmp_path)
    assert isinstance(table, TableFiles)
    assert isinstance(open_source(spec, tmp_path), TableFiles)
    assert table.read_all().to_pylist() == [
        {"transaction_id": "1", "amount": "a lot"},
        {"transaction_id": "2", "amount": "3"},
    ]
    with pytest.raises(SpecError, match="has no time_column"):
        open_reader(spec, tmp_path)


def test_a_reader_of_a_table_must_read_it_whole(tmp_path: Path) -> None:
    (tmp_path / "source.py").write_text("class Reader:\n    def fingerprint(self): ...")
    spec = python().model_copy(update={"time_column": None})
    with pytest.raises(SpecError, match=r"lacks read_all; it must be `class Reader` with .*`read_all\(\)`"):
        open_table(spec, tmp_path)


def test_two_folders_may_hold_a_source_of_one_name(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        text = (
            "class Reader:\n"
            "    def __init__(self, params, spec): ...\n"
            "    def available(self): ...\n"
            "    def read(self, start, end): ...\n"
            f"    def fingerprint(self): return '{name}'\n"
        )
        (tmp_path / name / "source.py").write_text(text)
    assert [open_reader(python(), tmp_path / name).fingerprint() for name in "ab"] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, r"source\.py does not exist. Create it; it must hold `class Reader`"),
        ("x = 1", r"source\.py must hold `class Reader`"),
        ("class Reader:\n    def read(self): ...", r"Reader in .*source\.py lacks available, fingerprint"),
        (
            "import no_such_module",
            r"source\.py cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        ("class Reader(", r"source\.py cannot be loaded: SyntaxError"),
    ],
)
def test_a_source_file_that_is_not_right_is_named_with_what_it_must_hold(
    tmp_path: Path, text: str | None, says: str
) -> None:
    if text is not None:
        (tmp_path / "source.py").write_text(text)
    with pytest.raises(SpecError, match=says):
        open_reader(python(), tmp_path)
