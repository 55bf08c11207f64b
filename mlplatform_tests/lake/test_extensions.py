from pathlib import Path

import duckdb
import pytest

from mlplatform.errors import LakeError
from mlplatform.lake.extensions import EXTENSIONS, POSTGRES, copy_extensions, extension_file


def test_each_extension_is_in_its_wheel() -> None:
    assert all(extension_file(name).stat().st_size > 1_000_000 for name in (*EXTENSIONS, POSTGRES))


def test_a_missing_wheel_is_named_with_what_to_do() -> None:
    with pytest.raises(LakeError, match="duckdb-extension-not-there is not installed; run `make setup`"):
        extension_file("not_there")


def test_a_wheel_for_another_duckdb_is_named_with_the_version_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duckdb, "__version__", "9.9.9")
    with pytest.raises(LakeError, match=r"holds no extension for DuckDB 9\.9\.9; install .*==9\.9\.9"):
        extension_file("ducklake")


def test_install_finds_the_copies_and_copying_again_leaves_them_alone(tmp_path: Path) -> None:
    folder = copy_extensions(tmp_path / "extensions")
    copied = {path: path.stat().st_mtime_ns for path in folder.rglob("*.duckdb_extension")}
    assert len(copied) == len(EXTENSIONS)
    copy_extensions(folder)
    assert {path: path.stat().st_mtime_ns for path in copied} == copied
    config: dict[str, str | bool | int | float | list[str]] = {
        "extension_directory": str(folder),
        # Were a copy not found, INSTALL would have to go here, where nothing is.
        "custom_extension_repository": str(tmp_path / "nothing"),
    }
    with duckdb.connect(config=config) as con:
        for name in EXTENSIONS:
            con.execute(f"INSTALL {name}")
            con.execute(f"LOAD {name}")
