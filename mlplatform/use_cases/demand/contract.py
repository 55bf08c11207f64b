"""What must hold for the demand use case's tables: one model per source (`sales`, `calendar`), and `Features`.

Descriptions and examples are shown to the people who call the service. An item in its first week has no mean of the
weekday that is asked for, and after a long closure there is no mean of 7 days: those may be missing; levels never are.
"""

from typing import Any

import pandas as pd
import pandera.pandas as pa

__all__ = ["Calendar", "Features", "Sales"]


class Sales(pa.DataFrameModel):  # type: ignore[misc]  # pandera is untyped here, see pyproject.toml
    """What was sold: a line of a receipt (then `sale_id` is the key), or one item's sum of one day."""

    sale_id: str | None = pa.Field(nullable=True, description="Identifies the line.", metadata={"example": "4711"})
    event_time: pd.Timestamp = pa.Field(description="When it was sold, or its day.")
    item_id: str = pa.Field(description="What was sold.", metadata={"example": "hawaiian"})
    quantity: float = pa.Field(ge=0, description="Units.", metadata={"example": 1})
    price: float | None = pa.Field(ge=0, nullable=True, description="Price of one unit.", metadata={"example": 13.25})


class Calendar(pa.DataFrameModel):  # type: ignore[misc]
    """What is known of a day before it comes."""

    day: pd.Timestamp = pa.Field(description="The day.")
    known_at: pd.Timestamp = pa.Field(description="Since when this is known.")
    holiday: str | None = pa.Field(nullable=True, description="The holiday's name; empty on other days.")
    closed: pd.Int32Dtype | None = pa.Field(nullable=True, isin=[0, 1], description="1: announced as closed.")


def _units(description: str, example: float) -> Any:
    return pa.Field(ge=0, description=description, metadata={"example": example})


def _perhaps(description: str, example: float, most: float | None = None) -> Any:
    return pa.Field(ge=0, le=most, nullable=True, description=description, metadata={"example": example})


def _flag(description: str) -> Any:
    return pa.Field(isin=[0, 1], description=description, metadata={"example": 0})


class Features(pa.DataFrameModel):  # type: ignore[misc]
    """What is known of an item at the end of a day; dbt_project/models/demand/demand_features.sql computes it."""

    example_id: int = pa.Field(description="Identifies the forecast: item, origin and horizon.")
    item_id: str = pa.Field(description="The item.", metadata={"example": "hawaiian"})
    event_time: pd.Timestamp = pa.Field(description="The origin: the midnight after the last day that is known.")
    target_time: pd.Timestamp = pa.Field(description="The day that is forecast.")
    horizon: int = pa.Field(ge=1, description="Which day: 1 is the day that begins at the origin.")
    weekday: int = pa.Field(ge=1, le=7, description="Its weekday, Monday is 1.", metadata={"example": 5})
    month: int = pa.Field(ge=1, le=12, description="Its month.", metadata={"example": 7})
    day_of_month: int = pa.Field(ge=1, le=31, description="Its day of the month.", metadata={"example": 24})
    is_holiday: int = _flag("1: a holiday.")
    is_holiday_eve: int = _flag("1: the next day is a holiday.")
    holiday: str = pa.Field(nullable=True, description="The holiday's name.")
    is_closed: int = _flag("1: announced as closed, so that nothing can be sold.")
    is_calendar_known: int = _flag("0: the calendar ends before that day; it is taken for an ordinary one.")

    days_on_sale: int = pa.Field(ge=1, le=112, description="Days since the item's first sale, at most 112.")
    last_value: float = _units("Sold on the last open day.", 5)
    mean_7d: float = _perhaps("Sold on an open day of the last 7 days, mean.", 4.7)
    mean_28d: float = _perhaps("The same of 28 days.", 4.5)
    mean_112d: float = _units("The same of 112 days.", 4.6)
    low_112d: float = _units("Sold on an open day of 112 days, 10th percentile.", 2)
    high_112d: float = _units("The 90th percentile.", 8)
    zero_share_28d: float = _perhaps("Share of the open days of 28 days on which none was sold.", 0.04, most=1)
    price_28d: float = _perhaps("Mean price paid in 28 days.", 13.2)
    weekday_mean_4w: float = _perhaps("Sold on that weekday in the last four weeks, mean.", 5.5)
    weekday_mean_16w: float = _perhaps("The same of sixteen weeks.", 5.1)
    shop_trend_7d: float = _perhaps("All items: an open day of 7 days over one of 112 days.", 1.02)
    shop_trend_28d: float = _perhaps("The same of 28 days over 112 days.", 0.99)
    weekday_share: float = _units("All items: that weekday over a mean day, of 112 days.", 1.2)
    expected: float = _units("The item's mean of 112 days times weekday_share.", 5.4)
    naive: float = _units("Sold on the last such weekday that was open: the seasonal-naive forecast.", 6)
    naive_scale: float = pa.Field(
        gt=0, description="Mean absolute error of the seasonal-naive forecast of one week, in the last 52 weeks."
    )
