"""The dbt models on made-up ratings: the clock of histories, requests and labels, features as known at the request."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.home import Home
from mlplatform.lake.feature_query import FeatureQuery
from mlplatform.lake.lake import Lake
from mlplatform.lake.leakage import check_leakage
from mlplatform.lake.tables import replace_table
from mlplatform.resources.dbt import _dbt
from mlplatform.spec import load_declaration
from mlplatform.use_cases.recommendation.retrieval import find_candidates
from mlplatform_tests.movie_ratings import movie_ratings

ORIGIN = pd.Timestamp("2000-01-01")
AS_OF = datetime(2003, 1, 1)
MODELS = ("stg_ratings", "stg_movies", "requests", "covisits", "candidates", "spine", "features")
Tables = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dbt's manifest with the compiled text of every model of the use case (about 6 s)."""
    home, target = Home(tmp_path_factory.mktemp("home")), tmp_path_factory.mktemp("target")
    _dbt(home, "compile", "--select", "fqn:*.recommendation.*", "--no-populate-cache", "--target-path", str(target))
    return target / "manifest.json"


@pytest.fixture(scope="module")
def query(manifest: Path) -> FeatureQuery:
    return FeatureQuery.from_manifest(manifest, "recommendation")


@pytest.fixture(scope="module")
def texts(manifest: Path) -> dict[str, str]:
    nodes = json.loads(manifest.read_text())["nodes"]
    return {name: nodes[f"model.mlplatform.recommendation_{name}"]["compiled_code"] for name in MODELS}


def build(texts: Mapping[str, str], raw: Mapping[str, pd.DataFrame], until: str = "features") -> Tables:
    """Run the models, one after the other, up to `until`, in a DuckDB of their own."""
    made: Tables = {}
    with duckdb.connect(config={"threads": "1"}) as con:
        con.execute("ATTACH ':memory:' AS lake; USE lake")
        con.execute("CREATE SCHEMA raw_recommendation; CREATE SCHEMA recommendation")
        for name, rows in raw.items():
            con.register("_rows", rows)
            con.execute(f"CREATE TABLE lake.raw_recommendation.{name} AS FROM _rows")
        for name in MODELS[: MODELS.index(until) + 1]:
            text = texts[name]
            if name == "candidates":
                con.register("_found", find_candidates(made["stg_ratings"], made["covisits"], made["requests"]))
                text = "FROM _found"
            con.execute(f"CREATE TABLE lake.recommendation.{name} AS {text}")
            made[name] = con.execute(f"FROM lake.recommendation.{name}").df()
    return made


@pytest.fixture(scope="module")
def made(texts: Mapping[str, str]) -> Tables:
    return build(texts, movie_ratings())


def in_order(ratings: int) -> dict[str, pd.DataFrame]:
    """One person who rates movies 1, 2, ... one minute apart."""
    world = movie_ratings(people=1)
    at = pd.Timestamp("2010-01-01") + pd.to_timedelta(range(ratings), unit="min")
    rows = {"user_id": 1, "movie_id": range(1, ratings + 1), "rating": 4.0, "rated_at": at}
    return {**world, "ratings": pd.DataFrame(rows)}


