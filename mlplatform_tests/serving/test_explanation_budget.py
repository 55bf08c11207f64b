"""Reasons are given on request, or where they are cheap; where they are left out, the answer says so."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlplatform.serving.app import create_app
from mlplatform.serving.bundle import load_bundle
from mlplatform.serving.limits import Limits
from mlplatform.serving.openapi.document import document
from mlplatform.serving.scoring import ExplanationCost, Live, Slot
from mlplatform.spec.serving import RequestLimits
from mlplatform_tests.serving.conftest import GOOD, write_bundle
from mlplatform_tests.serving.test_inference_v2 import tensors


@pytest.fixture
def slot(tmp_path: Path) -> Slot:
    """10 ms for one row, 1 ms for each row more, 50 ms allowed: up to 41 rows."""
    live = Live.of(load_bundle(write_bundle(tmp_path / "1", "1")), "fraud:v1")
    bundle = replace(live.bundle, limits=Limits(explanation_ms=50))
    return Slot(replace(live, bundle=bundle, explanation=ExplanationCost(first=0.010, further=0.001)))


async def predict(slot: Slot, rows: int, **options: Any) -> dict[str, Any]:
    transport = httpx.ASGITransport(create_app(slot))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        reply = await client.post("/predict", json={"rows": [GOOD] * rows, **options})
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


def explained(answer: dict[str, Any]) -> set[bool]:
    return {"reasons" in prediction for prediction in answer["predictions"]}


async def test_cheap_reasons_come_unasked_for(slot: Slot) -> None:
    answer = await predict(slot, 41)
    assert explained(answer) == {True}
    assert "reasons_left_out" not in answer


async def test_dear_ones_do_not_and_the_answer_says_how_to_get_them(slot: Slot) -> None:
    answer = await predict(slot, 42)
    assert explained(answer) == {False}
    assert "of 42 rows they may take longer than 50 ms" in answer["reasons_left_out"]
    assert '"explain": true' in answer["reasons_left_out"]


@pytest.mark.parametrize("explain", [True, False])
async def test_who_says_what_they_want_gets_it(slot: Slot, explain: bool) -> None:
    answer = await predict(slot, 42, explain=explain)
    assert explained(answer) == {explain}
    assert "reasons_left_out" not in answer


def test_what_reasons_cost_is_measured_on_the_model_itself(tmp_path: Path) -> None:
    live = Live.of(load_bundle(write_bundle(tmp_path / "1", "1")), "fraud:v1")
    assert live.explanation is not None
    assert 0 < live.explanation.milliseconds(1) <= live.explanation.milliseconds(1000)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", {"rows": [GOOD] * 4, "explain": True}),
        ("/predict_rows", {"rows": [GOOD] * 4, "explain": True}),
        ("/v2/models/fraud/infer", {**tensors([GOOD] * 4), "outputs": [{"name": "reasons"}]}),
    ],
)
async def test_reasons_of_more_rows_than_the_limit_are_refused_and_scores_are_not(
    slot: Slot, path: str, body: dict[str, Any]
) -> None:
    app = create_app(slot, Limits(explained_rows=3))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        refused = await client.post(path, json=body)
        scored = await client.post("/predict", json={"rows": [GOOD] * 4, "explain": False})

    assert (refused.status_code, scored.status_code) == (413, 200)
    assert "reasons of 4 rows in one request; the limit is 3" in refused.json()["error"]


async def test_the_limit_is_declared_travels_with_the_bundle_and_stands_in_the_document(
    slot: Slot, tmp_path: Path
) -> None:
    Limits(**RequestLimits(explained_rows=7).model_dump()).save(tmp_path)
    assert Limits.load(tmp_path).explained_rows == 7
    assert slot.live is not None
    described = document(slot.live)["components"]["schemas"]["Many"]["properties"]["explain"]["description"]
    assert "of at most 500 rows" in described
