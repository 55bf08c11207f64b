"""`--from` names one file, whatever characters its name has."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from mlplatform.ingest.open import open_table
from mlplatform.ingest.place import found_files
from mlplatform.spec import FilesSource, load_declaration
from mlplatform_tests.scaffold.conftest import as_text, customers

New = Callable[..., Result]
NAMED = {"data[1].csv": "data1.csv", "export*.csv": "export_old.csv", "is it?.csv": "is it!.csv"}


def beside(project: Path, name: str) -> None:
    """300 rows in the file that is meant, 200 in one that its name would match as a pattern."""
    (project / name).write_text(as_text(customers(300)), encoding="utf-8")
    (project / NAMED[name]).write_text(as_text(customers(200)), encoding="utf-8")


@pytest.mark.parametrize("name", NAMED)
def test_the_declaration_names_that_file_alone(name: str, project: Path, new: New) -> None:
    beside(project, name)
    assert new(name).exit_code == 0
    [source] = load_declaration("shop", project / "use_cases").spec.sources
    assert isinstance(source, FilesSource)
    assert [Path(file.name).name for file in found_files(source)] == [name]


@pytest.mark.parametrize("name", NAMED)
def test_its_rows_are_looked_at_and_read(name: str, project: Path, new: New) -> None:
    beside(project, name)
    result = new(name)
    assert "300 rows" in result.output
    declared = load_declaration("shop", project / "use_cases")
    assert len(open_table(declared.spec.sources[0], declared.folder).read_all()) == 300


def test_a_name_may_begin_at_the_home_or_with_its_sign(
    project: Path, new: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(project.parent))
    (project / "data.csv").write_text(as_text(customers()), encoding="utf-8")
    (project / "~backup.csv").write_text(as_text(customers()), encoding="utf-8")
    assert new("~/shop/data.csv", "--look").exit_code == 0
    assert new("~backup.csv", "--look").exit_code == 0
    result = new("~nobody-at-all/data.csv")
    assert result.exit_code == 1
    assert "~nobody-at-all is nobody's home" in result.output
