"""The Open Inference Protocol in process; a client that others wrote is in test_protocols.py."""

import json
import struct
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.serving.app import create_app, create_endpoints
from mlplatform.serving.bundle import load_bundle, write_manifest
from mlplatform.serving.journal import Journal, JournalSettings
from mlplatform.serving.request import Limits, RefusedError
from mlplatform.serving.scoring import Live, Slot
from mlplatform.serving.tensors import read_request
from mlplatform_tests.serving.conftest import GOOD, MakeBundle

TYPES = {
    "amount": "FP64",
    "count_7d": "INT64",
    "is_night": "BOOL",
    "channel": "BYTES",
    "risk": "FP64",
    "weekday": "INT64",
}
KINDS = st.sampled_from(["FP64", "BYTES", "BOOL", "INT16"])
INFER = "/v2/models/fraud/infer"


def tensors(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": name, "datatype": kind, "shape": [len(rows)], "data": [row[name] for row in rows]}
            for name, kind in TYPES.items()
        ]
    }


def client_of(live: Live | None, limits: Limits | None = None) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(Slot(live), limits), raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url="http://service")


@pytest.fixture
async def client(live: Live) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(live) as opened:
        yield opened


async def test_tensors_get_the_same_answers_as_rows(client: httpx.AsyncClient) -> None:
    rows = [{**GOOD, "amount": float(amount), "risk": 0.5} for amount in (10, 250, 480)]
    expected = (await client.post("/predict", json={"rows": rows, "explain": False})).json()["predictions"]
    content = (await client.post(INFER, json={**tensors(rows), "id": "mine"})).json()

    outputs = {output["name"]: output for output in content["outputs"]}
    assert outputs["score"]["data"] == [prediction["score"] for prediction in expected]
    assert outputs["decision"]["data"] == [prediction["decision"] for prediction in expected]
    assert (outputs["score"]["datatype"], outputs["score"]["shape"]) == ("FP64", [3])
    assert (content["model_name"], content["model_version"], content["id"]) == ("fraud", "1", "mine")


async def test_the_document_tells_of_the_protocol_and_its_example_is_answered(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    content = document["paths"][INFER]["post"]["requestBody"]["content"]["application/json"]
    reply = await client.post(INFER, json=content["example"])
    assert reply.status_code == 200, reply.text
    for path, item in document["paths"].items():
        if path.startswith("/v2") and "get" in item:
            assert (await client.get(path)).status_code == 200, path
    schemas = document["components"]["schemas"]
    asked = {**schemas["V2Request"], "components": {"schemas": schemas}}
    answered = {**schemas["V2Answer"], "components": {"schemas": schemas}}
    jsonschema.validate(content["example"], asked)
    jsonschema.validate(reply.json(), answered)


async def test_null_and_columns_are_understood(client: httpx.AsyncClient) -> None:
    asked = tensors([GOOD])
    for told in asked["inputs"]:
        told["shape"], told["data"] = [1, 1], [told["data"]]
    content = (await client.post(INFER, json=asked)).json()

    assert content["outputs"][0]["data"] == [(await client.post("/predict", json=GOOD)).json()["score"]]


async def test_reasons_are_given_to_who_asks_for_them(client: httpx.AsyncClient) -> None:
    asked = {**tensors([GOOD]), "outputs": [{"name": "reasons"}]}
    (output,) = (await client.post(INFER, json=asked)).json()["outputs"]

    assert json.loads(output["data"][0]) == (await client.post("/predict", json=GOOD)).json()["reasons"]


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"inputs": []}, 400, "at least one tensor"),
        ({"outputs": [{"name": "mood"}]}, 400, "no such output"),
        ({"id": "a b"}, 400, '"id"'),
        ({"id": 0}, 400, '"id"'),
        ({"outputs": ""}, 400, '"outputs" must be a list'),
        ({"parameters": False}, 400, '"parameters" must be an object'),
        ({"inputs": [{"name": "amount", "datatype": "FP64", "shape": [2], "data": [1]}]}, 400, "shape asks for 2"),
        ({"inputs": [{"name": "amount", "datatype": "BF16", "shape": [1], "data": [1]}]}, 400, "datatype"),
        ({"inputs": [{"name": "amount", "datatype": "FP64", "shape": [1], "data": [-1]}]}, 422, "amount is below"),
        ({"inputs": [{"name": "all", "datatype": "FP64", "shape": [1, 6], "data": [0] * 6}]}, 400, "channel cannot go"),
        ({"inputs": [{"name": "amount", "datatype": "FP64", "shape": [0], "data": []}]}, 400, "at least one"),
    ],
)
async def test_what_is_wrong_is_one_sentence(
    client: httpx.AsyncClient, change: dict[str, Any], status: int, says: str
) -> None:
    response = await client.post(INFER, json={**tensors([GOOD]), **change})

    assert response.status_code == status
    assert set(response.json()) == {"error"}
    assert says in response.json()["error"]


async def test_other_models_and_versions_are_not_there(client: httpx.AsyncClient) -> None:
    codes = {
        path: (await client.post(f"/v2/models/{path}/infer", json=tensors([GOOD]))).status_code
        for path in ("fraud/versions/1", "fraud/versions/2", "other")
    }

    assert codes == {"fraud/versions/1": 200, "fraud/versions/2": 404, "other": 404}
    assert (await client.get("/v2/nothing")).status_code == 404
    assert (await client.post("/v2/health/live")).status_code == 405


