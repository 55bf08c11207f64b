"""MovieLens through the use case's own models, and the protocol: per person, the last 20 % of ratings are held out."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlplatform.home import Home
from mlplatform.lake.extensions import copy_extensions
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import replace_table
from mlplatform.resources.dbt import build_models
from mlplatform.spec import PythonSource, load_declaration
from mlplatform.use_cases.recommendation.source import Reader

__all__ = ["PROTOCOL_DAY", "HeldOut", "K", "Tables", "build_tables", "day"]

K = 10
PROTOCOL_DAY = 800
"""Of 1000: up to here ratings are known, behind it they are held out."""
_ORIGIN = pd.Timestamp("2000-01-01")
Floats = npt.NDArray[np.float64]


def day(number: int) -> pd.Timestamp:
    """A day of the clock of histories."""
    return _ORIGIN + pd.Timedelta(days=number)


@dataclass(frozen=True)
class Tables:
    """`ratings` as staged, and one row per request and candidate with features and label."""

    ratings: pd.DataFrame
    rows: pd.DataFrame


def build_tables() -> Tables:
    """Source, dbt models and their tests in a lake of its own."""
    declared = load_declaration("recommendation").spec
    with TemporaryDirectory() as temp:
        home = Home(Path(temp) / "home")
        copy_extensions(home.extensions)
        Lake.at(home).create()
        for source in declared.sources:
            assert isinstance(source, PythonSource)
            _keep(home, f"raw_recommendation.{source.name}", Reader(source.params, source).read_all())
        build_models(home, "recommendation")
        with Lake.at(home).read() as con:
            ratings = con.execute("FROM recommendation.stg_ratings ORDER BY user_id, position").df()
            rows = con.execute(
                "SELECT f.*, s.label, s.label_known_at FROM recommendation.features AS f "
                "JOIN recommendation.spine AS s USING (example_id) ORDER BY f.event_time, f.example_id"
            ).df()
    return Tables(ratings, rows)


def _keep(home: Home, table: str, rows: object) -> None:
    Lake.at(home).commit(lambda con: replace_table(con, table, rows), table)  # type: ignore[arg-type]


@dataclass(frozen=True)
class HeldOut:
    """What each person liked behind a day, over the whole catalogue: also what nobody had rated before."""

    liked: dict[int, npt.NDArray[np.int64]]
    seen: dict[int, npt.NDArray[np.int64]]

    @classmethod
    def after(cls, ratings: pd.DataFrame, start: int, end: int = 1000) -> Self:
        """`ratings` as staged; likes in the days (start, end], what was rated up to `start` as seen."""
        at = ratings["event_time"]
        later = ratings[(at > day(start)) & (at <= day(end)) & ratings["liked"]]
        known = ratings[at <= day(start)]
        return cls(_by_person(later), _by_person(known))

    @property
    def people(self) -> list[int]:
        """Those who liked anything, ascending."""
        return sorted(self.liked)

    def judge(self, ranked: pd.DataFrame) -> dict[str, Floats]:
        """`ndcg` and `recall` of the first K places for each of `people`.

        `ranked`: `user_id`, `movie_id`, `score`, without what a person has seen. NDCG with gain 1 and discount
        log2(place + 1), the best possible being all of a person's likes first. Recall: found likes over the most that K
        places can hold.
        """
        order = ranked.sort_values(["user_id", "score", "movie_id"], ascending=[True, False, True], kind="stable")
        first = order.groupby("user_id").head(K)
        lists = {user: rows.to_numpy() for user, rows in first.groupby("user_id")["movie_id"]}
        hits = [np.isin(lists.get(user, np.empty(0)), self.liked[user]) for user in self.people]
        most = [min(K, len(self.liked[user])) for user in self.people]
        discount = 1 / np.log2(np.arange(K) + 2)
        gained = [discount[: len(hit)] @ hit / discount[:n].sum() for hit, n in zip(hits, most, strict=True)]
        return {
            "ndcg": np.asarray(gained),
            "recall": np.asarray([hit.sum() / n for hit, n in zip(hits, most, strict=True)]),
        }


def _by_person(rows: pd.DataFrame) -> dict[int, npt.NDArray[np.int64]]:
    return {int(user): movies.to_numpy() for user, movies in rows.groupby("user_id")["movie_id"]}
