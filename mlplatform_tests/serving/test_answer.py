"""What stands in every answer, on each route: threshold, model and request id; and that the document says so."""

from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplatform.serving.app import create_app
from mlplatform.serving.bundle import load_bundle
from mlplatform.serving.codec import dumps, loads
from mlplatform.serving.request import REQUEST_ID
from mlplatform.serving.scoring import Live, Slot
from mlplatform_tests.serving.conftest import GOOD
from mlplatform_tests.serving.test_lookup import films, sales  # noqa: F401
from mlplatform_tests.serving.test_page import classes  # noqa: F401

MODEL = {"use_case": "fraud", "version": "1", "bento": "fraud:v1"}
TENSORS = {
    "inputs": [
        {"name": name, "datatype": kind, "shape": [1], "data": [GOOD[name]]}
        for name, kind in (("amount", "FP64"), ("count_7d", "INT64"), ("is_night", "BOOL"), ("channel", "BYTES"))
    ]
    + [{"name": name, "datatype": "FP64", "shape": [1], "data": [GOOD[name]]} for name in ("risk", "weekday")]
}


def client_of(live: Live) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app(Slot(live))), base_url="http://service")


@pytest.mark.parametrize(
    ("path", "body"), [("/predict", GOOD), ("/predict", {"rows": [GOOD]}), ("/predict_rows", {"rows": [GOOD, GOOD]})]
)
async def test_who_decided_from_which_threshold_on_stands_in_the_answer_and_in_its_document(
    live: Live, path: str, body: Any
) -> None:
    async with client_of(live) as client:
        reply = await client.post(path, json=body, headers={"X-Request-ID": "order-17"})
        document = (await client.get("/openapi.json")).json()

    content = reply.json()
    assert (content["threshold"], content["model"], content["request_id"]) == (0.3, MODEL, "order-17")
    assert reply.headers["x-request-id"] == "order-17"
    told = document["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(content, {**told, "components": document["components"]})
    del content["threshold"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, {**told, "components": document["components"]})


async def test_by_the_inference_protocol_the_threshold_is_a_parameter(live: Live) -> None:
    async with client_of(live) as client:
        told = (await client.post("/v2/models/fraud/infer", json=TENSORS, headers={"X-Request-ID": "mine"})).json()
    assert told["parameters"] == {"bento": "fraud:v1", "request_id": "mine", "threshold": 0.3}


@pytest.mark.parametrize("case", ["films", "sales", "classes"])
async def test_what_decides_nothing_has_no_threshold(request: pytest.FixtureRequest, case: str) -> None:
    live = Live.of(load_bundle(request.getfixturevalue(case)), "case:v1")
    async with client_of(live) as client:
        bodies = (live.example(), {"rows": [live.example()]})
        answers = [(await client.post("/predict", json=body)).json() for body in bodies]
        document = (await client.get("/openapi.json")).json()

    assert all("threshold" not in answer and answer["model"]["bento"] == "case:v1" for answer in answers)
    assert "threshold" not in document["components"]["schemas"]["OneAnswer"]["properties"]


@given(st.dictionaries(st.text(), st.text(), min_size=1), st.from_regex(REQUEST_ID.pattern.decode(), fullmatch=True))
def test_a_stamped_body_is_the_json_of_content_and_stamp(live: Live, content: dict[str, str], identity: str) -> None:
    content = {f"key {name}": value for name, value in content.items()}
    assert live.stamped(content, identity) == dumps({**content, **live.stamp, "request_id": identity})


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (GOOD, 422, 'send {"rows": [...]}'),
        ({"rows": [GOOD], "threshold": 0.5}, 422, 'beside "rows" only options'),
        ({"rows": [GOOD], "explain": "yes"}, 422, '"explain" must be true or false'),
        ({"rows": []}, 422, "at least one object"),
        ({"rows": [GOOD, {**GOOD, "amount": -1}]}, 422, "row 1, amount is below the minimum"),
        ({"rows": [{**GOOD, "channel": "x" * 5000}]}, 413, "longer than 4096 characters"),
        ({"rows": [GOOD] * 5001}, 413, "the limit is 5000"),
    ],
)
async def test_rows_for_bentoml_s_clients_are_refused_as_everywhere(
    live: Live, body: Any, status: int, said: str
) -> None:
    async with client_of(live) as client:
        reply = await client.post("/predict_rows", json=body, headers={"X-Request-ID": "mine"})
    assert (reply.status_code, reply.json()["request_id"]) == (status, "mine")
    assert said in reply.json()["error"]


async def test_rows_for_bentoml_s_clients_have_reasons_only_if_asked_for(live: Live) -> None:
    async with client_of(live) as client:
        asked = (await client.post("/predict_rows", json={"rows": [GOOD], "explain": True})).json()
        unasked = (await client.post("/predict_rows", json={"rows": [GOOD]})).json()
    assert len(asked["predictions"][0]["reasons"]) == 3
    assert "reasons" not in unasked["predictions"][0]
    assert "reasons_left_out" not in unasked


def test_the_encoded_stamp_is_json_of_its_own(live: Live) -> None:
    assert loads(live.stamped({"a": 1}, "id"))["model"] == live.describe()


def test_names_of_outcomes_that_are_none_are_refused(sealed: Path, tmp_path: Path) -> None:
    from mlplatform.errors import ArtifactError
    from mlplatform.serving.outcome_names import OutcomeNames

    OutcomeNames("fraudulent", "legitimate").save(tmp_path)
    assert OutcomeNames.load(tmp_path) == OutcomeNames("fraudulent", "legitimate")
    assert OutcomeNames.load(sealed) == OutcomeNames("positive", "negative")
    for text in ("{", "[]", '{"maybe": "x"}'):
        (tmp_path / "outcomes.json").write_text(text)
        with pytest.raises(ArtifactError, match="build the bundle again"):
            OutcomeNames.load(tmp_path)
