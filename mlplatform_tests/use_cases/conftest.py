"""The compiled models of the diagnosis use case, on rows that a test makes up."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from mlplatform.home import Home
from mlplatform.lake.feature_query import FeatureQuery
from mlplatform.resources.dbt import _dbt

MODELS = ("stg_people", "stg_measurements", "stg_diagnoses", "spine", "features")
Build = Callable[[Mapping[str, pd.DataFrame]], "contextmanager[duckdb.DuckDBPyConnection]"]  # type: ignore[valid-type]


@pytest.fixture(scope="session")
def diagnosis_manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dbt's manifest with the compiled text of every model of the use case (about 6 s)."""
    home, target = Home(tmp_path_factory.mktemp("home")), tmp_path_factory.mktemp("target")
    _dbt(home, "compile", "--select", "fqn:*.diagnosis.*", "--no-populate-cache", "--target-path", str(target))
    return target / "manifest.json"


@pytest.fixture(scope="session")
def diagnosis_query(diagnosis_manifest: Path) -> FeatureQuery:
    return FeatureQuery.from_manifest(diagnosis_manifest, "diagnosis")


@pytest.fixture(scope="session")
def build(diagnosis_manifest: Path) -> Build:
    """Runs the models on raw tables `people`, `measurements` and `diagnoses`, in a DuckDB of their own."""
    nodes = json.loads(diagnosis_manifest.read_text())["nodes"]
    texts = {name: nodes[f"model.mlplatform.diagnosis_{name}"]["compiled_code"] for name in MODELS}

    @contextmanager
    def built(tables: Mapping[str, pd.DataFrame]) -> Iterator[duckdb.DuckDBPyConnection]:
        with duckdb.connect(config={"threads": "1"}) as con:
            con.execute("ATTACH ':memory:' AS lake")
            con.execute("CREATE SCHEMA lake.raw_diagnosis; CREATE SCHEMA lake.diagnosis; USE lake")
            for name, rows in tables.items():
                con.register("_rows", rows)
                con.execute(f"CREATE TABLE raw_diagnosis.{name} AS FROM _rows")
            for name, text in texts.items():
                con.execute(f"CREATE TABLE diagnosis.{name} AS {text}")
            yield con

    return built
