"""dlt's side of benchmarks/ingest.py; runs in an environment that has dlt and not this platform."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import dlt

KEY = "reading_id"


def resource(told: dict[str, Any]) -> Any:
    """The rows as dlt's own sources, or its users, read them."""
    kind = told["kind"]
    if kind in {"csv", "json", "parquet", "s3"}:
        return files(told, "parquet" if kind in {"parquet", "s3"} else kind)
    if kind in {"postgres", "mysql"}:
        from dlt.sources.sql_database import sql_table

        return sql_table(credentials=told["url"], table="readings", schema=told.get("schema"), backend="pyarrow")
    if kind == "rest":
        from dlt.sources.rest_api import rest_api_source

        pages = {
            "type": "page_number",
            "base_page": 1,
            "page_param": "page",
            "total_path": None,
            "stop_after_empty_page": True,
        }
        client = {"base_url": told["url"], "paginator": pages}
        endpoint = {"path": "readings", "data_selector": "items"}
        source = rest_api_source({"client": client, "resources": [{"name": "readings", "endpoint": endpoint}]})
        return source.resources["readings"]
    return python(told)


def files(told: dict[str, Any], kind: str) -> Any:
    from dlt.sources.filesystem import filesystem, read_csv_duckdb, read_jsonl, read_parquet

    reader = {"csv": read_csv_duckdb(use_pyarrow=True), "json": read_jsonl(), "parquet": read_parquet(use_pyarrow=True)}
    found = filesystem(bucket_url=told["folder_of_files"], file_glob=told["glob"])
    return (found | reader[kind]).with_name("readings")


def python(told: dict[str, Any]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    @dlt.resource(name="readings")
    def readings() -> Any:
        for batch in pq.ParquetFile(told["file"]).iter_batches(50_000):
            yield pa.Table.from_batches([batch])

    return readings


def warm_up(folder: Path) -> None:
    """A load of two rows, so that what dlt imports on the way is there before the clock runs."""
    import pyarrow as pa

    pipeline = dlt.pipeline(
        "warm", pipelines_dir=str(folder), destination=dlt.destinations.duckdb(str(folder / "warm.duckdb"))
    )
    rows = dlt.resource([pa.table({KEY: [1, 2]})], name="warm", primary_key=KEY, write_disposition="merge")
    pipeline.run(rows)


def main() -> None:
    told = json.loads(sys.argv[1])
    folder = Path(told["folder"])
    folder.mkdir()
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    warm_up(folder)
    pipeline = dlt.pipeline(
        "readings", pipelines_dir=str(folder), destination=dlt.destinations.duckdb(str(folder / "d.duckdb"))
    )
    rows = resource(told)
    rows.apply_hints(primary_key=KEY, write_disposition="merge")
    began = time.perf_counter()
    pipeline.run(rows)
    seconds = time.perf_counter() - began
    with pipeline.sql_client() as client:
        there = client.execute_sql("SELECT count(*) FROM readings")[0][0]
    assert there == told["rows"], f"dlt loaded {there} of {told['rows']} rows"
    print(round(told["rows"] / seconds))


if __name__ == "__main__":
    main()
