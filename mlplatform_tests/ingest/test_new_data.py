"""The new-data sensor over sources that go on: one run for each change, and none before there is a row."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlplatform.home import Home
from mlplatform.spec import Declaration
from mlplatform.spec import UseCase as UseCaseSpec
from mlplatform_tests.brokers import PASSWORD, USER, mqtt_broker
from mlplatform_tests.small_fraud import Platform, dagster_home, small_fraud
from mlplatform_tests.web import Answer, web_server

FUNCTION = """
import pandas as pd


def rows(params, cursor):
    yield pd.read_json({path!r})
"""
RAW = dg.AssetKey(["fraud", "raw_transactions"])


def transaction(amount: float) -> dict[str, Any]:
    given = {"transaction_id": 1, "event_time": "2018-04-01 10:00:00", "customer_id": 1, "terminal_id": 2}
    return given | {"amount": amount, "is_fraud": 0}


@pytest.fixture
def instance(prepared: Home) -> Iterator[dg.DagsterInstance]:
    with dagster_home(prepared.dagster) as found:
        yield found


class Daemon:
    """Starts what the sensor asks for, each run key once, as the daemon does."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance, source: dict[str, Any]) -> None:
        fraud = small_fraud()
        given = {"name": "transactions", "key": ["transaction_id"], "partition": "none", **source}
        content = fraud.spec.model_dump() | {"sources": [given]}
        if source["kind"] == "python":
            (folder / "contract.py").write_text((fraud.folder / "contract.py").read_text())
            fraud = Declaration(fraud.spec, folder)
        self.platform = Platform(Declaration(UseCaseSpec.model_validate(content), fraud.folder), instance)
        self._keys: set[str] = set()

    def runs(self, *, succeed: bool = True) -> int:
        """How many runs a tick starts. Of each only the ingestion is done; one that is not to succeed is recorded."""
        asked = [one for one in self.platform.tick("fraud_new_data").requests if one.run_key not in self._keys]
        for request in asked:
            self._keys.add(str(request.run_key))
            done = self.platform.launch("fraud_everything", dict(request.tags), [RAW])
            assert done.success
            if not succeed:
                self.platform.instance.report_run_failed(self.platform.instance.get_run_by_id(done.run_id))
        return len(asked)


@pytest.fixture(params=["python", "rest"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """A source without a cursor, and the file whose rows it gives."""
    path = tmp_path / "rows.json"
    if request.param == "python":
        (tmp_path / "source.py").write_text(FUNCTION.format(path=str(path)))
        yield {"kind": "python", "function": "rows"}, path
    else:
        with web_server(lambda _: Answer(path.read_bytes(), headers={"Content-Type": "application/json"})) as web:
            yield {"kind": "rest", "url": web.url("/rows")}, path


def test_content_that_comes_back_after_another_one_is_a_change_and_leads_to_one_run(
    served: tuple[dict[str, Any], Path], tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    source, path = served
    path.write_text(json.dumps([transaction(1.0)]))
    daemon = Daemon(tmp_path, instance, source)
    started = []
    for amount in (1.0, 2.0, 1.0, 2.0, 1.0):
        path.write_text(json.dumps([transaction(amount)]))
        started.append([daemon.runs() for _ in range(3)])
    assert started == [[1, 0, 0]] * 5


def test_content_that_comes_back_while_the_run_of_another_one_failed_is_read_again(
    served: tuple[dict[str, Any], Path], tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    source, path = served
    path.write_text(json.dumps([transaction(1.0)]))
    daemon = Daemon(tmp_path, instance, source)
    assert daemon.runs() == 1
    path.write_text(json.dumps([transaction(2.0)]))
    assert daemon.runs(succeed=False) == 1
    path.write_text(json.dumps([transaction(1.0)]))
    assert [daemon.runs() for _ in range(3)] == [1, 0, 0]
    assert daemon.platform.metadata("raw_transactions")["rows_new_or_changed"] == 1


def test_a_stream_that_has_had_no_message_is_asked_for_nothing_until_one_comes(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_USER", USER)
    monkeypatch.setenv("BROKER_PASSWORD", PASSWORD)
    broker = mqtt_broker(tmp_path)
    with broker.up():
        place = {"kind": "mqtt", "host": "127.0.0.1", "port": broker.port, "topic": "shop/#", "client": "lake"}
        place |= {"user_variable": "BROKER_USER", "password_variable": "BROKER_PASSWORD"}
        daemon = Daemon(tmp_path, instance, {"kind": "stream", "broker": place, "quiet_seconds": 0.3})
        tick = daemon.platform.tick("fraud_new_data")
        assert (tick.requests, tick.skipped) == ([], "no source of fraud has a row yet")
        # The look itself was the visit from which on the broker keeps what comes.
        broker.publish([transaction(1.0)], "shop/till")
        assert [daemon.runs() for _ in range(2)] == [1, 0]
        assert daemon.platform.metadata("raw_transactions")["dagster/row_count"] == 1
