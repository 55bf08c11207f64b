"""A made-up world of people who like one of two kinds of movies: what a user of the recommendation use case has."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlplatform.spec import Declaration, UseCase, load_declaration

__all__ = ["movie_ratings", "small_recommendation", "write_movie_ratings"]


def movie_ratings(people: int = 60, movies: int = 90, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Raw tables. Everybody rates 20 to 50 movies, more of their kind and of popular ones, and rates their kind better.

    Movie 999 exists and nobody has rated it.
    """
    random = np.random.default_rng(seed)
    ids = np.arange(1, movies + 1)
    popular = 1 / np.arange(1, movies + 1) ** 0.7
    rated = []
    for person in range(1, people + 1):
        mine = ids % 2 == person % 2
        chance = popular * np.where(mine, 3, 1)
        chosen = random.choice(ids, random.integers(20, 51), replace=False, p=chance / chance.sum())
        stars = np.where(chosen % 2 == person % 2, 4.0, 2.5) + random.choice([-0.5, 0, 0.5], len(chosen))
        began = pd.Timestamp("2010-01-01") + pd.Timedelta(days=int(random.integers(0, 2000)))
        at = began + pd.to_timedelta(np.cumsum(random.integers(1, 90, len(chosen))), unit="min")
        rated.append(pd.DataFrame({"user_id": person, "movie_id": chosen, "rating": stars, "rated_at": at}))
    catalogue = np.append(ids, 999)
    return {
        "ratings": pd.concat(rated, ignore_index=True),
        "movies": pd.DataFrame(
            {
                "movie_id": catalogue,
                "title": [f"Movie {number}" for number in catalogue],
                "year": 1980 + catalogue % 35,
                "genres": np.where(catalogue % 2 == 0, "Comedy|Drama", "Horror"),
            }
        ),
    }


def write_movie_ratings(folder: Path, tables: dict[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Write both as CSV files under other names; what to declare as `sources:` to read them."""
    tables["ratings"].rename(columns={"user_id": "customer", "rated_at": "day"}).to_csv(
        folder / "ratings.csv", index=False
    )
    tables["movies"].rename(columns={"title": "name"}).to_csv(folder / "movies.csv", index=False)
    return [
        {
            "name": "ratings",
            "kind": "files",
            "path": str(folder / "ratings.csv"),
            "columns": {"user_id": "customer", "rated_at": "day"},
            "key": ["user_id", "movie_id"],
            "time_column": "rated_at",
            "partition": "none",
        },
        {
            "name": "movies",
            "kind": "files",
            "path": str(folder / "movies.csv"),
            "columns": {"title": "name"},
            "key": ["movie_id"],
            "time_column": None,
        },
    ]


def small_recommendation(sources: list[dict[str, Any]]) -> Declaration:
    """The recommendation use case on other sources, with few trees and gates that a toy world passes."""
    declared = load_declaration("recommendation")
    content = declared.spec.model_dump()
    content["sources"] = sources
    content["leakage"] |= {"rows": 6}
    training = content["training"]
    training["candidates"][0] |= {"rounds": 20}
    training["candidates"][0]["params"] |= {"min_child_samples": 20}
    training["gates"] |= {"floor": 0.05, "slice_floor": 0.0, "margin": 0.5}
    return Declaration(UseCase.model_validate(content), declared.folder)
