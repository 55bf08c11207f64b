"""What must hold for the recommendation use case's tables: one model per source, and `Features`.

What depends on a history may be missing: somebody new has none.
"""

from typing import Any

import pandas as pd
import pandera.pandas as pa

__all__ = ["Features", "Movies", "Ratings"]

_STARS = 5


class Ratings(pa.DataFrameModel):  # type: ignore[misc]  # pandera is untyped here, see pyproject.toml
    """One rating of one movie by one person."""

    user_id: int = pa.Field(ge=1, lt=9_000_000, description="The person; 0 is anyone.", metadata={"example": 42})
    movie_id: int = pa.Field(ge=0, lt=10_000_000, description="The movie.", metadata={"example": 318})
    rating: float = pa.Field(ge=0, le=_STARS, description="Stars.", metadata={"example": 4.5})
    rated_at: pd.Timestamp = pa.Field(description="When it was given.")


class Movies(pa.DataFrameModel):  # type: ignore[misc]
    """A movie of the catalogue."""

    movie_id: int = pa.Field(ge=0, lt=10_000_000, description="Identifies the movie.", metadata={"example": 318})
    title: str = pa.Field(nullable=True, description="What it is called.")
    year: "pd.Int64Dtype" = pa.Field(ge=1870, le=2100, nullable=True, description="When it came out.")
    genres: str = pa.Field(nullable=True, description="Its genres, with | between them.")


def _score(description: str) -> Any:
    return pa.Field(nullable=True, description=description, metadata={"example": 0.1})


def _rank(description: str) -> Any:
    return pa.Field(ge=0, nullable=True, description=description, metadata={"example": 12})


def _fit(description: str, example: float, **bounds: float) -> Any:
    return pa.Field(nullable=True, description=description, metadata={"example": example}, **bounds)


class Features(pa.DataFrameModel):  # type: ignore[misc]
    """What is known of a candidate at a request; dbt_project/models/recommendation/recommendation_features.sql."""

    example_id: int = pa.Field(description="Identifies request and candidate.")
    request_id: int = pa.Field(description="The request: who asks, and when.")
    user_id: int = pa.Field(ge=0, description="Who asks; 0: anyone.")
    movie_id: int = pa.Field(description="The candidate.")
    event_time: pd.Timestamp = pa.Field(description="When they ask, on the clock of histories.")
    history: str = pa.Field(isin=["unknown", "under 50", "50 to 149", "150 and more"], description="For slices.")

    rated_score: float = _score("EASE on all ratings: how well the candidate goes with all that was rated.")
    liked_score: float = _score("EASE on likes: how well it goes with what was liked.")
    recent_score: float = _score("EASE on all ratings: how well it goes with what was liked lately.")
    taste_score: float = _score("EASE on all ratings: how well what goes with it was rated by this person.")
    factor_score: float = _score("16 factors of likes (PureSVD).")
    beside_score: float = _score("How often it was rated shortly before or after what was rated last.")
    after_score: float = _score("How often it was rated shortly after what was rated last.")
    recent_rank: float = _rank("Its place by recent_score, from 0.")
    liked_rank: float = _rank("Its place by liked_score.")
    beside_rank: float = _rank("Its place by beside_score.")
    after_rank: float = _rank("Its place by after_score.")
    popular_rank: float = _rank("Its place by popularity among what was not seen.")

    popularity: int = pa.Field(ge=1, description="How often it was rated so far.", metadata={"example": 120})
    movie_like_share: float = pa.Field(ge=0, le=1, description="Share of likes.", metadata={"example": 0.6})
    movie_mean_rating: float = pa.Field(ge=0, le=_STARS, description="Stars.", metadata={"example": 3.9})
    ratings_last_year: int = pa.Field(ge=0, description="Ratings of it in the year before.", metadata={"example": 9})
    days_since_first_rated: float = _fit("Days since anybody rated it; below 0 if only later.", 4000)
    movie_age: float = _fit("Years since it came out.", 12)
    years_from_lately_seen: float = _fit("Its year less the mean year of what was seen lately.", 3)
    popularity_lately: float = _fit("Mean popularity of what was seen lately.", 90, ge=0)
    popularity_ratio: float = _fit("Its popularity over that.", 1.3, ge=0)
    genre_affinity: float = _fit("How much more of its genres the person sees than people do.", 1.2, ge=0)
    genre_lately: float = _fit("The same, of what was seen lately.", 0.9, ge=0)
    genre_taste: float = _fit("How much better than the rest the person rates its genres, stars.", 0.1)
    ratings_so_far: float = _fit("How many movies the person has rated.", 80, ge=1)
    like_share: float = _fit("Share of likes among them.", 0.6, ge=0, le=1)
    ratings_in_sitting: float = _fit("How many of them within three hours before.", 20, ge=0)
