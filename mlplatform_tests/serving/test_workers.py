"""Several workers behind one port: all answer, all follow a deployment, and one scrape tells of all."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlplatform.errors import ArtifactError
from mlplatform.home import Home
from mlplatform.serving.build import build_bento
from mlplatform.serving.launch import Served, serve_environment, start_service, stop_service
from mlplatform.serving.workers import WORKERS_VARIABLE, worker_count
from mlplatform_tests.serving.conftest import GOOD, write_bundle
from mlplatform_tests.serving.test_launch import DEADLINE_SECONDS, deploy, free_port

# bentoml 1.4.40 is older than these deprecations of pydantic (at its import) and of importlib (at a build).
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.io_models"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.images"),
]
WORKERS = {"1", "2", "3"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def served(home: Home) -> Iterator[Served]:
    built = build_bento(write_bundle(home.root / "v1", "1"), "fraud", 1, home=home)
    deploy(home, built.bundle, "1")
    running = start_service(built.tag, free_port(), home, home.deployment("fraud"), workers=len(WORKERS))
    yield running
    stop_service(running.pid)


def samples(served: Served, name: str) -> Iterator[tuple[dict[str, str], float]]:
    """Of one metric, as one scrape tells it."""
    text = httpx.get(f"{served.url}/metrics", trust_env=False).text
    for family in text_string_to_metric_families(text):
        if family.name == name:
            yield from ((sample.labels, sample.value) for sample in family.samples)


def versions(served: Served) -> dict[str, str]:
    """Which version each worker has live."""
    return {labels["worker"]: labels["version"] for labels, _ in samples(served, "mlplatform_model_info")}


def ask(served: Served, seen: Counter[tuple[int, str]]) -> None:
    """On a connection of its own, so that any worker may take it."""
    answer = httpx.post(f"{served.url}/predict", json=GOOD, trust_env=False, timeout=10)
    seen[answer.status_code, answer.json()["model"]["version"]] += 1


@pytest.mark.slow
def test_all_workers_answer_and_go_over_to_a_new_deployment_without_a_failed_request(
    served: Served, home: Home
) -> None:
    seen: Counter[tuple[int, str]] = Counter()
    end = time.monotonic() + DEADLINE_SECONDS
    while set(versions(served)) != WORKERS or len(answering(served)) < len(WORKERS):
        assert time.monotonic() < end
        ask(served, seen)
    assert set(versions(served).values()) == {"1"}

    deploy(home, write_bundle(home.root / "v2", "2"), "2")
    end = time.monotonic() + DEADLINE_SECONDS
    while set(versions(served).values()) != {"2"}:
        assert time.monotonic() < end
        ask(served, seen)
    assert set(versions(served)) == WORKERS
    assert set(seen) <= {(200, "1"), (200, "2")}

    after: Counter[tuple[int, str]] = Counter()
    for _ in range(50):
        ask(served, after)
    assert set(after) == {(200, "2")}


def answering(served: Served) -> set[str]:
    """Workers that have answered /predict."""
    counted = samples(served, "mlplatform_requests")
    return {labels["worker"] for labels, _ in counted if labels["route"] == "/predict"}


def test_the_number_of_workers_is_said_or_one(tmp_path: Path) -> None:
    assert worker_count({}) == 1
    assert worker_count(serve_environment(Home(tmp_path), None, workers=4)) == 4
    for text in ("", "0", "two", "-1", "257"):
        with pytest.raises(ArtifactError, match="from 1 to 256"):
            worker_count({WORKERS_VARIABLE: text})
