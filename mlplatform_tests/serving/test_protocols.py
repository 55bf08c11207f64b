"""One running service, asked by the clients that others wrote: BentoML's, Triton's, Prometheus, a trace collector."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from mlplatform.home import Home
from mlplatform.serving.build import build_bento
from mlplatform.serving.launch import Served, start_service, stop_service
from mlplatform_tests.serving.conftest import GOOD, write_bundle
from mlplatform_tests.serving.otlp import Receiver, attributes_of, receiving
from mlplatform_tests.serving.test_launch import deploy, free_port

# bentoml 1.4.40 is older than these deprecations of pydantic (at its import) and of importlib (at a build).
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.io_models"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.images"),
]

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "mlplatform-serving.json"
ALERT_RULES = DEPLOY / "prometheus" / "mlplatform-alerts.yaml"
METRIC = re.compile(r"\b(?:mlplatform|process)_[a-z_]+")
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as listening:
        yield listening


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Served]:
    home = Home(tmp_path_factory.mktemp("home"))
    built = build_bento(write_bundle(home.root / "v1", "1"), "fraud", 1, home=home)
    deploy(home, built.bundle, "1")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        patched.setenv("OTEL_SERVICE_NAME", "scoring-in-a-test")
        patched.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        running = start_service(built.tag, free_port(), home, home.deployment("fraud"))
    yield running
    stop_service(running.pid)


def post(served: Served, path: str, content: Any, **headers: str) -> dict[str, Any]:
    response = httpx.post(f"{served.url}{path}", json=content, headers=headers, timeout=10, trust_env=False)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def test_bentoml_s_own_client_gets_the_answers_of_predict(served: Served) -> None:
    import bentoml

    rows = [{**GOOD, "amount": float(amount)} for amount in (1, 250)]
    with bentoml.SyncHTTPClient(served.url) as client:
        content = client.predict_rows(rows=rows, explain=True)
        with pytest.raises(bentoml.exceptions.BentoMLException, match="row 1, amount is below the minimum"):
            client.predict_rows(rows=[GOOD, {**GOOD, "amount": -1}])
        # Which the client leaves to the garbage collector, and that to a warning in some later test.
        client._temp_dir.cleanup()

    assert content["predictions"] == post(served, "/predict", {"rows": rows})["predictions"]
    assert content["model"]["version"] == "1"


def test_bentoml_s_route_takes_json_of_a_bounded_size_only_and_keeps_the_request_id(served: Served) -> None:
    url, kind = f"{served.url}/predict_rows", "application/vnd.bentoml+pickle"
    named = httpx.post(url, json={"rows": [GOOD]}, headers={"X-Request-ID": "mine"}, trust_env=False)
    strange = httpx.post(url, json={"rows": [GOOD], "threshold": 0.5}, trust_env=False)
    pickled = httpx.post(url, content=b"x", headers={"Content-Type": kind}, trust_env=False)
    large = httpx.post(url, json={"rows": ["x" * 5_000_000]}, timeout=30, trust_env=False)

    assert (named.json()["request_id"], named.json()["threshold"]) == ("mine", 0.3)
    assert [each.status_code for each in (strange, pickled, large)] == [422, 415, 413]
    assert "limit" in large.json()["error"] or "larger than" in large.json()["error"]


@pytest.mark.parametrize("raw", [True, False])
def test_triton_s_client_works_unchanged(served: Served, raw: bool) -> None:
    triton = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")
    columns = {
        "amount": ("FP64", np.array([1.0, 250.0])),
        "count_7d": ("INT64", np.array([4, 4])),
        "is_night": ("BOOL", np.array([True, True])),
        "channel": ("BYTES", np.array(["online", "online"], dtype=object)),
        # JSON has no NaN, which is how a tensor says null.
        "risk": ("FP64", np.array([np.nan, np.nan] if raw else [0.5, 0.5])),
        "weekday": ("INT64", np.array([[6], [6]])),
    }
    inputs = []
    for name, (kind, values) in columns.items():
        inputs.append(triton.InferInput(name, list(values.shape), kind))
        inputs[-1].set_data_from_numpy(values, binary_data=raw)
    with triton.InferenceServerClient(served.url.removeprefix("http://")) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("fraud", "1")
        assert not client.is_model_ready("other")
        named = [each["name"] for each in client.get_model_metadata("fraud")["outputs"]]
        outputs = [triton.InferRequestedOutput(name, binary_data=raw) for name in named]
        answer = client.infer("fraud", inputs, outputs=outputs, request_id="mine")
        unasked = client.infer("fraud", inputs)
        with pytest.raises(triton.InferenceServerException, match="is missing"):
            client.infer("fraud", inputs[:1])

    risk = None if raw else 0.5
    rows = [{**GOOD, "amount": amount, "risk": risk} for amount in (1.0, 250.0)]
    expected = post(served, "/predict", {"rows": rows})["predictions"]
    assert answer.as_numpy("score").tolist() == [each["score"] for each in expected]
    assert answer.as_numpy("decision").tolist() == [each["decision"] for each in expected]
    assert [json.loads(each) for each in answer.as_numpy("reasons")] == [each["reasons"] for each in expected]
    assert answer.get_response()["id"] == "mine"
    assert unasked.as_numpy("score").tolist() == answer.as_numpy("score").tolist()


def test_spans_of_a_running_service_reach_the_collector(served: Served, receiver: Receiver) -> None:
    post(served, "/predict", GOOD, traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
    spans = receiver.wait_for(TRACE, "POST /predict")

    names = [span.name for span in spans]
    assert names == ["parse", "parse", "model", "explanation", "journal", "POST /predict"]
    assert attributes_of(spans[-1])["mlplatform.bento"] == "fraud:v1"
    assert receiver.services == {"scoring-in-a-test"}


def test_each_query_of_the_dashboard_names_a_metric_that_is_there(served: Served) -> None:
    there = metrics_of(served)

    expressions = list(expressions_of(json.loads(DASHBOARD.read_text())))
    assert len(expressions) > 20
    for expression in expressions:
        named = set(METRIC.findall(expression))
        assert named, expression
        assert named <= there, expression


def test_each_alert_rule_names_a_metric_that_is_there(served: Served) -> None:
    there = metrics_of(served)

    rules = [rule for group in yaml.safe_load(ALERT_RULES.read_text())["groups"] for rule in group["rules"]]
    assert len(rules) >= 10
    for rule in rules:
        assert set(METRIC.findall(rule["expr"])) <= there, rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]


def test_the_alert_rules_are_valid_and_fire_on_what_they_are_for_and_on_nothing_else() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    tests = ALERT_RULES.with_name("mlplatform-alerts-test.yaml")
    for arguments in (["check", "rules", ALERT_RULES], ["test", "rules", tests]):
        done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    tried = [case for each in yaml.safe_load(tests.read_text())["tests"] for case in each["alert_rule_test"]]
    rules = [rule for group in yaml.safe_load(ALERT_RULES.read_text())["groups"] for rule in group["rules"]]
    assert {case["alertname"] for case in tried if case["exp_alerts"]} == {rule["alert"] for rule in rules}


def metrics_of(served: Served) -> set[str]:
    """The names under which Prometheus stores what a service says after one request."""
    post(served, "/predict", GOOD)
    text = httpx.get(f"{served.url}/metrics", trust_env=False).text
    ends = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    return {
        f"{family.name}{end}" for family in text_string_to_metric_families(text) for end in ends.get(family.type, [""])
    }


def expressions_of(node: Any) -> Iterator[str]:
    """All queries of a dashboard, those of its variables too."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("expr", "definition") and isinstance(value, str):
                yield value
            else:
                yield from expressions_of(value)
    elif isinstance(node, list):
        for each in node:
            yield from expressions_of(each)


def test_each_line_of_the_worker_s_log_is_one_json_object(served: Served) -> None:
    # The supervisor's lines are BentoML's own.
    lines = [line for line in served.log.read_text().splitlines() if "[cli]" not in line]

    events = [json.loads(line) for line in lines]
    assert {"deployment_swapped", "service_started"} <= {event["event"] for event in events}
    assert all(event["worker"] == "1" for event in events)
