"""A champion that is truly bad is taken back by itself: a service serves it, its labels come, and the sensor acts.

Days 0-69 train v1. Then the warehouse has a bug: for weeks every large amount is labelled a fraud. v2 learns it, beats
v1 on rows that have it, too, and is promoted. The bug is corrected while v2 serves, and the labels of what v2 answered
come as they are.
"""

import time
from collections.abc import Iterator

import httpx
import pandas as pd
import pytest

from mlplatform.cli.demo import free_port
from mlplatform.cli.serve import start_live
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.serving.launch import Served, stop_service
from mlplatform_tests.small_fraud import Platform, dagster_home, small_fraud

pytestmark = pytest.mark.slow
DATA = ["raw_transactions", "stg_transactions", "spine", "features"]
MODEL = ["training_set", "candidate_lightgbm", "candidate_logistic", "champion", "model_card", "bento", "deployment"]
WATCH = ["prediction_log", "outcomes", "performance_report", "succession"]
BUG = "UPDATE fraud.spine SET label = CAST(amount > 60 AS TINYINT) WHERE event_time >= '2018-05-14' AND label >= 0"


@pytest.fixture(scope="module")
def platform(module_home: Home) -> Iterator[Platform]:
    with dagster_home(module_home.dagster) as instance:
        yield Platform(small_fraud(days=112), instance)


@pytest.fixture(scope="module")
def service(platform: Platform, module_home: Home) -> Iterator[Served]:
    assert platform.run(days=70).success
    served = start_live("fraud", free_port(), module_home)
    yield served
    stop_service(served.pid)


def version(service: Served) -> str:
    return str(httpx.get(f"{service.url}/readyz").json()["model"]["version"])


def served_version_becomes(service: Served, wanted: str) -> bool:
    """The service looks at the pointer once a second."""
    ends = time.monotonic() + 30
    while version(service) != wanted and time.monotonic() < ends:
        time.sleep(0.2)
    return version(service) == wanted


def events(first: str, behind: str) -> list[dict[str, object]]:
    """What an application would have sent on these days."""
    with Lake.at(Home.current()).read() as con:
        rows = con.execute(
            "SELECT transaction_id, event_time, customer_id, terminal_id, amount FROM fraud.spine "
            "WHERE event_time >= ? AND event_time < ? ORDER BY event_time",
            [first, behind],
        ).df()
    rows["event_time"] = rows["event_time"].map(pd.Timestamp.isoformat)
    return [dict(row) for row in rows.to_dict("records")]


def test_a_champion_that_learned_a_bug_is_promoted_and_served(platform: Platform, service: Served) -> None:
    assert platform.run(DATA, days=84, first_day=70).success
    Lake.at(Home.current()).commit(lambda con: con.execute(BUG), "a bug in the labels")
    assert platform.run(MODEL).success
    assert platform.metadata("deployment")["model_version"] == 2
    assert served_version_becomes(service, "2")


def test_while_it_serves_nothing_is_known_and_nothing_happens(platform: Platform, service: Served) -> None:
    # dbt computes the spine again from the raw rows: the bug is corrected.
    assert platform.run(DATA, days=98, first_day=84).success
    asked = events("2018-07-01", "2018-07-08")
    assert len(asked) > 3000
    with httpx.Client(base_url=service.url, timeout=30) as client:
        for start in range(0, len(asked), 200):
            reply = client.post("/score", json={"rows": asked[start : start + 200], "explain": False})
            assert reply.status_code == 200, reply.text
            assert reply.json()["model"]["version"] == "2"
    assert platform.tick("fraud_succession").requests == []


def test_when_the_labels_have_come_the_predecessor_comes_back_by_itself(platform: Platform, service: Served) -> None:
    time.sleep(2)  # the journal is on disk within a second
    assert platform.run([*DATA, *WATCH], days=112, first_day=98).success
    told = platform.metadata("succession")
    assert told["verdict"] == "roll_back", told
    (request,) = platform.tick("fraud_succession").requests
    assert platform.start(request).success
    assert platform.metadata("deployment")["model_version"] == 1
    assert served_version_becomes(service, "1")
    assert "v2 is" in platform.metadata("rollback")["reason"]
    assert platform.tick("fraud_succession").requests == [], "once"
    assert "paused" in platform.tick("fraud_retrain").skipped
