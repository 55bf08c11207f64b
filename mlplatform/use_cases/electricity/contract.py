"""What must hold for the electricity use case's tables: one model per source, and `Features`.

Descriptions and examples are shown to the people who call the service. In a series' first four weeks some of the lags
are not there yet, and a half-hour may have no forecast of its temperature: those features may be missing.
"""

from typing import Any

import pandas as pd
import pandera.pandas as pa

__all__ = ["Calendar", "Features", "Load", "Weather"]


class Load(pa.DataFrameModel):  # type: ignore[misc]  # pandera is untyped here, see pyproject.toml
    """What was measured in one half-hour."""

    series_id: str = pa.Field(description="Whose demand.", metadata={"example": "victoria"})
    event_time: pd.Timestamp = pa.Field(description="When the half-hour begins.")
    demand: float = pa.Field(ge=0, description="Demand, GW.", metadata={"example": 4.6})
    temperature: float | None = pa.Field(
        ge=-60, le=60, nullable=True, description="Temperature, degrees Celsius.", metadata={"example": 16.5}
    )


class Calendar(pa.DataFrameModel):  # type: ignore[misc]
    """What is known of a day before it comes."""

    day: pd.Timestamp = pa.Field(description="The day.")
    known_at: pd.Timestamp = pa.Field(description="Since when this is known.")
    work_day: int = pa.Field(isin=[0, 1], description="1: a working day; 0: a weekend or holiday.")


class Weather(pa.DataFrameModel):  # type: ignore[misc]
    """A forecast of the temperature in one half-hour."""

    target_time: pd.Timestamp = pa.Field(description="The half-hour.")
    known_at: pd.Timestamp = pa.Field(description="When the forecast was made.")
    temperature: float = pa.Field(ge=-60, le=60, description="Temperature, degrees Celsius.")


def _gigawatt(description: str) -> Any:
    return pa.Field(ge=0, description=description, metadata={"example": 4.6})


def _lag(description: str) -> Any:
    return pa.Field(ge=0, nullable=True, description=description, metadata={"example": 4.6})


def _celsius(description: str) -> Any:
    return pa.Field(ge=-60, le=60, nullable=True, description=description, metadata={"example": 16.5})


def _flag(description: str) -> Any:
    return pa.Field(isin=[0, 1], description=description, metadata={"example": 1})


class Features(pa.DataFrameModel):  # type: ignore[misc]
    """What is known of a half-hour at the midnight before it; electricity_features.sql computes it."""

    example_id: int = pa.Field(description="Identifies the forecast: series, origin and horizon.")
    series_id: str = pa.Field(description="Whose demand.", metadata={"example": "victoria"})
    event_time: pd.Timestamp = pa.Field(description="The origin: the midnight after the last half-hour that is known.")
    target_time: pd.Timestamp = pa.Field(description="When the half-hour that is forecast begins.")
    horizon: int = pa.Field(ge=1, description="Which half-hour: 1 is the one that begins at the origin.")
    half_hour: int = pa.Field(ge=0, le=47, description="Half-hour of its day.", metadata={"example": 36})
    weekday: int = pa.Field(ge=1, le=7, description="Its weekday, Monday is 1.", metadata={"example": 2})
    month: int = pa.Field(ge=1, le=12, description="Its month.", metadata={"example": 7})
    work_day: int = _flag("1: its day is a working day.")
    is_calendar_known: int = _flag("0: the calendar ends before; Monday to Friday count as working days.")
    work_day_before: int = _flag("1: the last measured day was a working day.")

    last_value: float = _gigawatt("The last half-hour's demand.")
    mean_1d: float = _lag("Mean of the last 24 hours.")
    max_1d: float = _lag("Peak of the last 24 hours.")
    mean_28d: float = _gigawatt("Mean of the last 28 days.")
    evening_trend: float = pa.Field(
        ge=0, nullable=True, description="The last three hours over the same a week before.", metadata={"example": 1.02}
    )
    demand_1d: float = _lag("The same half-hour one day before.")
    demand_2d: float = _lag("Two days before.")
    demand_7d: float = _lag("A week before.")
    demand_14d: float = _lag("Two weeks before.")
    demand_mean_4w: float = _lag("The same half-hour of the week, mean of four weeks.")
    demand_like_last: float = _lag("The same half-hour of the last day of its kind (working day or not).")
    demand_like_7d: float = _lag("Mean over such days in the week before.")
    demand_like_28d: float = _lag("Mean over such days in 28 days.")
    temperature_last: float = _celsius("Measured last.")
    temperature_mean_1d: float = _celsius("Mean of the last 24 hours.")
    temperature_max_1d: float = _celsius("Highest of the last 24 hours.")
    temperature_min_1d: float = _celsius("Lowest of the last 24 hours.")
    temperature_mean_3d: float = _celsius("Mean of the last three days.")
    temperature_1d: float = _celsius("The same half-hour one day before.")
    temperature_7d: float = _celsius("A week before.")
    temperature_like_7d: float = _celsius("Mean over days of its kind in the week before.")
    temperature_forecast: float = _celsius("Forecast of that half-hour, as of the origin.")
    temperature_forecast_mean: float = _celsius("Mean of the forecasts of the day.")
    temperature_forecast_max: float = _celsius("Their highest.")
    naive: float = _gigawatt("The same half-hour a week before, or the newest there is: the seasonal-naive forecast.")
    naive_scale: float = pa.Field(
        gt=0, description="Mean absolute error of the seasonal-naive forecast of one week, in the last 52 weeks."
    )
