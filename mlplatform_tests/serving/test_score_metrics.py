"""What /metrics says of features that are computed in the service, over a real lake."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlplatform.contracts.rules import Rule
from mlplatform.home import Home
from mlplatform.lake.feature_query import AskedBy, FeatureQuery, HistoryTable
from mlplatform.lake.lake import Lake
from mlplatform.serving.app import create_app
from mlplatform.serving.bundle import load_bundle, write_manifest
from mlplatform.serving.raw.features import RawFeatures
from mlplatform.serving.raw.settings import RawSettings
from mlplatform.serving.scoring import Live, Slot
from mlplatform_tests.serving.conftest import MakeBundle
from mlplatform_tests.serving.test_watch import figures_of

SPINE = (("tx", "BIGINT"), ("customer", "BIGINT"), ("event_time", "TIMESTAMP"), ("amount", "DOUBLE"))
FIELDS = (
    Rule(name="tx", type="integer", example=1),
    Rule(name="customer", type="integer", example=1),
    Rule(name="event_time", type="timestamp", example="2018-08-01T00:00:00"),
    Rule(name="amount", type="float", minimum=0, example=1.0),
)
QUERY = FeatureQuery(
    use_case="fraud",
    sql=(
        "SELECT s.tx, s.amount, (SELECT count(*) FROM lake.raw.paid AS p WHERE p.customer = s.customer) AS count_7d, "
        "false AS is_night, 'chip' AS channel, NULL::DOUBLE AS risk, 2::BIGINT AS weekday FROM lake.raw.spine AS s"
    ),
    table="fraud.features",
    spine="raw.spine",
    key="tx",
    time="event_time",
    history=(HistoryTable("raw.paid", "event_time", 30, {}, ("customer",)),),
    asked_by=AskedBy("raw.paid", tuple(rule.name for rule in FIELDS), None, "raw.paid"),
)


@pytest.fixture
def raw(home: Home, lake: Lake) -> RawFeatures:
    lake.create()

    def past(con: Any) -> None:
        con.execute("CREATE SCHEMA IF NOT EXISTS raw")
        con.execute(
            "CREATE TABLE raw.paid AS SELECT i::BIGINT AS tx, 7::BIGINT AS customer, "
            "TIMESTAMP '2018-08-01' AS event_time, 5.0::DOUBLE AS amount FROM range(3) AS t(i)"
        )

    lake.commit(past, "three payments")
    return RawFeatures(home)


@pytest.fixture
def scoring(make_bundle: MakeBundle, raw: RawFeatures) -> Live:
    folder: Path = make_bundle("1")
    RawSettings(QUERY, FIELDS, SPINE).save(folder)
    write_manifest(folder, "fraud", "1", {"run_id": "run-1"})
    live = Live.of(load_bundle(folder), "fraud:v1")
    raw.adopt(live)
    return live


async def test_batches_the_history_and_the_events_seen_are_told_of(scoring: Live, raw: RawFeatures) -> None:
    app = create_app(Slot(scoring), raw=raw)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        event = {"customer": 7, "event_time": "2018-08-01T12:00:00", "amount": 9.0}
        answers = await asyncio.gather(*(client.post("/score", json={"tx": tx, **event}) for tx in (100, 101, 102)))
        figures = await figures_of(client)

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert figures["mlplatform_feature_batch_rows_sum", "1"] == 3
    assert figures["mlplatform_stage_duration_seconds_count", "/score", "features", "1"] == 3
    assert figures["mlplatform_history_rows", "1"] == 3
    assert figures["mlplatform_history_newest_timestamp_seconds", "1"] == 1533081600
    assert figures["mlplatform_events_seen", "1"] == 3
    assert figures["mlplatform_history_refused", "1"] == 0
