import json
import math
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlplatform.ml.calibration import Sigmoid
from mlplatform.ml.heads import Probability
from mlplatform.serving.app import INLINE_ROWS, create_app
from mlplatform.serving.endpoint import UNFORESEEN
from mlplatform.serving.request import Limits
from mlplatform.serving.rows import RowReader
from mlplatform.serving.scoring import Live, Refusal, ScoreError, Slot
from mlplatform_tests.serving.conftest import FEATURES, GOOD

JSON_HEADERS = {"Content-Type": "application/json"}


def client_of(live: Live | None, limits: Limits | None = None) -> httpx.AsyncClient:
    # An exception that leaves the app must fail the test, not become the transport's 500.
    transport = httpx.ASGITransport(create_app(Slot(live), limits), raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url="http://service")


@pytest.fixture
async def client(live: Live) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(live) as opened:
        yield opened


async def problems_of(client: httpx.AsyncClient, body: Any) -> list[dict[str, Any]]:
    response = await client.post("/predict", json=body)
    assert response.status_code == 422
    problems: list[dict[str, Any]] = response.json()["problems"]
    return problems


async def test_one_object_in_gives_one_prediction_out(client: httpx.AsyncClient) -> None:
    response = await client.post("/predict", json=GOOD)

    assert response.status_code == 200
    content = response.json()
    assert set(content) == {"score", "decision", "reasons", "threshold", "model", "request_id"}
    assert content["threshold"] == 0.3
    assert content["model"] == {"use_case": "fraud", "version": "1", "bento": "fraud:v1"}


async def test_rows_in_give_predictions_out_in_the_same_order(client: httpx.AsyncClient, live: Live) -> None:
    rows = [{**GOOD, "amount": float(amount)} for amount in range(0, 500, 10)]
    response = await client.post("/predict", json={"rows": rows})

    matrix = np.array([[row["amount"], 4, 1, 1, np.nan, 6] for row in rows])
    expected = live.bundle.model.predict(matrix)
    predictions = response.json()["predictions"]
    assert [prediction["score"] for prediction in predictions] == expected.tolist()
    assert [prediction["decision"] for prediction in predictions] == (expected >= 0.3).tolist()


async def test_the_order_of_the_fields_does_not_matter(client: httpx.AsyncClient) -> None:
    turned = dict(reversed(GOOD.items()))

    assert (await client.post("/predict", json=turned)).json()["score"] == (
        await client.post("/predict", json=GOOD)
    ).json()["score"]


async def test_the_reasons_are_the_three_largest_contributions(client: httpx.AsyncClient, live: Live) -> None:
    content = (await client.post("/predict", json=GOOD)).json()

    contributions = live.bundle.model.explain(np.array([[250.0, 4, 1, 1, np.nan, 6]]))[0]
    largest = np.argsort(-np.abs(contributions), kind="stable")[:3]
    assert content["reasons"] == [
        {"feature": FEATURES[i], "value": GOOD[FEATURES[i]], "contribution": contributions[i]} for i in largest
    ]


async def test_explain_false_leaves_the_reasons_out(client: httpx.AsyncClient) -> None:
    one = (await client.post("/predict", json={**GOOD, "explain": False})).json()
    many = (await client.post("/predict", json={"rows": [GOOD], "explain": False})).json()

    assert "reasons" not in one
    assert "reasons" not in many["predictions"][0]


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("amount", -1, "is below the minimum"),
        ("amount", 10_001, "is above the maximum"),
        ("amount", 10**30, "is above the maximum"),
        ("amount", "12", "is text"),
        ("amount", True, "is true or false"),
        ("amount", None, "is null"),
        ("amount", [1], "is a list"),
        ("amount", {"a": 1}, "is an object"),
        ("count_7d", 1.5, "is not a whole number"),
        ("is_night", 1, "is a number"),
        ("is_night", "yes", "is text"),
        ("channel", "Chip", "is not one of the categories"),
        ("channel", 1, "is a number"),
        ("weekday", 7, "is not one of the categories"),
        ("weekday", True, "is true or false"),
        ("risk", 1.01, "is above the maximum"),
    ],
)
async def test_a_bad_value_is_named_with_what_is_allowed(
    client: httpx.AsyncClient, field: str, value: Any, problem: str
) -> None:
    found = await problems_of(client, {**GOOD, field: value})

    assert [(p["row"], p["field"], p["problem"]) for p in found] == [(0, field, problem)]
    assert found[0]["allowed"]