async def test_without_a_model_the_server_is_alive_and_not_ready() -> None:
    async with client_of(None) as client:
        codes = [
            (await client.get(f"/v2/{p}")).status_code for p in ("health/live", "health/ready", "models/fraud/ready")
        ]
        infer = await client.post(INFER, json=tensors([GOOD]))

    assert codes == [200, 503, 503]
    assert infer.status_code == 503


async def test_the_metadata_is_enough_to_make_a_request(client: httpx.AsyncClient) -> None:
    told = (await client.get("/v2/models/fraud")).json()

    assert {each["name"]: each["datatype"] for each in told["inputs"]} == TYPES
    assert [each["name"] for each in told["outputs"]] == ["score", "decision", "reasons"]


async def test_limits_hold_here_as_well(live: Live) -> None:
    async with client_of(live, Limits(rows=2, body_bytes=2000)) as client:
        many = await client.post(INFER, json=tensors([GOOD] * 3))
        large = await client.post(INFER, content=b" " * 3000, headers={"Content-Type": "application/json"})
        packed = await client.post(INFER, json=tensors([GOOD]), headers={"Content-Encoding": "gzip"})

    assert (many.status_code, large.status_code, packed.status_code) == (413, 413, 415)


async def test_predictions_are_journalled_with_the_id_of_the_request(make_bundle: MakeBundle, tmp_path: Path) -> None:
    folder = make_bundle("1")
    JournalSettings(enabled=True, keys=("customer",), columns=("amount",)).save(folder)
    write_manifest(folder, "fraud", "1", {"run_id": "run-1"})
    slot, journal = Slot(Live.of(load_bundle(folder), "fraud:v1")), Journal(tmp_path / "journal")
    app = create_app(slot, endpoints=create_endpoints(slot, journal=journal))
    customer = {"name": "customer", "datatype": "INT64", "shape": [1], "data": [7]}
    asked = {"inputs": [*tensors([GOOD])["inputs"], customer], "id": "mine"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        assert (await client.post(INFER, json=asked)).status_code == 200
    journal.close()

    line = json.loads("".join(file.read_text() for file in (tmp_path / "journal").rglob("*") if file.is_file()))
    assert (line["request_id"], line["keys"], line["features"]) == ("mine", {"customer": "7"}, {"amount": 250.0})


def binary(data: bytes, **told: Any) -> tuple[bytes, bytes]:
    """A body with one raw tensor, and the header."""
    head = json.dumps({"inputs": [{"name": "x", **told, "parameters": {"binary_data_size": len(data)}}]}).encode()
    return head + data, str(len(head)).encode()


def test_raw_tensors_are_read_as_the_extension_says() -> None:
    numbers, texts = (
        np.array([1.5, np.nan], "<f8").tobytes(),
        b"".join(struct.pack("<I", len(t)) + t for t in (b"a", b"")),
    )
    (read,) = read_request(*binary(numbers, datatype="FP64", shape=[2]), Limits(), 7).inputs
    (said,) = read_request(*binary(texts, datatype="BYTES", shape=[2]), Limits(), 7).inputs

    assert read.values[0] == 1.5
    assert pd.isna(read.values[1])
    assert said.values == ["a", ""]


@given(st.binary(max_size=40), KINDS, st.integers(-1, 10), st.binary(max_size=4))
@settings(max_examples=200, deadline=None)
def test_whatever_bytes_come_they_are_read_or_refused(data: bytes, kind: str, rows: int, more: bytes) -> None:
    body, length = binary(data, datatype=kind, shape=[rows])
    try:
        (tensor,) = read_request(body + more, length, Limits(), 7).inputs
    except RefusedError:
        return
    assert len(tensor.values) == rows
    assert not more


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"datatype": ["FP64"]}, "the datatype must be one of"),
        ({"datatype": {"a": 1}}, "the datatype must be one of"),
        ({"shape": [2**63] * 300}, "a list of one or two whole numbers"),
        ({"shape": [1, 1, 1]}, "a list of one or two whole numbers"),
        ({"shape": [2**63]}, "a list of one or two whole numbers"),
        ({"data": [[[1.0]]]}, "nested deeper than rows of values"),
    ],
)
async def test_tensors_that_are_none_are_refused_and_take_no_time(
    client: httpx.AsyncClient, changed: dict[str, Any], said: str
) -> None:
    asked = tensors([GOOD])
    asked["inputs"][0] |= changed
    reply = await client.post(INFER, json=asked)
    assert reply.status_code == 400
    assert said in reply.json()["error"]


@pytest.mark.parametrize("header", ["inference-header-content-length", "content-length"])
async def test_lengths_of_thousands_of_digits_are_numbers_like_others(client: httpx.AsyncClient, header: str) -> None:
    body = json.dumps(tensors([GOOD])).encode()
    zeros = await client.post(INFER, content=body, headers={header: "0" * 5000 + str(len(body))})
    assert zeros.status_code == 200, zeros.text
    nines = await client.post(INFER, content=body, headers={header: "9" * 5000})
    assert nines.status_code in (400, 413)


async def test_what_one_request_may_hold_is_what_the_bundle_says(live: Live) -> None:
    bundle = replace(live.bundle, limits=Limits(body_bytes=2000, rows=2, text=20))
    async with client_of(replace(live, bundle=bundle)) as client:
        assert (await client.post(INFER, json=tensors([GOOD]))).status_code == 200
        assert (await client.post(INFER, json=tensors([GOOD] * 3))).status_code == 413
        assert (await client.post(INFER, json={**tensors([GOOD]), "more": ["x" * 30]})).status_code == 413
        assert (await client.post(INFER, json={**tensors([GOOD]), "more": ["x"] * 2000})).status_code == 413
