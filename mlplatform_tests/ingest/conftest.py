"""Transactions as a person might have them: own column names, in a CSV or a Parquet file."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mlplatform.ingest.files import FilesReader
from mlplatform.spec import FilesSource, PythonSource
from mlplatform.use_cases.fraud.source import Reader


def declare(path: Path, **fields: Any) -> FilesSource:
    given: dict[str, Any] = {"name": "transactions", "key": ["transaction_id"], "start": "2018-04-01"}
    return FilesSource(kind="files", path=str(path), **(given | fields))


def reader(path: Path, **fields: Any) -> FilesReader:
    return FilesReader(declare(path, **fields))


@pytest.fixture(scope="session")
def simulated() -> pa.Table:
    """5 days, about 4,000 rows."""
    params = {"days": 5, "customers": 400, "terminals": 800}
    spec = PythonSource(name="transactions", kind="python", key=["transaction_id"], start="2018-04-01")
    source = Reader(params, spec)
    return source.read(*source.available())