async def test_the_allowed_range_is_readable(client: httpx.AsyncClient) -> None:
    found = await problems_of(client, {**GOOD, "amount": -1, "channel": "cash"})

    assert [p["allowed"] for p in found] == [
        "a number, at least 0, at most 10000",
        "one of chip, online, swipe",
    ]


async def test_all_problems_of_all_rows_are_named_at_once(client: httpx.AsyncClient) -> None:
    broken = {**GOOD, "amount": -1, "colour": "red"}
    del broken["channel"]
    found = await problems_of(client, {"rows": [GOOD, broken, 7]})

    assert [(p["row"], p["field"]) for p in found] == [(1, "amount"), (1, "channel"), (1, "colour"), (2, "")]


async def test_a_misspelt_field_gets_the_right_name(client: httpx.AsyncClient) -> None:
    found = await problems_of(client, {**GOOD, "amuont": 3})

    assert found[0]["problem"] == "is not a feature of this model; did you mean amount?"


async def test_whole_floats_count_as_integers_and_null_where_it_is_allowed(client: httpx.AsyncClient) -> None:
    response = await client.post("/predict", json={**GOOD, "count_7d": 4.0, "risk": None})

    assert response.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'amount': 1}",
        b"\xff\xfe",
        b"[" * 5_000,
        json.dumps({**GOOD, "amount": 10**400}).encode(),
        json.dumps({**GOOD, "amount": float("nan")}).encode(),
        json.dumps({**GOOD, "amount": float("inf")}).encode(),
        json.dumps({**GOOD, "amount": float("-inf")}).encode(),
    ],
)
async def test_what_is_not_json_is_a_400(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/predict", content=body, headers=JSON_HEADERS)

    assert response.status_code == 400
    assert response.json()["error"] == "the body is not valid JSON"


@pytest.mark.parametrize(
    "body", [[], 1, "text", {"rows": []}, {"rows": {}}, {"rows": [GOOD], "x": 1}, {**GOOD, "explain": 1}]
)
async def test_json_of_the_wrong_shape_is_a_422(client: httpx.AsyncClient, body: Any) -> None:
    response = await client.post("/predict", json=body)

    assert response.status_code == 422
    assert response.json()["error"]


async def test_another_content_type_is_a_415(client: httpx.AsyncClient) -> None:
    response = await client.post("/predict", content=json.dumps(GOOD), headers={"Content-Type": "text/plain"})

    assert response.status_code == 415


async def test_a_body_over_the_limit_is_a_413_announced_or_not(live: Live) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b" " * 100

    async with client_of(live, Limits(body_bytes=500)) as client:
        announced = await client.post("/predict", content=b" " * 501, headers=JSON_HEADERS)
        streamed = await client.post("/predict", content=chunks(), headers=JSON_HEADERS)

    assert (announced.status_code, streamed.status_code) == (413, 413)


async def test_too_many_rows_are_a_413_that_says_the_limit(live: Live) -> None:
    async with client_of(live, Limits(rows=2)) as client:
        response = await client.post("/predict", json={"rows": [GOOD] * 3})

    assert response.status_code == 413
    assert "the limit is 2" in response.json()["error"]


async def test_a_hostile_number_of_problems_is_cut_short(client: httpx.AsyncClient) -> None:
    response = await client.post("/predict", json={"rows": [{**GOOD, **{f"x{i}": i for i in range(200)}}] * 20})

    assert response.json()["error"] == "100 or more problems in the rows"
    assert len(response.json()["problems"]) == 100


async def test_errors_do_not_echo_values(client: httpx.AsyncClient) -> None:
    response = await client.post("/predict", json={**GOOD, "channel": "<script>secret"})

    assert "secret" not in response.text


async def test_a_harmless_request_id_is_kept_and_another_replaced(client: httpx.AsyncClient) -> None:
    kept = await client.post("/predict", json=GOOD, headers={"X-Request-ID": "order-17"})
    replaced = await client.post("/predict", json=GOOD, headers={"X-Request-ID": "a b\tc"})

    assert kept.json()["request_id"] == kept.headers["x-request-id"] == "order-17"
    assert len(replaced.json()["request_id"]) == 32


async def test_without_a_model_the_service_is_alive_but_not_ready() -> None:
    async with client_of(None) as client:
        answers = [
            (await client.get("/livez")).status_code,
            (await client.get("/readyz")).status_code,
            (await client.post("/predict", json=GOOD)).status_code,
            (await client.get("/openapi.json")).status_code,
            (await client.get("/")).status_code,
        ]

    assert answers == [200, 503, 503, 503, 503]


@pytest.mark.parametrize("path", ["/predict", "/predict_rows", "/score", "/v2/models/fraud/infer"])
async def test_without_a_model_a_request_is_told_when_to_come_again(path: str) -> None:
    async with client_of(None) as client:
        reply = await client.post(path, json={"rows": [GOOD]}, headers={"X-Request-ID": "mine"})

    assert (reply.status_code, reply.headers["retry-after"], reply.headers["x-request-id"]) == (503, "1", "mine")


async def test_a_refused_deployment_shows_in_readiness_while_the_old_model_serves(live: Live) -> None:
    slot = Slot(live)
    slot.refuse(Refusal("bundle v2 was altered"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(create_app(slot)), base_url="http://service") as client:
        ready = await client.get("/readyz")
        served = await client.post("/predict", json=GOOD)

    assert ready.status_code == served.status_code == 200
    assert ready.json() == {"status": "degraded", "model": live.describe(), "problem": "bundle v2 was altered"}


def calibrated(live: Live, calibration: Sigmoid) -> Live:
    """The same model, calibrated otherwise, without the warm-up of `Live.of`."""
    return replace(
        live, bundle=replace(live.bundle, model=replace(live.bundle.model, head=Probability(calibration, 0.3)))
    )


@pytest.mark.parametrize("rows", [1, INLINE_ROWS + 1])
async def test_a_score_that_is_not_a_number_is_a_500_and_never_a_decision(
    live: Live, caplog: pytest.LogCaptureFixture, rows: int
) -> None:
    async with client_of(calibrated(live, Sigmoid(math.nan))) as client:
        answer = await client.post("/predict", json={"rows": [GOOD] * rows}, headers={"X-Request-ID": "order-17"})

    assert answer.status_code == 500
    assert answer.json() == {
        "error": "fraud:v1 gave a score that is not a finite number for row 0, so there is no decision; "
        "deploy another version",
        "request_id": "order-17",
    }
    assert "Request order-17 failed" in caplog.text
    assert "ScoreError" in caplog.text


async def test_a_contribution_that_is_not_finite_is_a_500_only_if_it_is_asked_for(live: Live) -> None:
    async with client_of(calibrated(live, Sigmoid(math.inf))) as client:
        asked = await client.post("/predict", json=GOOD)
        not_asked = await client.post("/predict", json={**GOOD, "explain": False})

    assert asked.status_code == 500
    assert "a contribution that is not a finite number" in asked.json()["error"]
    assert not_asked.json()["score"] in {0.0, 1.0}


async def test_a_failure_nobody_foresaw_is_a_500_with_an_id_and_its_traceback_stays_in_the_log(
    live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    narrow = replace(live, reader=RowReader(FEATURES[:1], live.bundle.rules))
    async with client_of(narrow) as client:
        answer = await client.post("/predict", json={"amount": 1}, headers={"X-Request-ID": "order-17"})

    assert answer.status_code == 500
    assert answer.json() == {"error": UNFORESEEN, "request_id": answer.headers["x-request-id"]}
    assert "Request order-17 failed" in caplog.text
    assert "Traceback" in caplog.text


def test_a_model_that_gives_no_finite_score_or_has_no_threshold_never_goes_live(live: Live) -> None:
    unsound = calibrated(live, Sigmoid(math.nan)).bundle
    aimless = replace(live.bundle, model=replace(live.bundle.model, head=Probability(Sigmoid(), math.nan)))

    with pytest.raises(ScoreError, match="not a finite number"):
        Live.of(unsound, "fraud:v2")
    with pytest.raises(ScoreError, match="the threshold is nan"):
        Live.of(aimless, "fraud:v2")


async def test_the_openapi_example_is_accepted_by_predict(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    examples = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]

    assert document["openapi"].startswith("3.1")
    for example in examples.values():
        assert (await client.post("/predict", json=example["value"])).status_code == 200


async def test_the_openapi_schema_says_what_the_rules_say(client: httpx.AsyncClient) -> None:
    row = (await client.get("/openapi.json")).json()["components"]["schemas"]["Row"]

    assert row["required"] == list(FEATURES)
    assert (row["properties"]["amount"]["minimum"], row["properties"]["amount"]["maximum"]) == (0, 10_000)
    assert row["properties"]["channel"]["enum"] == ["chip", "online", "swipe"]
    assert row["properties"]["risk"]["type"] == ["number", "null"]


async def test_the_page_escapes_what_a_bundle_says_and_loads_from_nowhere_else(live: Live) -> None:
    odd = replace(live, bundle=replace(live.bundle, use_case="<b>fraud"))
    async with client_of(odd) as client:
        text = (await client.get("/")).text

    assert "<h1>&lt;b&gt;fraud</h1>" in text
    assert 'curl -s "$URL/predict"' in text
    assert "://" not in text
    assert not re.search(r"<script[^>]*>[^<]|<style| style=| on[a-z]+=", text), "a strict policy would refuse it"


async def test_scripts_are_served_as_scripts_and_only_what_is_meant_to_be(client: httpx.AsyncClient) -> None:
    script = await client.get("/static/page.js")
    outside = [await client.get(path) for path in ("/static/../page.html", "/static/%2e%2e/page.html", "/card.md")]

    assert "javascript" in script.headers["content-type"]
    assert [answer.status_code for answer in outside] == [404, 404, 404]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
almost_rows = st.fixed_dictionaries({}, optional=dict.fromkeys(FEATURES, json_values))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=200)
    | json_values.map(lambda value: json.dumps(value).encode())
    | almost_rows.map(lambda row: json.dumps(row).encode())
    | st.lists(almost_rows, max_size=3).map(lambda rows: json.dumps({"rows": rows}).encode())
)
async def test_no_body_whatever_makes_a_server_error(live: Live, body: bytes) -> None:
    async with client_of(live) as client:
        response = await client.post("/predict", content=body, headers=JSON_HEADERS)

    assert response.status_code in {200, 400, 422}
    assert response.json()["request_id"]


amounts = st.floats(0, 10_000) | st.integers(0, 10_000)
good_rows = st.fixed_dictionaries(
    {
        "amount": amounts,
        "count_7d": st.integers(0, 2**53),
        "is_night": st.booleans(),
        "channel": st.sampled_from(["chip", "online", "swipe"]),
        "risk": st.none() | st.floats(0, 1),
        "weekday": st.integers(0, 6),
    }
)


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(good_rows, min_size=1, max_size=20))
async def test_every_row_that_keeps_the_rules_is_scored(live: Live, rows: list[dict[str, Any]]) -> None:
    async with client_of(live) as client:
        response = await client.post("/predict", json={"rows": rows})

    assert response.status_code == 200
    predictions = response.json()["predictions"]
    assert len(predictions) == len(rows)
    assert all(0 <= prediction["score"] <= 1 for prediction in predictions)
