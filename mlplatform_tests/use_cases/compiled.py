"""The compiled models of any use case, on rows that a test makes up, in a DuckDB of their own."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd

from mlplatform.home import Home
from mlplatform.lake.feature_query import FeatureQuery
from mlplatform.resources.dbt import _dbt

__all__ = ["Models", "compile_models"]


@dataclass(frozen=True)
class Models:
    """The compiled text of each model, in an order in which they can be built."""

    use_case: str
    texts: Mapping[str, str]
    query: FeatureQuery

    @contextmanager
    def built(self, raw: Mapping[str, pd.DataFrame]) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection whose current database holds the raw tables and every model."""
        with duckdb.connect(config={"threads": "1"}) as con:
            con.execute("ATTACH ':memory:' AS lake")
            con.execute(f"CREATE SCHEMA lake.raw_{self.use_case}; CREATE SCHEMA lake.{self.use_case}; USE lake")
            for name, rows in raw.items():
                con.register("_rows", rows)
                con.execute(f"CREATE TABLE raw_{self.use_case}.{name} AS FROM _rows")
            for name, text in self.texts.items():
                con.execute(f"CREATE TABLE {self.use_case}.{name} AS {text}")
            yield con

    def table(self, raw: Mapping[str, pd.DataFrame], name: str) -> pd.DataFrame:
        """One model's rows, in the order of their key where they have one."""
        with self.built(raw) as con:
            found = con.execute(f"FROM {self.use_case}.{name}").df()
        return found.sort_values("example_id", ignore_index=True) if "example_id" in found else found


def compile_models(use_case: str, folder: Path) -> Models:
    """Compile with dbt (about 6 s, mostly its own imports); `folder` is empty and is written to."""
    target = folder / "target"
    what = ["--select", f"fqn:*.{use_case}.*", "--no-populate-cache", "--target-path", str(target)]
    _dbt(Home(folder / "home"), "compile", *what)
    manifest = target / "manifest.json"
    nodes = {
        node["name"]: node
        for node in json.loads(manifest.read_text())["nodes"].values()
        if node["resource_type"] == "model" and node["fqn"][1] == use_case
    }
    texts = {nodes[name]["alias"]: nodes[name]["compiled_code"] for name in _in_order(nodes)}
    return Models(use_case, texts, FeatureQuery.from_manifest(manifest, use_case))


def _in_order(nodes: Mapping[str, Mapping[str, object]]) -> list[str]:
    done: list[str] = []
    while len(done) < len(nodes):
        done += [name for name in nodes if name not in done and set(_parents(nodes, name)) <= set(done)]
    return done


def _parents(nodes: Mapping[str, Mapping[str, object]], name: str) -> list[str]:
    parents: list[str] = nodes[name]["depends_on"]["nodes"]  # type: ignore[index]
    return [parent.split(".")[-1] for parent in parents if parent.split(".")[-1] in nodes]
