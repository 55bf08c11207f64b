"""The handler under AWS's own runtime client, which a real HTTP server gives real events to."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlplatform.home import Home
from mlplatform.serving.api_keys import create_key
from mlplatform.serving.build import BuiltBento
from mlplatform.serving.bundle import load_bundle
from mlplatform.serving.scoring import Live
from mlplatform_tests.serving.conftest import GOOD
from mlplatform_tests.serving.image_tree import PYTHON, ImageTree, journalled, journalling_bento, write_image_tree
from mlplatform_tests.serving.lambda_runtime import RuntimeApi, function, http_event, runtime_api

pytest.importorskip("awslambdaric", reason="AWS's runtime client is for Linux")

# bentoml 1.4.40 is older than these deprecations of pydantic (at its import) and of importlib (at a build).
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.io_models"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.images"),
]

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> BuiltBento:
    return journalling_bento(Home(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def tree(built: BuiltBento, tmp_path_factory: pytest.TempPathFactory) -> ImageTree:
    return write_image_tree(built.path, tmp_path_factory.mktemp("image"), ["aws"])


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A key, and the text of the file that knows it."""
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    return create_key(file, "shop"), file.read_text()


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journal")


@pytest.fixture(scope="module")
def api(tree: ImageTree, key: tuple[str, str], journal: Path) -> Iterator[RuntimeApi]:
    environment = {**tree.environment, "MLPLATFORM_API_KEYS": key[1], "MLPLATFORM_JOURNAL": str(journal)}
    with runtime_api() as running, function(running, PYTHON, environment, tree.source):
        yield running


@pytest.fixture
def known(key: tuple[str, str]) -> dict[str, str]:
    return {**JSON, "authorization": f"Bearer {key[0]}"}


def answered(api: RuntimeApi, event: dict[str, Any]) -> dict[str, Any]:
    answer = api.invoke(event)
    assert answer.kind == "response", answer
    return dict(answer.content)


def test_it_answers_what_the_model_says(api: RuntimeApi, built: BuiltBento, known: dict[str, str]) -> None:
    expected = Live.of(load_bundle(built.bundle), built.tag).predict([GOOD], explain=True)[0]
    reply = answered(api, http_event("POST", "/predict", json.dumps(GOOD), {**known, "x-request-id": "mine"}))

    assert reply["statusCode"] == 200
    assert reply["isBase64Encoded"] is False
    assert reply["headers"]["x-request-id"] == "mine"
    body = json.loads(reply["body"])
    assert {name: body[name] for name in expected} == expected
    assert body["model"]["bento"] == built.tag


def test_a_body_may_come_as_base64(api: RuntimeApi, known: dict[str, str]) -> None:
    text = json.dumps({**GOOD, "explain": False})
    plain = answered(api, http_event("POST", "/predict", text, known))
    packed = base64.b64encode(text.encode()).decode()
    reply = answered(api, http_event("POST", "/predict", packed, known, isBase64Encoded=True))

    assert json.loads(reply["body"])["score"] == json.loads(plain["body"])["score"]


def http_event_1(path: str, body: str, headers: dict[str, str]) -> dict[str, Any]:
    """Payload format 1.0, as a REST API of API Gateway sends it."""
    return {
        "version": "1.0",
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": "POST",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "requestContext": {"identity": {"sourceIp": "203.0.113.7"}, "stage": "prod"},
        "body": body,
        "isBase64Encoded": False,
    }


def load_balancer_event(path: str, body: str, headers: dict[str, str]) -> dict[str, Any]:
    elb = {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/fraud/1"}
    told = {"requestContext": {"elb": elb}, "httpMethod": "POST", "path": path, "queryStringParameters": {}}
    return {**told, "headers": headers, "body": body, "isBase64Encoded": False}


@pytest.mark.parametrize("event_of", [http_event_1, load_balancer_event])
def test_the_older_payload_format_and_load_balancers_are_answered_alike(
    api: RuntimeApi, known: dict[str, str], event_of: Any
) -> None:
    newer = answered(api, http_event("POST", "/predict", json.dumps(GOOD), known))
    reply = answered(api, event_of("/predict", json.dumps(GOOD), {**known, "x-request-id": "older"}))

    assert reply["statusCode"] == 200
    assert {**json.loads(reply["body"]), "request_id": ""} == {**json.loads(newer["body"]), "request_id": ""}
    assert json.loads(reply["body"])["request_id"] == "older"


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"key1": "value1"},
        [],
        "text",
        {"version": "2.0", "requestContext": {}},
        {"version": "2.0", "requestContext": None},
        {"version": "0", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {}},
        http_event("POST", "/predict", "no base64!", {}, isBase64Encoded=True) | {"body": "x"},
        http_event("POST", "/predict", "{}", {}) | {"headers": None},
    ],
)
def test_an_event_that_is_no_request_gets_an_answer_that_says_so(api: RuntimeApi, event: Any) -> None:
    reply = answered(api, event)

    assert reply["statusCode"] == 400
    assert reply["headers"]["content-type"] == "application/json"
    assert "this function answers HTTP requests" in json.loads(reply["body"])["error"]


