"""What the use case is compared with on the same ratings: most popular, item-kNN, EASE; and its own candidates."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks._recommendation_protocol import PROTOCOL_DAY, HeldOut, day
from mlplatform.ml.train import train_candidate
from mlplatform.spec import Training
from mlplatform.use_cases.recommendation.linear import Ease

__all__ = ["anyone", "baselines", "declared"]

NEIGHBOURS, PENALTY = 100, 500.0
_SHOWN = 50
_BLOCK = 1000
Floats = npt.NDArray[np.float64]


def baselines(ratings: pd.DataFrame, start: int = PROTOCOL_DAY) -> dict[str, pd.DataFrame]:
    """The best movies of each person by each baseline, from the ratings up to day `start`, whatever their stars."""
    known = ratings[ratings["event_time"] <= day(start)]
    people, user = np.unique(known["user_id"], return_inverse=True)
    movies, movie = np.unique(known["movie_id"], return_inverse=True)
    rated = np.zeros((len(people), len(movies)))
    rated[user, movie] = 1
    scores = {
        "most popular": np.broadcast_to(rated.sum(axis=0), rated.shape),
        "item-kNN": _item_knn(rated),
        "EASE": Ease.fit(rated, PENALTY).scores(rated),
    }
    return {name: _best(np.where(rated > 0, -np.inf, of), people, movies) for name, of in scores.items()}


def _item_knn(rated: Floats) -> Floats:
    """Sum of the cosines of a movie with those rated among its nearest 100 (Sarwar et al., WWW 2001)."""
    unit = rated / np.sqrt(rated.sum(axis=0))
    scores = np.empty_like(rated)
    for start in range(0, rated.shape[1], _BLOCK):
        block = np.arange(start, min(start + _BLOCK, rated.shape[1]))
        cosines = unit[:, block].T @ unit
        cosines[np.arange(len(block)), block] = 0
        least = -np.partition(-cosines, NEIGHBOURS - 1, axis=1)[:, NEIGHBOURS - 1 : NEIGHBOURS]
        scores[:, block] = rated @ np.where(cosines >= least, cosines, 0).T
    return scores


def _best(scores: Floats, people: npt.NDArray[np.int64], movies: npt.NDArray[np.int64]) -> pd.DataFrame:
    best = np.argsort(-scores, axis=1, kind="stable")[:, :_SHOWN]
    return pd.DataFrame(
        {
            "user_id": np.repeat(people, _SHOWN),
            "movie_id": movies[best].ravel(),
            "score": np.take_along_axis(scores, best, axis=1).ravel(),
        }
    )


def declared(rows: pd.DataFrame, training: Training, name: str, seed: int | None = None) -> tuple[pd.DataFrame, object]:
    """The declared candidate `name`, trained as the platform does it, on its own test requests; and its model."""
    candidate = next(c for c in training.candidates if c.name == name)
    if seed is not None:
        candidate = candidate.model_copy(update={"seed": seed})
    labelled = rows[rows["label"].notna()].reset_index(drop=True)
    as_of = rows["event_time"].max().normalize() + pd.Timedelta(days=1)
    model = train_candidate(labelled, candidate, training, event_time="event_time", as_of=as_of).model
    test = labelled[labelled["event_time"] == day(PROTOCOL_DAY)]
    return test[["user_id", "movie_id"]].assign(score=model.predict(model.matrix(test))), model


def anyone(rows: pd.DataFrame, model: object, held_out: HeldOut) -> pd.DataFrame:
    """What somebody unknown is told on the protocol's day, to everybody, less what they have seen."""
    told = rows[(rows["user_id"] == 0) & (rows["event_time"] == day(PROTOCOL_DAY))]
    scored = told[["movie_id"]].assign(score=model.predict(model.matrix(told)))  # type: ignore[attr-defined]
    unseen = [scored[~scored["movie_id"].isin(held_out.seen[user])].assign(user_id=user) for user in held_out.people]
    return pd.concat(unseen, ignore_index=True)
