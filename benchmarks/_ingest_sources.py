"""The servers and files of benchmarks/ingest.py, filled with the same rows."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from mlplatform.ingest.dialect import ATTACHED, DIALECTS
from mlplatform.lake.engine import engine
from mlplatform.lake.extensions import EXTENSIONS
from mlplatform_tests.brokers import PASSWORD, USER, mqtt_broker, nats_server
from mlplatform_tests.databases import (
    UserDatabase,
    mariadb_program,
    mariadb_server,
    postgres_programs,
    postgres_server,
)
from mlplatform_tests.feeding import Feeding
from mlplatform_tests.processes import s3_server
from mlplatform_tests.web import Answer, Asked, web_server

KINDS = (
    "csv",
    "json",
    "parquet",
    "s3",
    "sqlite",
    "postgres",
    "mysql",
    "rest",
    "python",
    "python_together",
    "nats",
    "mqtt",
)
FIRST = datetime(2024, 1, 1)


@dataclass(frozen=True)
class Prepared:
    """One source, ready to be read."""

    feeding: Feeding
    plain: Callable[[Path], None]
    """Puts the same rows into a DuckLake in a folder, with DuckDB alone."""
    for_dlt: dict[str, Any] | None = None
    """What dlt is told; None where it has no source for it."""


def table(rows: int) -> pa.Table:
    """Readings: an integer key, a time, one of 1,000 names and a number; one second apart."""
    at = np.datetime64(FIRST, "us") + np.arange(rows) * np.timedelta64(1_000_000, "us")
    names = pa.array([f"sensor-{number}" for number in range(1000)]).take(pa.array(np.arange(rows) % 1000))
    value = np.random.default_rng(1).normal(20, 3, rows)
    return pa.table({"reading_id": np.arange(rows), "event_time": at, "sensor": names, "value": value})


@contextmanager
def prepared(kind: str, rows: int, folder: Path) -> Iterator[Prepared]:
    """A source of a kind that holds `rows` rows."""
    with ExitStack() as open_servers:
        yield _PREPARE.get(kind, _prepare_database)(kind, table(rows), folder, open_servers)


def in_lake(folder: Path, selected: str, rows: pa.Table | None = None, before: tuple[str, ...] = ()) -> None:
    """One INSERT of what is `selected` into a DuckLake."""
    folder.mkdir()
    extensions = (*EXTENSIONS, *dict.fromkeys(name for name in _extra(before)))
    with engine(extensions) as con:
        for statement in before:
            con.execute(statement.partition(":")[2] if statement.startswith("ext:") else statement)
        con.execute(f"ATTACH 'ducklake:sqlite:{folder}/c.sqlite' AS lake (DATA_PATH '{folder}/data')")
        if rows is not None:
            con.register("given", rows)
        con.execute(f"CREATE TABLE lake.readings AS {selected}")


def _extra(before: tuple[str, ...]) -> Iterator[str]:
    for name, dialect in DIALECTS.items():
        if any(f"TYPE {name}" in statement for statement in before):
            yield from dialect.extensions
    if any("TYPE s3" in statement for statement in before):
        yield "httpfs"


def _from_memory(rows: pa.Table) -> Callable[[Path], None]:
    return lambda folder: in_lake(folder, "FROM given", rows)


def _prepare_file(kind: str, rows: pa.Table, folder: Path, _: ExitStack) -> Prepared:
    (folder / "files").mkdir()
    path = folder / "files" / f"readings.{'jsonl' if kind == 'json' else kind}"
    reader = {"csv": "read_csv", "json": "read_json", "parquet": "read_parquet"}[kind]
    if kind == "csv":
        pacsv.write_csv(rows, path)
    elif kind == "parquet":
        pq.write_table(rows, path)
    else:
        with engine() as con:
            con.register("given", rows)
            con.execute(f"COPY given TO '{path}' (FORMAT json)")
    source = {"kind": "files", "path": str(path), "new_files": True}
    told = {"kind": kind, "folder_of_files": f"file://{folder}/files", "glob": path.name}
    return Prepared(Feeding(folder, source), lambda to: in_lake(to, f"FROM {reader}('{path}')"), told)


def _prepare_s3(_: str, rows: pa.Table, folder: Path, servers: ExitStack) -> Prepared:
    import boto3

    port = servers.enter_context(s3_server(folder / "s3.log"))
    os.environ |= {"SHOP_KEY": "k", "SHOP_SECRET": "s"}
    pq.write_table(rows, folder / "readings.parquet")
    host = f"127.0.0.1:{port}"
    keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "us-east-1"}
    s3 = boto3.client("s3", endpoint_url=f"http://{host}", **keys)
    s3.create_bucket(Bucket="shop")
    s3.upload_file(str(folder / "readings.parquet"), "shop", "readings.parquet")
    access = {"kind": "s3", "endpoint": f"http://{host}", "key_variable": "SHOP_KEY", "secret_variable": "SHOP_SECRET"}
    source = {"kind": "files", "path": "s3://shop/*.parquet", "access": access, "new_files": True}
    secret = (
        f"CREATE OR REPLACE SECRET source (TYPE s3, KEY_ID 'k', SECRET 's', ENDPOINT '{host}', URL_STYLE 'path', "
        "USE_SSL false, REGION 'us-east-1')"
    )
    plain = "FROM read_parquet('s3://shop/*.parquet')"
    return Prepared(Feeding(folder, source), lambda to: in_lake(to, plain, before=(secret,)))


def _prepare_database(kind: str, rows: pa.Table, folder: Path, servers: ExitStack) -> Prepared:
    told: dict[str, Any] | None = None
    if kind == "sqlite":
        place = str(folder / "shop.sqlite")
        database = UserDatabase({"engine": kind, "path": place}, place)
    else:
        program = postgres_programs() if kind == "postgres" else mariadb_program()
        assert program is not None, f"no {kind} server is installed"
        server: Any = servers.enter_context((postgres_server if kind == "postgres" else mariadb_server)(program))  # type: ignore[operator]
        place = server.dsn()
        database = UserDatabase({"engine": kind, "dsn_variable": "SHOP_DATABASE"}, place)
        os.environ["SHOP_DATABASE"] = place
        driver = {"postgres": "postgresql+psycopg2", "mysql": "mysql+pymysql"}[kind]
        told = {"kind": kind, "url": f"{driver}://{place.partition('://')[2]}"}
    database.store("readings", rows)
    if kind != "sqlite":
        database.run("CREATE INDEX by_id ON readings (reading_id)")
    cursor = {"column": "reading_id"}
    source = {"kind": "sql", "database": database.declared, "table": "readings", "cursor": cursor}
    attach = DIALECTS[kind].attach(place)
    selected = f"FROM {ATTACHED}.readings"
    return Prepared(Feeding(folder, source), lambda to: in_lake(to, selected, before=tuple(attach)), told)


def _prepare_rest(kind: str, rows: pa.Table, folder: Path, servers: ExitStack) -> Prepared:
    size = 10_000
    frame = rows.set_column(1, "event_time", rows["event_time"].cast(pa.string())).to_pylist()
    pages = [json.dumps({"items": frame[at : at + size]}).encode() for at in range(0, len(frame), size)]

    def answer(asked: Asked) -> Answer:
        number = int(asked.query["page"]) - 1
        return Answer(
            pages[number] if number < len(pages) else b'{"items": []}', headers={"Content-Type": "application/json"}
        )

    web = servers.enter_context(web_server(answer))
    source: dict[str, Any] = {"kind": "rest", "url": web.url("/readings"), "rows": "items", "pages": {"kind": "number"}}
    source |= {"cursor": {"param": "since", "column": "reading_id", "ascending": True}}
    return Prepared(Feeding(folder, source), _from_memory(rows), {"kind": kind, "url": web.url("/")})


def _prepare_python(kind: str, rows: pa.Table, folder: Path, _: ExitStack) -> Prepared:
    path = folder / "readings.parquet"
    pq.write_table(rows, path)
    (folder / "source.py").write_text(
        "import pyarrow as pa\nimport pyarrow.parquet as pq\n\n\ndef readings(params, cursor):\n"
        f"    for number, batch in enumerate(pq.ParquetFile({str(path)!r}).iter_batches(50_000)):\n"
        "        yield pa.Table.from_batches([batch]), str(number)\n"
    )
    source: dict[str, Any] = {"kind": "python", "function": "readings"}
    source |= {"rows_per_commit": 1_000_000} if kind == "python_together" else {}
    return Prepared(Feeding(folder, source), _from_memory(rows), {"kind": kind, "file": str(path)})


def _messages(rows: pa.Table) -> list[bytes]:
    frame = rows.set_column(1, "event_time", rows["event_time"].cast(pa.string())).to_pylist()
    return [json.dumps(row).encode() for row in frame]


def _login() -> dict[str, str]:
    os.environ |= {"BROKER_USER": USER, "BROKER_PASSWORD": PASSWORD}
    return {"user_variable": "BROKER_USER", "password_variable": "BROKER_PASSWORD"}


def _prepare_nats(_: str, rows: pa.Table, folder: Path, servers: ExitStack) -> Prepared:
    server = nats_server(folder)
    servers.enter_context(server.up())
    server.make_stream()
    asyncio.run(_fill_nats(server.url, _messages(rows)))
    broker = {"kind": "nats", "url": server.url, "stream": "PLANT", **_login()}
    source = {"kind": "stream", "broker": broker, "rows_per_commit": 50_000, "seconds_per_run": 3600}
    return Prepared(Feeding(folder, source), _from_memory(rows))


async def _fill_nats(url: str, messages: list[bytes]) -> None:
    import nats

    client = await nats.connect(url, user=USER, password=PASSWORD)
    stream = client.jetstream(publish_async_max_pending=100_000)
    for at in range(0, len(messages), 1_000):
        # One by one each would wait for the server's answer; all at once the last would wait too long.
        part = messages[at : at + 1_000]
        await asyncio.gather(*(stream.publish("plant.a", message, timeout=60) for message in part))
    await client.close()


def _prepare_mqtt(_: str, rows: pa.Table, folder: Path, servers: ExitStack) -> Prepared:
    broker = mqtt_broker(folder)
    servers.enter_context(broker.up())
    place = {"kind": "mqtt", "host": "127.0.0.1", "port": broker.port, "topic": "plant/#", "client": "lake", **_login()}
    source = {"kind": "stream", "broker": place, "rows_per_commit": 50_000, "seconds_per_run": 3600}
    from mlplatform.ingest.mqtt import MqttFeed

    feeding = Feeding(folder, source)
    declared = feeding.declaration.spec.sources[0]
    assert declared.kind == "stream"
    assert MqttFeed(declared).pending(None) is None, "the first visit makes the broker keep what comes"
    messages = _messages(rows)
    for at in range(0, len(messages), 50_000):
        broker.publish(messages[at : at + 50_000])
    return Prepared(feeding, _from_memory(rows))


_PREPARE: dict[str, Callable[[str, pa.Table, Path, ExitStack], Prepared]] = {
    **dict.fromkeys(("csv", "json", "parquet"), _prepare_file),
    "s3": _prepare_s3,
    "rest": _prepare_rest,
    **dict.fromkeys(("python", "python_together"), _prepare_python),
    "nats": _prepare_nats,
    "mqtt": _prepare_mqtt,
}
