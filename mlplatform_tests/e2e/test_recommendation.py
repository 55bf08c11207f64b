"""Ratings in two CSV files of other names: only `sources:` is another, and everything up to a list of movies works."""

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from mlplatform.cli.demo import free_port
from mlplatform.cli.serve import ask, start_live
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.serving.launch import stop_service
from mlplatform_tests.e2e.edge import answers_of_both
from mlplatform_tests.movie_ratings import movie_ratings, small_recommendation, write_movie_ratings
from mlplatform_tests.small_fraud import Platform, dagster_home

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def platform(module_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    sources = write_movie_ratings(tmp_path_factory.mktemp("files"), movie_ratings())
    with dagster_home(module_home.dagster) as instance:
        yield Platform(small_recommendation(sources), instance)


@pytest.fixture(scope="module")
def run(platform: Platform) -> dg.ExecuteInProcessResult:
    return platform.run()


def test_one_run_takes_two_files_to_a_deployed_model_and_a_decision(
    run: dg.ExecuteInProcessResult, platform: Platform
) -> None:
    assert run.success
    assert platform.metadata("deployment")["model_version"] == 1
    assert platform.metadata("retrain_decision")["verdict"] in {"wait", "retrain", "blocked"}


def test_tables_made_in_python_have_rows_but_no_column_lineage(
    run: dg.ExecuteInProcessResult, platform: Platform
) -> None:
    candidates, covisits = platform.metadata("candidates"), platform.metadata("covisits")
    assert candidates["dagster/row_count"] > 0
    assert "dagster/column_lineage" not in candidates
    assert "dagster/column_lineage" in covisits


def test_models_learn_from_three_moments_and_are_judged_on_the_protocol_s(
    run: dg.ExecuteInProcessResult, module_home: Home
) -> None:
    with Lake.at(module_home).read() as con:
        days = con.execute(
            "SELECT part, list(DISTINCT date_diff('day', TIMESTAMP '2000-01-01', event_time) ORDER BY 1) "
            "FROM recommendation.training_set GROUP BY part"
        ).fetchall()
    parts = {part: sorted(found) for part, found in days}
    assert parts == {"train": [398, 498, 598], "tune": [699], "test": [800]}


def test_the_service_recommends_to_people_to_anyone_and_refuses_nonsense(
    run: dg.ExecuteInProcessResult, platform: Platform, module_home: Home
) -> None:
    requests = [{"user_id": 5, "k": 3}, {"user_id": 10**9}, {"user_id": 5, "k": 0}, {"user": 5}]
    served = start_live("recommendation", free_port(), module_home)
    try:
        known, unknown, *wrong = [ask("recommendation", served.url, json.dumps(row)) for row in requests]
    finally:
        stop_service(served.pid)
    assert [answer.status for answer in (known, unknown, *wrong)] == [200, 200, 422, 422]
    assert len(known.body["items"]) == 3
    assert len(unknown.body["items"]) == 10
    with Lake.at(module_home).read() as con:
        rated = con.execute("SELECT movie_id FROM recommendation.stg_ratings WHERE user_id = 5").fetchall()
        liked = con.execute(
            "SELECT title FROM recommendation.stg_ratings JOIN recommendation.stg_movies USING (movie_id) "
            "WHERE user_id = 5 AND liked"
        ).fetchall()
    assert not {item["movie_id"] for item in known.body["items"]} & {movie for (movie,) in rated}
    assert {item["because"] for item in known.body["items"]} <= {title for (title,) in liked} | {None}
    assert {item["because"] for item in unknown.body["items"]} == {None}


def test_the_exported_model_answers_like_the_service_where_there_is_only_numpy_and_onnxruntime(
    run: dg.ExecuteInProcessResult, module_home: Home, tmp_path: Path
) -> None:
    device, service = answers_of_both(module_home, "recommendation", tmp_path)
    assert len(device) == len(service) >= 100
    for told, served in zip(device, service, strict=True):
        assert told == pytest.approx(served, rel=1e-9, abs=1e-9)
