"""Candidates: the few movies of thousands that are worth ranking for a request, and what each retriever says of them.

Everything here is learned anew for each moment somebody asks, from the ratings up to that moment and no other. dbt runs
it as the model `recommendation_candidates`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlplatform.errors import PlatformError
from mlplatform.use_cases.recommendation.linear import Ease, Matrix, factor_scores

__all__ = ["COLUMNS", "TAKEN", "find_candidates"]

TAKEN = {"recent": 60, "liked": 50, "beside": 40, "after": 30, "rated": 30, "popular": 30}
"""Best movies taken from each retriever; the union is about 120 a request. Chosen on requests before day 800."""
POPULAR_FOR_ANYONE = 200
COLUMNS = (
    "request_id", "user_id", "movie_id", "event_time", "rated_score", "liked_score", "recent_score", "taste_score",
    "factor_score", "beside_score", "after_score", "recent_rank", "liked_rank", "beside_rank", "after_rank",
    "popular_rank", "because_id",
)  # fmt: skip
SCORES = ("rated", "liked", "recent", "taste", "factor", "beside", "after")
RANKS = ("recent", "liked", "beside", "after", "popular")

_RATED_PENALTY, _LIKED_PENALTY, _FACTORS = 500.0, 200.0, 16
# How much the rating before counts beside a rating: of what was liked, and of what was seen last.
_FADING, _FADING_FAST = 0.95, 0.8
# Scores are compared after this many digits, so that no machine's order of summation decides who comes first.
_DIGITS = 6
_MOST_CELLS = 200_000_000
Columns = dict[str, npt.NDArray[Any]]


def find_candidates(ratings: pd.DataFrame, covisits: pd.DataFrame, requests: pd.DataFrame) -> pd.DataFrame:
    """Candidates of each request, none of which the person had rated by then; one row each, with `COLUMNS`.

    Args:
        ratings: `user_id`, `movie_id`, `rating`, `liked`, `position`, `event_time`; one row per person and movie.
        covisits: `learned_at`, `movie_id`, `other_id`, `together`, `other_after`.
        requests: `request_id`, `user_id`, `profile_id` (0: nothing is known of who asks), `event_time`, `answered_at`.

    Ranks count from 0. Scores and ranks are missing where nothing is known of who asks. `because_id` stands only where
    somebody still waits for an answer (`answered_at` is missing) and a movie that they liked speaks for the candidate.

    Raises:
        PlatformError: people times movies are more than memory holds.
    """
    found: list[Columns] = []
    for moment, asked in requests.groupby("event_time", sort=True):
        known = _Known.at(ratings, moment)
        retrieved = _retrieve(known, covisits[covisits["learned_at"] == moment])
        nameless = asked["profile_id"] == 0
        found += [_for_people(known, retrieved, asked[~nameless]), _for_anyone(known, asked[nameless])]
    every = pd.DataFrame({name: np.concatenate([columns[name] for columns in found]) for name in COLUMNS})
    return every.sort_values(["request_id", "movie_id"], ignore_index=True)


@dataclass(frozen=True)
class _Known:
    """The ratings up to one moment; people and movies by their place in `people` and `movies`, which ascend."""

    people: npt.NDArray[np.int64]
    movies: npt.NDArray[np.int64]
    user: npt.NDArray[np.int64]
    movie: npt.NDArray[np.int64]
    liked: Matrix
    above_mean: Matrix
    """Rating less the person's mean rating."""
    back: npt.NDArray[np.int64]
    """How many ratings the person has given since."""

    @classmethod
    def at(cls, ratings: pd.DataFrame, moment: object) -> Self:
        rows = ratings[ratings["event_time"] <= moment].sort_values(["user_id", "position"])
        people, user = np.unique(rows["user_id"], return_inverse=True)
        movies, movie = np.unique(rows["movie_id"], return_inverse=True)
        if len(people) * len(movies) > _MOST_CELLS:
            raise PlatformError(
                f"{len(people):,} people times {len(movies):,} movies are more than {_MOST_CELLS:,} cells, which the "
                "retrievers hold in memory; leave out people or movies with few ratings in recommendation_stg_ratings"
            )
        of_user = rows.groupby("user_id")
        return cls(
            people, movies, user, movie,
            rows["liked"].to_numpy(dtype=np.float64),
            (rows["rating"] - of_user["rating"].transform("mean")).to_numpy(dtype=np.float64),
            (of_user["position"].transform("max") - rows["position"]).to_numpy(dtype=np.int64),
        )  # fmt: skip

    def profiles(self, counts: npt.NDArray[np.floating[Any]] | float = 1.0) -> Matrix:
        """Float64[people, movies]: `counts` where a person rated a movie, else 0."""
        filled = np.zeros((len(self.people), len(self.movies)))
        filled[self.user, self.movie] = counts
        return filled


@dataclass(frozen=True)
class _Retrieved:
    """What the retrievers say of each movie for each person, [people, movies] all."""

    scores: Mapping[str, Matrix]
    better: Mapping[str, Matrix]
    """Scores of what was not seen, with another sign and ascending: the place of a score is its rank."""
    taken: npt.NDArray[np.bool_]
    ease: Ease
    counted: Matrix
    """How much each liked movie counts in `recent`, which is what `because` speaks of."""


