"""A bento that a running service cannot load: the old one answers on, and people hear of it, once, where they look.

A real `bentoml serve`, the real asset, sensor and commands, a real receiver of alerts. Nothing is trained: bundles are
made small, and Dagster is told of a bento as packaging would tell it.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
from click.testing import CliRunner

from mlplatform.cli import main
from mlplatform.home import Home
from mlplatform.serving.build import BuiltBento, build_bento
from mlplatform.serving.bundle import write_manifest
from mlplatform.serving.launch import Served, start_service, stop_service
from mlplatform.serving.pointer import read_pointer, write_pointer
from mlplatform.stages.naming import asset_key
from mlplatform.stages.served_check import serving_workers
from mlplatform_tests.alerts.conftest import Receiver, receiver  # noqa: F401 - a fixture
from mlplatform_tests.processes import free_port
from mlplatform_tests.serving.conftest import GOOD, write_bundle
from mlplatform_tests.small_fraud import Platform, dagster_home, failed_checks, small_fraud

# bentoml 1.4.40 is older than these deprecations of pydantic (at its import) and of importlib (at a build).
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.io_models"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.images"),
]
HOOK = "FRAUD_TEST_HOOK"
ROUTES = [{"kind": "log"}, {"kind": "webhook", "url_env": HOOK}]


@pytest.fixture(scope="module")
def platform(module_home: Home) -> Iterator[Platform]:
    with dagster_home(module_home.dagster) as instance:
        yield Platform(small_fraud(alerts=ROUTES), instance)


@pytest.fixture(scope="module")
def first(module_home: Home) -> BuiltBento:
    return build_bento(write_bundle(module_home.root / "v1", "1"), "fraud", 1, home=module_home)


@pytest.fixture(scope="module")
def second(module_home: Home) -> BuiltBento:
    return build_bento(write_bundle(module_home.root / "v2", "2"), "fraud", 2, home=module_home)


@pytest.fixture(scope="module")
def service(platform: Platform, first: BuiltBento, module_home: Home) -> Iterator[Served]:
    packaged(platform, first, 1)
    assert platform.run(["deployment"]).success
    running = start_service(first.tag, free_port(), module_home, module_home.deployment("fraud"))
    yield running
    stop_service(running.pid)


def packaged(platform: Platform, built: BuiltBento, version: int) -> None:
    told = {"bento": built.tag, "model_version": version, "path": dg.MetadataValue.path(str(built.path))}
    platform.instance.report_runless_asset_event(
        dg.AssetMaterialization(asset_key(platform.declaration, "bento"), metadata=told)
    )


def version_of(service: Served) -> str:
    reply = httpx.post(f"{service.url}/predict", json=GOOD, timeout=10, trust_env=False)
    assert reply.status_code == 200
    return str(reply.json()["model"]["version"])


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


def misfit(bundle: Path, version: str) -> None:
    """Sealed again, so that its hashes are right, but of another width than its model: only loading it finds out."""
    described = json.loads((bundle / "model.json").read_text())
    (bundle / "model.json").write_text(json.dumps({**described, "features": described["features"][:-1]}))
    write_manifest(bundle, "fraud", version)


def told_of(receiver: Receiver) -> list[str]:  # noqa: F811
    return [str(body["title"]) for body in receiver.bodies]


def status() -> dict[str, Any]:
    told = CliRunner().invoke(main, ["status", "--json"])
    [fraud] = [each for each in json.loads(told.output)["use_cases"] if each["use_case"] == "fraud"]
    return dict(fraud)


def test_a_deployment_that_services_take_up_passes_its_check(
    platform: Platform, service: Served, first: BuiltBento, module_home: Home
) -> None:
    wait_for(lambda: len(serving_workers(module_home.deployment("fraud"))) == 1)
    result = platform.run(["deployment"])

    assert result.success
    assert failed_checks(result) == set()
    [check] = result.get_asset_check_evaluations()
    assert check.description == f"1 of 1 workers serve {first.tag}"
    assert [worker["bento"] for worker in status()["workers"]] == [first.tag]
    assert version_of(service) == "1"


def test_a_bento_that_cannot_be_loaded_leaves_the_old_one_serving_and_raises_the_alarm_once(
    platform: Platform,
    service: Served,
    first: BuiltBento,
    second: BuiltBento,
    receiver: Receiver,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(HOOK, receiver.url)
    platform.tick("fraud_healing")
    misfit(second.bundle, "2")
    packaged(platform, second, 2)
    result = platform.run(["deployment"])

    assert result.success, "what is deployed is deployed"
    assert failed_checks(result) == {"served"}
    assert version_of(service) == "1"
    for sensor in ("fraud_watchdog", "fraud_healing", "fraud_watchdog", "fraud_healing"):
        platform.tick(sensor)
    alarms = [title for title in told_of(receiver) if second.tag in title and "is live" not in title]
    assert len(alarms) == 1
    assert alarms[0].startswith(f"{second.tag} is refused by the service of fraud since 20")
    assert alarms[0].endswith(f"; {first.tag} answers")


def test_status_and_doctor_say_what_is_served_and_what_was_refused_and_why(
    service: Served, first: BuiltBento, second: BuiltBento
) -> None:
    assert version_of(service) == "1"
    told, found = CliRunner().invoke(main, ["status"]).output, status()
    doctor = CliRunner().invoke(main, ["doctor"])

    assert f"deployed                        {second.tag} since" in told
    assert f"served                          {first.tag} by 1 worker" in told
    assert f"refused                         {second.tag} by 1 worker since" in told
    assert found["workers"][0]["refused"]["why"] in told
    assert doctor.exit_code == 1
    assert f"✗ watch fraud              {second.tag} is refused by the service of fraud" in doctor.output


def test_the_same_bento_mended_is_tried_again_when_it_is_deployed_again(
    platform: Platform, service: Served, second: BuiltBento, module_home: Home
) -> None:
    write_bundle(second.bundle, "2")
    result = platform.run(["deployment"])

    assert failed_checks(result) == set()
    assert version_of(service) == "2"
    assert status()["workers"][0]["refused"] is None
    assert "services are well" in platform.tick("fraud_watchdog").skipped
    assert platform.metadata("deployment")["changed"] is False


def test_a_pointer_that_nobody_can_read_is_an_alarm_too(
    platform: Platform,
    service: Served,
    module_home: Home,
    receiver: Receiver,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(HOOK, receiver.url)
    file = module_home.deployment("fraud")
    before = read_pointer(file)
    file.write_text("{")
    wait_for(lambda: any(worker.refused for worker in serving_workers(file)))
    platform.tick("fraud_watchdog")
    answered = version_of(service)
    write_pointer(file, replace(before, deployed_at="2026-01-01T00:00:00+00:00"))
    wait_for(lambda: not any(worker.refused for worker in serving_workers(file)))

    assert answered == "2"
    assert any("not a pointer" in title for title in told_of(receiver))


def test_a_service_that_has_ended_serves_nothing(service: Served, module_home: Home) -> None:
    stop_service(service.pid)

    assert serving_workers(module_home.deployment("fraud")) == []
    told = CliRunner().invoke(main, ["status"]).output
    assert "served                          by no running service that says so" in told