def test_records_of_a_queue_are_an_error_so_that_it_keeps_them(api: RuntimeApi, known: dict[str, str]) -> None:
    answer = api.invoke({"Records": [{"eventSource": "aws:sqs", "body": "{}"}]})

    assert answer.kind == "error"
    assert answer.content["errorType"] == "EventError"
    assert "score those in batch" in answer.content["errorMessage"]
    assert answered(api, http_event("POST", "/predict", json.dumps(GOOD), known))["statusCode"] == 200


def test_what_is_wrong_has_the_status_it_has_everywhere(api: RuntimeApi, known: dict[str, str]) -> None:
    statuses = {
        "not json": answered(api, http_event("POST", "/predict", "{", known)),
        "wrong value": answered(api, http_event("POST", "/predict", json.dumps({**GOOD, "amount": -1}), known)),
        "not said to be json": answered(api, http_event("POST", "/predict", "{}", {**known, "content-type": "x/y"})),
        "no such path": answered(api, http_event("GET", "/nowhere", headers=known)),
        "no key": answered(api, http_event("POST", "/predict", json.dumps(GOOD), JSON)),
        "no body": answered(api, http_event("POST", "/predict", None, known)),
    }

    assert {what: reply["statusCode"] for what, reply in statuses.items()} == {
        "not json": 400,
        "wrong value": 422,
        "not said to be json": 415,
        "no such path": 404,
        "no key": 401,
        "no body": 400,
    }
    assert all(json.loads(reply["body"])["request_id"] for reply in statuses.values())


def test_the_page_and_the_metrics_come_as_text(api: RuntimeApi, known: dict[str, str]) -> None:
    page, metrics = (answered(api, http_event("GET", path, headers=known)) for path in ("/", "/metrics"))

    assert "<html" in page["body"]
    assert page["headers"]["content-type"].startswith("text/html")
    assert 'mlplatform_model_info{bento="fraud:v1-' in metrics["body"]


def test_the_prediction_is_in_the_journal_before_the_answer_is_out(
    api: RuntimeApi, known: dict[str, str], journal: Path
) -> None:
    """Lambda stops the process with the answer; what is not written then may never be."""
    for number in range(3):
        before = len(journalled(journal))
        answered(
            api, http_event("POST", "/predict", json.dumps(GOOD), {**known, "x-request-id": f"journalled-{number}"})
        )
        lines = journalled(journal)
        assert [line["request_id"] for line in lines[before:]] == [f"journalled-{number}"]
        assert lines[-1]["features"]["amount"] == GOOD["amount"]


def test_without_keys_it_answers_nobody_from_outside(tree: ImageTree) -> None:
    with runtime_api() as api, function(api, PYTHON, tree.environment, tree.source):
        reply = answered(api, http_event("POST", "/predict", json.dumps(GOOD), JSON))

    assert reply["statusCode"] in (421, 503)
    assert "score" not in reply["body"]


def test_behind_what_asks_itself_it_answers_without_keys(tree: ImageTree) -> None:
    environment = {**tree.environment, "MLPLATFORM_AUTHENTICATED_UPSTREAM": "true"}
    with runtime_api() as api, function(api, PYTHON, environment, tree.source):
        reply = answered(api, http_event("POST", "/predict", json.dumps(GOOD), JSON))

    assert reply["statusCode"] == 200


def test_a_bundle_that_was_changed_ends_the_start_with_its_sentence(
    built: BuiltBento, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tree = write_image_tree(built.path, tmp_path_factory.mktemp("changed"), ["aws"])
    (tree.source / "bundle" / "model.txt").write_text("other")
    with runtime_api() as api, function(api, PYTHON, tree.environment, tree.source):
        answer = api.answers.get(timeout=60)

    assert answer.kind == "init/error"
    assert "changed model.txt" in answer.content["errorMessage"]