def _retrieve(known: _Known, covisits: pd.DataFrame) -> _Retrieved:
    rated, liked = known.profiles(), known.profiles(known.liked)
    lately = known.profiles(known.liked * _FADING**known.back)
    # As if ten movies had been liked: else scores vanish where the last like is long ago.
    lately *= 10 / np.where(lately.any(axis=1), lately.sum(axis=1), 1)[:, None]
    last = known.profiles(_FADING_FAST**known.back)
    ease = Ease.fit(rated, _RATED_PENALTY)
    told = {
        "rated": ease.scores(rated),
        "liked": Ease.fit(liked, _LIKED_PENALTY).scores(liked),
        "recent": ease.scores(lately),
        "taste": ease.scores(known.profiles(known.above_mean)),
        "factor": factor_scores(liked, _FACTORS),
        "beside": _through(known, covisits, "together", last),
        "after": _through(known, covisits, "other_after", last),
        "popular": np.tile(rated.sum(axis=0), (len(rated), 1)),
    }
    # In place: eight matrices of people times movies are enough.
    scores = {name: np.round(of, _DIGITS, out=of) for name, of in told.items()}
    better = {name: np.sort(np.where(rated > 0, np.inf, -scores[name]), axis=1) for name in TAKEN}
    taken = np.logical_or.reduce([_best(scores[name], better[name], most) for name, most in TAKEN.items()])
    return _Retrieved(scores, better, taken & (rated == 0), ease, lately)


def _best(scores: Matrix, better: Matrix, most: int) -> npt.NDArray[np.bool_]:
    """The `most` best of each row, and what equals the last of them; a score of 0 or below says nothing for a movie."""
    last = min(most, scores.shape[1]) - 1
    best: npt.NDArray[np.bool_] = (-scores <= better[:, last : last + 1]) & (scores > 0)
    return best


def _through(known: _Known, covisits: pd.DataFrame, weight: str, profiles: Matrix) -> Matrix:
    """Score of a movie: the covisits of those in the profile with it, summed, float64[people, movies]."""
    from scipy.sparse import csr_matrix

    place = {name: np.searchsorted(known.movies, covisits[name]) for name in ("movie_id", "other_id")}
    size = (len(known.movies), len(known.movies))
    visits = csr_matrix((covisits[weight].to_numpy(), (place["movie_id"], place["other_id"])), shape=size)
    scores: Matrix = (visits.T @ profiles.T).T
    return scores


def _for_people(known: _Known, retrieved: _Retrieved, asked: pd.DataFrame) -> Columns:
    person = np.searchsorted(known.people, asked["profile_id"])
    request, movie = np.nonzero(retrieved.taken[person])
    row = person[request]
    found = _asked(asked, request) | {"movie_id": known.movies[movie]}
    found |= {f"{name}_score": retrieved.scores[name][row, movie] for name in SCORES}
    found |= {f"{name}_rank": np.empty(len(row)) for name in RANKS}
    found["because_id"] = np.full(len(row), np.nan)
    waiting = asked["answered_at"].isna().to_numpy()
    for number, of_person in enumerate(person):
        mine = slice(*np.searchsorted(request, [number, number + 1]))
        for name in RANKS:
            scores = -retrieved.scores[name][of_person, movie[mine]]
            found[f"{name}_rank"][mine] = np.searchsorted(retrieved.better[name][of_person], scores)
        if waiting[number]:
            found["because_id"][mine] = _because(known, retrieved, of_person, movie[mine])
    return found


def _because(known: _Known, retrieved: _Retrieved, person: int, movies: npt.NDArray[np.int64]) -> Matrix:
    """The liked movie that adds most to `recent_score` of each of `movies`, which is a sum over them; or missing."""
    liked = np.flatnonzero(retrieved.counted[person] > 0)
    if not len(liked) or not len(movies):
        return np.full(len(movies), np.nan)
    adds = np.round(retrieved.ease.weights(liked, movies) * retrieved.counted[person, liked][:, None], _DIGITS)
    return np.where(adds.max(axis=0) > 0, known.movies[liked[adds.argmax(axis=0)]], np.nan)


def _for_anyone(known: _Known, asked: pd.DataFrame) -> Columns:
    """The most popular movies that whoever asks has not rated, if anybody knew: they ask as if nobody did."""
    popular = np.argsort(-np.bincount(known.movie, minlength=len(known.movies)), kind="stable")
    unseen = [popular[~np.isin(popular, known.movie[known.people[known.user] == user])] for user in asked["user_id"]]
    lists = [movies[:POPULAR_FOR_ANYONE] for movies in unseen]
    request = np.repeat(np.arange(len(lists)), [len(movies) for movies in lists])
    movie = np.concatenate([*lists, np.empty(0, dtype=np.int64)])
    found = _asked(asked, request) | {"movie_id": known.movies[movie]}
    found |= {name: np.full(len(movie), np.nan) for name in COLUMNS if name not in found}
    found["popular_rank"] = np.concatenate([*(np.arange(float(len(movies))) for movies in lists), np.empty(0)])
    return found


def _asked(asked: pd.DataFrame, request: npt.NDArray[np.int64]) -> Columns:
    return {name: asked[name].to_numpy()[request] for name in ("request_id", "user_id", "event_time")}