@given(st.integers(1, 400))
@settings(max_examples=15, deadline=None)
def test_up_to_day_800_lie_the_first_80_percent_of_any_history(texts: Mapping[str, str], ratings: int) -> None:
    staged = build(texts, in_order(ratings), "stg_ratings")["stg_ratings"]
    first = staged[staged["event_time"] <= ORIGIN + pd.Timedelta(days=800)]
    assert len(first) == ratings * 8 // 10
    assert set(first["movie_id"]) == set(range(1, ratings * 8 // 10 + 1))
    assert staged["event_time"].max() == ORIGIN + pd.Timedelta(days=1000)


def test_everybody_asks_at_each_moment_and_so_does_anyone(made: Tables) -> None:
    requests = made["requests"]
    assert requests["request_id"].is_unique
    open_ones = requests[requests["profile_id"] == requests["user_id"]]
    assert (open_ones.groupby("event_time").size() == 61).all()
    days = (requests["event_time"].drop_duplicates() - ORIGIN).dt.days
    assert sorted(days) == [398, 498, 598, 699, 800, 1000]


def test_a_tenth_ask_as_if_nothing_were_known_of_them_but_never_to_judge_a_model(made: Tables) -> None:
    hidden = made["requests"].query("profile_id != user_id")
    assert 0 < len(hidden) < 0.3 * 3 * 60
    assert set((hidden["event_time"] - ORIGIN).dt.days) <= {398, 498, 598}


def test_a_label_says_whether_the_person_liked_the_movie_within_the_horizon(made: Tables) -> None:
    spine, ratings = made["spine"], made["stg_ratings"]
    liked = ratings[ratings["liked"]].set_index(["user_id", "movie_id"])["event_time"]
    for row in spine.sample(2000, random_state=0).itertuples():
        at = liked.get((row.user_id, row.movie_id))
        if row.user_id == 0 or pd.isna(row.label_known_at):
            assert pd.isna(row.label)
        else:
            assert row.label == (at is not None and row.event_time < at <= row.label_known_at)
    assert spine["label"].sum() > 100


def test_the_last_requests_have_no_label_and_those_of_the_protocol_see_all_that_is_held_out(made: Tables) -> None:
    spine = made["spine"]
    last = spine[spine["event_time"] == spine["event_time"].max()]
    assert last["label"].isna().all()
    judged = spine[spine["event_time"] == ORIGIN + pd.Timedelta(days=800)].query("user_id != 0")
    assert (judged["label_known_at"] == ORIGIN + pd.Timedelta(days=1000)).all()


def test_covisits_of_a_moment_rest_on_ratings_up_to_it(texts: Mapping[str, str], made: Tables) -> None:
    moment = ORIGIN + pd.Timedelta(days=598)
    raw = movie_ratings()
    staged = made["stg_ratings"]
    later = staged[staged["event_time"] > moment].set_index(["user_id", "movie_id"]).index
    other = raw["ratings"].set_index(["user_id", "movie_id"]).index.isin(later)
    raw["ratings"].loc[other, "movie_id"] += 5000
    found = [build(texts, world, "covisits")["covisits"] for world in (movie_ratings(), raw)]
    first, second = (
        rows[rows["learned_at"] == moment].sort_values(["movie_id", "other_id"], ignore_index=True) for rows in found
    )
    pd.testing.assert_frame_equal(first, second)
    assert len(first) > 0


def test_every_declared_feature_is_computed_and_one_row_per_example(made: Tables) -> None:
    spec, features = load_declaration("recommendation").spec, made["features"]
    assert {*spec.training.features, *spec.training.gates.slices, *spec.serving.show} <= set(features.columns)
    assert sorted(features["example_id"]) == sorted(made["spine"]["example_id"])


def test_features_of_a_movie_count_the_ratings_up_to_the_request(made: Tables) -> None:
    ratings = made["stg_ratings"]
    for row in made["features"].sample(50, random_state=1).itertuples():
        known = ratings[(ratings["event_time"] <= row.event_time) & (ratings["movie_id"] == row.movie_id)]
        assert row.popularity == len(known)
        assert row.movie_like_share == pytest.approx((known["liked"].sum() + 2.5) / (len(known) + 5))


def test_features_of_a_person_count_their_history_and_are_missing_for_anyone(made: Tables) -> None:
    ratings, features = made["stg_ratings"], made["features"]
    anyone = features[features["user_id"] == 0]
    assert anyone[["ratings_so_far", "like_share", "genre_affinity", "recent_score"]].isna().all(axis=None)
    assert (anyone["history"] == "unknown").all()
    known = features[(features["user_id"] != 0) & features["ratings_so_far"].notna()]
    for row in known.sample(50, random_state=2).itertuples():
        mine = ratings[(ratings["event_time"] <= row.event_time) & (ratings["user_id"] == row.user_id)]
        assert row.ratings_so_far == len(mine)
        assert row.like_share == pytest.approx(mine["liked"].mean())


def test_the_same_ratings_give_the_same_features(texts: Mapping[str, str], made: Tables) -> None:
    raw = movie_ratings()
    shuffled = {name: rows.sample(frac=1, random_state=3) for name, rows in raw.items()}
    again = build(texts, shuffled)["features"]
    by_key = [rows.sort_values("example_id", ignore_index=True) for rows in (made["features"], again)]
    pd.testing.assert_frame_equal(*by_key, check_exact=True)


@pytest.fixture
def filled(lake: Lake, made: Tables) -> Lake:
    import pyarrow as pa

    tables = {name: pa.Table.from_pandas(rows, preserve_index=False) for name, rows in made.items()}
    lake.commit(lambda con: [replace_table(con, f"recommendation.{n}", rows) for n, rows in tables.items()], "fill")
    return lake


def leaking(query: FeatureQuery, lake: Lake) -> tuple[str, ...]:
    return check_leakage(query, lake, AS_OF, rows=6, seed=1, lookback_days=1000).leaking


def test_honest_features_are_rebuilt_exactly_on_what_was_known(filled: Lake, query: FeatureQuery) -> None:
    assert leaking(query, filled) == ()


def test_a_feature_that_counts_ratings_to_come_is_caught(filled: Lake, query: FeatureQuery) -> None:
    text = (
        "SELECT f.*, (SELECT count(*) FROM lake.recommendation.stg_ratings AS r WHERE r.movie_id = f.movie_id) "
        f"AS leak FROM ({query.sql}) AS f"
    )
    bad = replace(query, sql=text)
    filled.commit(lambda con: con.execute(f"CREATE OR REPLACE TABLE {bad.table} AS {text}"), "leak")
    assert leaking(bad, filled) == ("leak",)
