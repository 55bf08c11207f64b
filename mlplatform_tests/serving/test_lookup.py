"""Requests by key, for each task, through the app."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from mlplatform.contracts.rules import Rule, dump_rules
from mlplatform.errors import ArtifactError
from mlplatform.ml.train import train_candidate
from mlplatform.serving.app import create_app
from mlplatform.serving.bundle import load_bundle, write_manifest
from mlplatform.serving.lookup import ROWS_FILE, LookupSettings
from mlplatform.serving.scoring import Live, Slot
from mlplatform_tests.ml.data import AS_OF
from mlplatform_tests.ml.task_data import forecast_rows, forecast_training, order_rows, order_training, small_trees

Ask = Callable[[dict[str, Any]], Any]


def newest_order() -> pd.DataFrame:
    """Two people and the default 0, twenty candidates each."""
    rows = order_rows(requests=3).assign(title=lambda frame: "film " + frame["item"].astype(str))
    return rows.rename(columns={"request_id": "user_id"})


def newest_forecast() -> pd.DataFrame:
    rows = forecast_rows()
    whole = rows.loc[rows["horizon"] == rows["horizon"].max(), "event_time"].max()
    return rows[rows["event_time"] == whole].drop(columns="label")


def sealed(folder: Path, rows: pd.DataFrame, settings: LookupSettings, training: Any, learned: pd.DataFrame) -> Path:
    found = train_candidate(learned, small_trees(), training, event_time="event_time", as_of=AS_OF)
    found.model.save(folder)
    rules = [
        Rule(name=name, type="string" if name == "series" else "float", example="s0" if name == "series" else 1)
        for name in found.model.features
    ]
    (folder / "contract.json").write_text(dump_rules(rules))
    rows.to_parquet(folder / ROWS_FILE, index=False)
    settings.save(folder)
    write_manifest(folder, "case", "1", {})
    return folder


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = LookupSettings(("user_id",), "items", ("item", "title"), "event_time", {"user_id": 0}, "k", usual=5)
    folder = tmp_path_factory.mktemp("films") / "bundle"
    return sealed(folder, newest_order(), settings, order_training(), order_rows())


@pytest.fixture(scope="module")
def sales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = LookupSettings(("series",), "forecasts", ("horizon",), "event_time", {}, "horizon", steps="horizon")
    folder = tmp_path_factory.mktemp("sales") / "bundle"
    return sealed(folder, newest_forecast(), settings, forecast_training(), forecast_rows())


def client_of(bundle: Path) -> httpx.AsyncClient:
    slot = Slot()
    slot.swap(Live.of(load_bundle(bundle), "case:v1"))
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app(slot)), base_url="http://service")


async def test_a_key_gets_its_best_candidates_with_reasons(films: Path) -> None:
    async with client_of(films) as client:
        answer = await client.post("/predict", json={"user_id": 1, "k": 3})
    assert answer.status_code == 200
    said = answer.json()
    scores = [item["score"] for item in said["items"]]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    assert said["known"] is True
    assert all(item["title"] == f"film {item['item']}" for item in said["items"])
    assert len(said["items"][0]["reasons"]) == 3
    assert said["as_of"].startswith("20")


async def test_without_a_limit_the_usual_number_comes_back(films: Path) -> None:
    async with client_of(films) as client:
        assert len((await client.post("/predict", json={"user_id": 1})).json()["items"]) == 5


async def test_the_best_are_the_best_of_all_rows_of_the_key(films: Path) -> None:
    model = load_bundle(films).model
    rows = newest_order().query("user_id == 2")
    rows = rows.assign(score=model.predict(model.matrix(rows))).sort_values("score", ascending=False)
    async with client_of(films) as client:
        said = (await client.post("/predict", json={"user_id": 2, "k": 20, "explain": False})).json()
    assert {item["item"] for item in said["items"]} == set(rows["item"])
    assert [item["score"] for item in said["items"]] == pytest.approx(rows["score"].tolist())
    assert "reasons" not in said["items"][0]


async def test_somebody_unknown_gets_the_default_and_is_told(films: Path) -> None:
    async with client_of(films) as client:
        unknown = (await client.post("/predict", json={"user_id": 99})).json()
        default = (await client.post("/predict", json={"user_id": 0})).json()
    assert unknown["known"] is False
    assert unknown["items"] == default["items"]


async def test_a_series_gets_its_horizons_in_order_with_quantiles(sales: Path) -> None:
    async with client_of(sales) as client:
        said = (await client.post("/predict", json={"series": "s1", "horizon": 4})).json()
    assert [entry["horizon"] for entry in said["forecasts"]] == [1, 2, 3, 4]
    for entry in said["forecasts"]:
        low, middle, high = entry["quantiles"].values()
        assert low <= middle == entry["forecast"] <= high
        assert entry["reasons"]


@pytest.mark.parametrize(
    ("request_body", "told"),
    [
        ({"series": "s1", "horizon": 8}, "horizon is 8; forecasts reach 7 steps ahead"),
        ({"series": "s1", "horizon": 0}, "horizon must be a whole number from 1 on"),
        ({"series": "s1", "horizon": True}, "horizon must be a whole number from 1 on"),
        ({"series": "s9"}, "no such series; 3 are known, such as {'series': 's0'}"),
        ({"series": ["s1"]}, "series must be a text"),
        ({"series": None}, "series must be a text"),
        ({"series": 1}, "series must be a text"),
        ({"serie": "s1"}, "a request names series, and may name horizon, such as {'series': 's0'}; or it brings all"),
        ({"series": "s1", "horizon": 2, "foo": 1}, "a request names series, and may name horizon"),
        ({}, "a request names series, and may name horizon"),
    ],
)
async def test_what_cannot_be_answered_is_said(sales: Path, request_body: dict[str, Any], told: str) -> None:
    async with client_of(sales) as client:
        answer = await client.post("/predict", json=request_body)
    assert answer.status_code == 422
    assert told in answer.json()["error"]


async def test_features_are_still_taken(sales: Path) -> None:
    row = {"series": "s1", "horizon": 2, "promotion": 0, "same_weekday": 30.0, "weekday": 3}
    async with client_of(sales) as client:
        answer = await client.post("/predict", json=row)
        wrong = await client.post("/predict", json={**row, "horizon": "far"})
    assert set(answer.json()["quantiles"]) == {"0.1", "0.5", "0.9"}
    assert wrong.json()["problems"][0]["field"] == "horizon"


async def test_the_example_of_the_document_is_answered_and_the_page_shows_it(sales: Path, films: Path) -> None:
    for bundle, entries in ((sales, "forecasts"), (films, "items")):
        async with client_of(bundle) as client:
            document = (await client.get("/openapi.json")).json()
            body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
            answer = await client.post("/predict", json=body["examples"]["by key"]["value"])
            page = (await client.get("/")).text
        assert answer.status_code == 200
        schemas = document["components"]["schemas"]
        assert set(schemas["ByKeyAnswer"]["required"]) == set(answer.json())
        assert set(schemas["Entry"]["required"]) <= set(answer.json()[entries][0])
        assert "decided" not in page


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda rows: rows.head(0), "has no row; materialise the features"),
        (
            lambda rows: rows[rows["user_id"] != 0],
            r"has no row of serving\.default {'user_id': 0}; keys look like \(1,\)",
        ),
        (lambda rows: rows.assign(user_id=rows["user_id"].replace(1, None).astype(float)), "whole numbers or texts"),
    ],
)
def test_rows_that_no_request_could_find_are_no_bundle(
    films: Path, tmp_path: Path, spoil: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    broken = tmp_path / "bundle"
    shutil.copytree(films, broken)
    spoil(pd.read_parquet(broken / ROWS_FILE)).to_parquet(broken / ROWS_FILE)
    write_manifest(broken, "case", "1", {})
    with pytest.raises(ArtifactError, match=message):
        load_bundle(broken)


def test_rows_that_lack_a_feature_are_no_bundle(films: Path, tmp_path: Path) -> None:
    broken = tmp_path / "bundle"
    shutil.copytree(films, broken)
    pd.read_parquet(broken / ROWS_FILE).drop(columns="near").to_parquet(broken / ROWS_FILE)
    write_manifest(broken, "case", "1", {})
    with pytest.raises(ArtifactError, match=r"lookup\.parquet lacks near"):
        load_bundle(broken)
