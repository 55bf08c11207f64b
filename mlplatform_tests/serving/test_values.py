"""A body of a few MiB costs milliseconds, whatever it holds: what no request needs is counted, not made."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.serving import request, tensors
from mlplatform.serving.app import create_app
from mlplatform.serving.codec import loads
from mlplatform.serving.limits import Limits
from mlplatform.serving.scoring import Live, Slot
from mlplatform.serving.values import holds_more_values
from mlplatform_tests.serving.conftest import GOOD
from mlplatform_tests.serving.test_inference_v2 import INFER, TYPES

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(alphabet='a,[{\\"}é', max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='b,{\\"', max_size=4), inner),
)
TENSOR = b'{"name":"%d","datatype":"FP64","shape":[1],"data":[1]}'
HOSTILE = [
    ("/predict", b'{"a":[' + b",".join([b"[]"] * 1_300_000) + b"]}"),
    ("/predict", b'{"a":[' + b",".join([b'""'] * 1_300_000) + b"]}"),
    ("/predict", b"{" + b",".join(b'"%x":1' % number for number in range(380_000)) + b"}"),
    ("/predict", b'{"rows":[' + b",".join([b"{}"] * 1_300_000) + b"]}"),
    ("/score", b'{"a":[' + b",".join([b"[]"] * 1_300_000) + b"]}"),
    (INFER, b'{"inputs":[' + b",".join(TENSOR % number for number in range(70_000)) + b"]}"),
]


def values_of(content: Any) -> int:
    inner = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    return 1 + sum(map(values_of, inner))


def post(live: Live, path: str, body: bytes, **headers: str) -> httpx.Response:
    import asyncio

    async def posted() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(Slot(live)))
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.post(path, content=body, headers={"content-type": "application/json", **headers})

    return asyncio.run(posted())


@pytest.mark.parametrize(("path", "body"), HOSTILE)
def test_a_body_of_a_million_values_is_refused_before_any_is_made(
    live: Live, path: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unmade(_: bytes) -> Any:
        raise AssertionError("the body was parsed")

    monkeypatch.setattr(request, "loads", unmade)
    monkeypatch.setattr(tensors, "loads", unmade)
    reply = post(live, path, body)

    assert reply.status_code == 413, reply.text
    assert "more values than" in reply.json()["error"]


def test_more_tensors_than_the_model_has_inputs_are_refused_by_their_number(live: Live) -> None:
    body = b'{"inputs":[' + b",".join(TENSOR % number for number in range(500)) + b"]}"
    reply = post(live, INFER, body)

    assert (reply.status_code, reply.json()["error"]) == (
        400,
        "500 inputs; the model has 6, each of which comes once",
    )


@pytest.mark.parametrize(("kind", "size"), [("BYTES", 4), ("BOOL", 1)])
def test_a_raw_tensor_of_more_values_than_its_shape_is_not_read(live: Live, kind: str, size: int) -> None:
    told = {"name": "a", "datatype": kind, "shape": [1], "parameters": {"binary_data_size": 4_000_000}}
    head = json.dumps({"inputs": [told]}).encode()
    before = time.process_time()
    reply = post(live, INFER, head + bytes(4_000_000), **{"inference-header-content-length": str(len(head))})

    assert reply.status_code == 400
    assert "but the shape asks for" in reply.json()["error"]
    assert time.process_time() - before < 0.5 * size


def test_a_raw_tensor_of_more_rows_than_the_limit_is_refused_by_its_shape(live: Live) -> None:
    told = {"name": "a", "datatype": "BOOL", "shape": [4_000_000], "parameters": {"binary_data_size": 4_000_000}}
    head = json.dumps({"inputs": [told]}).encode()
    reply = post(live, INFER, head + bytes(4_000_000), **{"inference-header-content-length": str(len(head))})

    assert (reply.status_code, "the limit is 5000" in reply.json()["error"]) == (413, True)


def long_texts(live: Live) -> bytes:
    """Texts full of what is counted outside of texts."""
    rows = [{**GOOD, "channel": ',[{"\\' * 100} for _ in range(5000)]
    return json.dumps({"rows": rows, "explain": False}).encode()


def nested(live: Live) -> bytes:
    columns = [
        {"name": name, "datatype": kind, "shape": [5000, 1], "data": [[GOOD[name]]] * 5000}
        for name, kind in TYPES.items()
    ]
    return json.dumps({"inputs": columns}).encode()


@pytest.mark.parametrize(("path", "made"), [("/predict", long_texts), (INFER, nested)])
def test_the_largest_good_requests_are_read(live: Live, path: str, made: Callable[[Live], bytes]) -> None:
    roomy = replace(live, bundle=replace(live.bundle, limits=Limits(body_bytes=16 * 1024 * 1024)))
    reply = post(roomy, path, made(live))

    # The texts are no categories of the contract: they were read, one by one.
    assert reply.status_code == (200 if path == INFER else 422), reply.text
    assert path == INFER or "problems in the rows" in reply.json()["error"]


def test_twice_as_many_fields_as_there_are_is_still_a_mistake_that_is_named(live: Live) -> None:
    rows = [{**GOOD, **{f"more_{number}": 1 for number in range(6)}}] * 5000
    reply = post(live, "/predict", json.dumps({"rows": rows}).encode())

    assert reply.status_code == 422
    assert "is not a feature of this model" in reply.json()["problems"][0]["problem"]


@given(JSON, st.integers(1, 12))
@settings(max_examples=200, deadline=None)
def test_whatever_json_is_counted_never_too_low_nor_by_its_texts(content: Any, most: int) -> None:
    body = json.dumps(content, ensure_ascii=bool(most % 2)).encode()
    assert loads(body) == content
    if holds_more_values(body, most):
        # Each container that is empty counts for one value that it could hold.
        assert values_of(content) - 1 + empty_of(content) > most
    else:
        assert values_of(content) - 1 <= most


def empty_of(content: Any) -> int:
    inner = content.values() if isinstance(content, dict) else content if isinstance(content, list) else None
    return 0 if inner is None else sum(map(empty_of, inner)) if inner else 1


def test_columns_of_5000_rows_and_20_features_fit_with_room_for_nesting() -> None:
    row = dict.fromkeys(map(str, range(20)), "text, text")
    body = json.dumps({"rows": [row] * 5000}).encode()
    assert not holds_more_values(body, Limits().values(20))
    assert np.isclose(Limits().values(20), 210_000)
