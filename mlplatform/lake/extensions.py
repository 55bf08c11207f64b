"""DuckDB's extensions, taken from the pinned wheels, so that nothing is downloaded."""

import importlib.util
import os
import shutil
from pathlib import Path

import duckdb

from mlplatform.errors import LakeError

__all__ = ["EXTENSIONS", "HTTPFS", "MYSQL", "POSTGRES", "SQLITE", "copy_extensions", "extension_file"]

SQLITE, POSTGRES, MYSQL, HTTPFS = "sqlite_scanner", "postgres_scanner", "mysql_scanner", "httpfs"

EXTENSIONS = ("ducklake", SQLITE)
"""What the lake needs, and dbt. The others are read by sources only: nobody else pays for loading their 42 MB."""


def extension_file(name: str) -> Path:
    """The extension file inside its wheel, built for exactly this DuckDB.

    Raises:
        LakeError: the wheel is missing, or was built for another DuckDB.
    """
    wheel = f"duckdb-extension-{name.replace('_', '-')}"
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    if spec is None or spec.origin is None:
        raise LakeError(f"the package {wheel} is not installed; run `make setup`")
    path = Path(spec.origin).parent / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    if not path.exists():
        raise LakeError(
            f"{wheel} holds no extension for DuckDB {duckdb.__version__}; install {wheel}=={duckdb.__version__}"
        )
    return path


def copy_extensions(folder: Path) -> Path:
    """Lay the extensions out as DuckDB's `extension_directory`, for dbt, whose INSTALL then downloads nothing."""
    platform = duckdb.sql("SELECT platform FROM pragma_platform()").fetchall()[0][0]
    target = folder / f"v{duckdb.__version__}" / platform
    target.mkdir(parents=True, exist_ok=True)
    for name in EXTENSIONS:
        source, copy = extension_file(name), target / f"{name}.duckdb_extension"
        if not copy.exists() or copy.stat().st_size != source.stat().st_size:
            # Another process may be loading the file: it must never see half of one.
            part = copy.with_suffix(f".{os.getpid()}")
            shutil.copyfile(source, part)
            part.replace(copy)
    return folder
