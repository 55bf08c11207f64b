"""Two models in closed form, and candidates that are learned from nothing but the ratings up to a moment."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.errors import PlatformError
from mlplatform.use_cases.recommendation import retrieval
from mlplatform.use_cases.recommendation.linear import Ease, factor_scores
from mlplatform.use_cases.recommendation.retrieval import COLUMNS, RANKS, SCORES, find_candidates
from mlplatform_tests.movie_ratings import movie_ratings

ORIGIN = pd.Timestamp("2000-01-01")
MOMENT = ORIGIN + pd.Timedelta(days=600)
matrices = st.tuples(st.integers(2, 9), st.integers(2, 9), st.integers(0, 10**6)).map(
    lambda shape: (np.random.default_rng(shape[2]).random(shape[:2]) < 0.4).astype(float)
)


@given(matrices, st.floats(0.5, 50))
@settings(deadline=None)
def test_ease_is_steck_s_formula_whichever_side_is_smaller(known: np.ndarray, penalty: float) -> None:
    inverse = np.linalg.inv(known.T @ known + penalty * np.eye(known.shape[1]))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    assert Ease.fit(known, penalty).scores(known) == pytest.approx(known @ weights, abs=1e-9)


@given(matrices)
@settings(deadline=None)
def test_what_rated_movies_add_sums_to_the_score_of_an_unrated_one(known: np.ndarray) -> None:
    ease = Ease.fit(known, 5.0)
    for person, scores in zip(known, ease.scores(known), strict=True):
        rated, unrated = np.flatnonzero(person), np.flatnonzero(person == 0)
        assert ease.weights(rated, unrated).sum(axis=0) == pytest.approx(scores[unrated], abs=1e-9)


@given(matrices, st.integers(1, 5))
@settings(deadline=None)
def test_factors_tell_what_a_truncated_svd_tells(known: np.ndarray, factors: int) -> None:
    left, size, right = np.linalg.svd(known, full_matrices=False)
    if factors < len(size) and size[factors - 1] - size[factors] < 1e-6:
        return  # which of two equal factors is kept is anybody's choice
    told = left[:, :factors] * size[:factors] @ right[:factors]
    assert factor_scores(known, factors) == pytest.approx(told, abs=1e-6)


def staged(raw: pd.DataFrame) -> pd.DataFrame:
    """Ratings as recommendation_stg_ratings has them."""
    rows = raw.sort_values(["user_id", "rated_at", "movie_id"], ignore_index=True)
    position = rows.groupby("user_id").cumcount() + 1
    share = position / rows.groupby("user_id")["movie_id"].transform("size")
    at = ORIGIN + pd.to_timedelta((share * 1000).round(6), unit="D")
    return rows.assign(position=position, event_time=at, liked=rows["rating"] >= 4)


NO_COVISITS = pd.DataFrame(
    {"learned_at": pd.Series(dtype="datetime64[us]"), "movie_id": [], "other_id": [], "together": [], "other_after": []}
).astype({"movie_id": "int64", "other_id": "int64", "together": "float64", "other_after": "float64"})


def asked(ratings: pd.DataFrame, moment: pd.Timestamp = MOMENT) -> pd.DataFrame:
    """A request of everybody, and one that hides the history of person 1, and one of anyone."""
    people = sorted(ratings.loc[ratings["event_time"] <= moment, "user_id"].unique())
    users = [*people, 1, 0]
    return pd.DataFrame(
        {
            "request_id": range(len(users)),
            "user_id": users,
            "profile_id": [*people, 0, 0],
            "event_time": moment,
            "answered_at": pd.NaT,
        }
    )


@pytest.fixture(scope="module")
def ratings() -> pd.DataFrame:
    return staged(movie_ratings()["ratings"])


@pytest.fixture(scope="module")
def found(ratings: pd.DataFrame) -> pd.DataFrame:
    return find_candidates(ratings, NO_COVISITS, asked(ratings))


def test_nobody_is_told_of_a_movie_that_they_have_rated(ratings: pd.DataFrame, found: pd.DataFrame) -> None:
    known = ratings[ratings["event_time"] <= MOMENT]
    assert not found.merge(known, on=["user_id", "movie_id"]).shape[0]
    assert not found.duplicated(["request_id", "movie_id"]).any()
    assert tuple(found.columns) == COLUMNS


def test_a_movie_that_nobody_has_rated_is_no_candidate(found: pd.DataFrame) -> None:
    assert 999 not in set(found["movie_id"])


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_later_ratings_change_nothing(ratings: pd.DataFrame, found: pd.DataFrame, seed: int) -> None:
    later = ratings["event_time"] > MOMENT
    changed = ratings.copy()
    random = np.random.default_rng(seed)
    changed.loc[later, "movie_id"] = random.integers(1, 2000, later.sum())
    changed.loc[later, "liked"] = random.random(later.sum()) < 0.5
    again = find_candidates(changed, NO_COVISITS, asked(ratings))
    pd.testing.assert_frame_equal(again, found)


def test_the_order_of_the_rows_changes_nothing(ratings: pd.DataFrame, found: pd.DataFrame) -> None:
    shuffled = ratings.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(find_candidates(shuffled, NO_COVISITS, asked(ratings)), found)


def test_somebody_without_a_history_is_told_what_is_popular_and_nothing_is_known_of_them(
    ratings: pd.DataFrame, found: pd.DataFrame
) -> None:
    known = ratings[ratings["event_time"] <= MOMENT]
    told = found[found["user_id"] == 0].sort_values("popular_rank")
    counts = known["movie_id"].value_counts()
    assert counts.loc[told["movie_id"]].is_monotonic_decreasing
    assert told["popular_rank"].tolist() == list(range(len(counts)))
    assert told[[*(f"{name}_score" for name in SCORES), "because_id"]].isna().all(axis=None)


def test_whoever_hides_their_history_is_still_not_told_of_what_they_have_rated(
    ratings: pd.DataFrame, found: pd.DataFrame
) -> None:
    hidden = found[found["request_id"] == found["request_id"].max() - 1]
    mine = ratings[(ratings["user_id"] == 1) & (ratings["event_time"] <= MOMENT)]
    assert len(hidden) > 0
    assert not set(hidden["movie_id"]) & set(mine["movie_id"])
    assert hidden["recent_score"].isna().all()


def test_somebody_who_likes_nothing_gets_candidates_without_a_because(ratings: pd.DataFrame) -> None:
    sour = ratings.assign(liked=ratings["liked"] & (ratings["user_id"] != 2))
    told = find_candidates(sour, NO_COVISITS, asked(sour)).query("user_id == 2")
    assert len(told) > 0
    assert told["because_id"].isna().all()


def test_the_reason_is_a_movie_that_the_person_likes(ratings: pd.DataFrame, found: pd.DataFrame) -> None:
    reasons = found.dropna(subset=["because_id"])
    liked = ratings[(ratings["event_time"] <= MOMENT) & ratings["liked"]]
    pairs = set(zip(liked["user_id"], liked["movie_id"], strict=True))
    assert set(zip(reasons["user_id"], reasons["because_id"].astype(int), strict=True)) <= pairs
    assert len(reasons) > 0.5 * len(found)


def test_ranks_count_what_is_better_among_the_unseen(found: pd.DataFrame) -> None:
    for name in RANKS[:2]:
        of_one = found[(found["user_id"] == 3) & (found["request_id"] == 2)].sort_values(f"{name}_rank")
        assert of_one[f"{name}_score"].is_monotonic_decreasing


def test_more_people_and_movies_than_memory_holds_are_refused(
    ratings: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieval, "_MOST_CELLS", 100)
    with pytest.raises(PlatformError, match="60 people times 90 movies are more than 100 cells"):
        find_candidates(ratings, NO_COVISITS, asked(ratings))
