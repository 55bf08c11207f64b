"""Candidates: the few movies out of thousands that are worth ranking for a request, and what each retriever says of them.

Everything here is learned anew for each moment somebody asks, from the ratings up to that moment and no other. dbt runs
it as the model `recommendation_candidates`.
"""

from dataclasses import dataclass
from typing import Self

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


def find_candidates(ratings: pd.DataFrame, covisits: pd.DataFrame, requests: pd.DataFrame) -> pd.DataFrame:
    """Candidates of each request, none of which the person had rated by then; one row each, with `COLUMNS`.

    Args:
        ratings: `user_id`, `movie_id`, `rating`, `liked`, `position`, `event_time`; one row per person and movie.
        covisits: `learned_at`, `movie_id`, `other_id`, `together`, `other_after`.
        requests: `request_id`, `user_id`, `profile_id` (0: nothing is known of who asks), `event_time`.

    Ranks count from 0. Scores and ranks are missing where nothing is known of who asks, `because_id` also where no liked
    movie speaks for the candidate. Raises PlatformError if people times movies exceed what fits into memory.
    """
    found = []
    for moment, asked in requests.groupby("event_time", sort=True):
        known = _Known.at(ratings, moment)
        scores = _scores(known, covisits[covisits["learned_at"] == moment])
        found += [_for_profiles(known, scores, asked[asked["profile_id"] != 0])]
        found += [_for_anyone(known, asked[asked["profile_id"] == 0])]
    every = pd.concat(found, ignore_index=True)
    return every.sort_values(["request_id", "movie_id"], ignore_index=True)[list(COLUMNS)]


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

    def profiles(self, counts: Matrix | float = 1.0) -> Matrix:
        """Float64[people, movies]: `counts` where a person rated a movie, else 0."""
        filled = np.zeros((len(self.people), len(self.movies)))
        filled[self.user, self.movie] = counts
        return filled


@dataclass(frozen=True)
class _Scores:
    """By retriever, the score of each movie for each person, float64[people, movies]."""

    of: dict[str, Matrix]
    ranks: dict[str, npt.NDArray[np.int64]]
    ease: Ease
    seen: npt.NDArray[np.bool_]
    counted: Matrix
    """How much each liked movie counts in `recent`, for which `because` speaks."""


def _scores(known: _Known, covisits: pd.DataFrame) -> _Scores:
    rated, liked = known.profiles(), known.profiles(known.liked)
    recently = known.profiles(known.liked * _FADING**known.back)
    last = known.profiles(_FADING_FAST**known.back)
    ease = Ease.fit(rated, _RATED_PENALTY)
    of = {
        "rated": ease.scores(rated),
        "liked": Ease.fit(liked, _LIKED_PENALTY).scores(liked),
        "recent": ease.scores(recently),
        "taste": ease.scores(known.profiles(known.above_mean)),
        "factor": factor_scores(liked, _FACTORS),
        "beside": _through(known, covisits, "together", last),
        "after": _through(known, covisits, "other_after", last),
        "popular": np.broadcast_to(rated.sum(axis=0), rated.shape),
    }
    of = {name: np.round(scores, _DIGITS) for name, scores in of.items()}
    seen = rated > 0
    ranks = {name: _ranked(of[name], seen) for name in TAKEN}
    return _Scores(of, ranks, ease, seen, recently)


def _through(known: _Known, covisits: pd.DataFrame, weight: str, profiles: Matrix) -> Matrix:
    """Score of a movie: the covisits of those in the profile with it, summed, float64[people, movies]."""
    from scipy.sparse import csr_matrix

    place = {name: np.searchsorted(known.movies, covisits[name]) for name in ("movie_id", "other_id")}
    size = (len(known.movies), len(known.movies))
    visits = csr_matrix((covisits[weight].to_numpy(), (place["movie_id"], place["other_id"])), shape=size)
    scores: Matrix = (visits.T @ profiles.T).T
    return scores


def _ranked(scores: Matrix, seen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The place of each movie in its row, from 0; seen ones come last, equal ones in the order of their ids."""
    order = np.argsort(np.where(seen, np.inf, -scores), axis=1, kind="stable")
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.broadcast_to(np.arange(scores.shape[1]), order.shape), axis=1)
    return places


def _for_profiles(known: _Known, scores: _Scores, asked: pd.DataFrame) -> pd.DataFrame:
    taken = np.logical_or.reduce([scores.ranks[name] < most for name, most in TAKEN.items()]) & ~scores.seen
    found = [_of_person(known, scores, taken, request) for request in asked.itertuples()]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(COLUMNS))


def _of_person(known: _Known, scores: _Scores, taken: npt.NDArray[np.bool_], request: object) -> pd.DataFrame:
    row = int(np.searchsorted(known.people, request.profile_id))  # type: ignore[attr-defined]
    movies = np.flatnonzero(taken[row])
    told = {f"{name}_score": scores.of[name][row, movies] for name in SCORES}
    told |= {f"{name}_rank": scores.ranks[name][row, movies].astype(np.float64) for name in RANKS}
    return _rows(known, movies, request).assign(**told, because_id=_because(known, scores, row, movies))


def _because(known: _Known, scores: _Scores, row: int, movies: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The liked movie that adds most to `recent_score` of each of `movies`, which is a sum over them; or missing."""
    liked = np.flatnonzero(scores.counted[row] > 0)
    if not len(liked):
        return np.full(len(movies), np.nan)
    adds = np.round(scores.ease.weights(liked, movies) * scores.counted[row, liked][:, None], _DIGITS)
    return np.where(adds.max(axis=0) > 0, known.movies[liked[adds.argmax(axis=0)]], np.nan)


def _for_anyone(known: _Known, asked: pd.DataFrame) -> pd.DataFrame:
    """The most popular movies that whoever asks has not rated, if anybody knew: they ask as if nobody did."""
    popularity = np.bincount(known.movie, minlength=len(known.movies))
    order = np.argsort(-popularity, kind="stable")
    found = []
    for request in asked.itertuples():
        seen = known.movie[known.people[known.user] == request.user_id]
        movies = order[~np.isin(order, seen)][:POPULAR_FOR_ANYONE]
        nothing = dict.fromkeys(set(COLUMNS[4:]) - {"popular_rank"}, np.nan)
        found.append(
            _rows(known, movies, request).assign(**nothing, popular_rank=np.arange(len(movies), dtype=np.float64))
        )
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(COLUMNS))


def _rows(known: _Known, movies: npt.NDArray[np.int64], request: object) -> pd.DataFrame:
    names = ("request_id", "user_id", "event_time")
    return pd.DataFrame({"movie_id": known.movies[movies], **{name: getattr(request, name) for name in names}})
