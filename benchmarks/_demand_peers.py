"""The peers of `benchmarks.demand`: seasonal naive, and statsforecast's automatic models, fitted at each origin."""

import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._demand_panels import Panel

__all__ = ["DAILY", "HALF_HOURLY", "WITH_FORECASTS", "Peer", "forecasts"]

_COVERED = 80
_COMFORT = 18.0


@dataclass(frozen=True)
class Peer:
    """A model of statsforecast, how many days it learns from, and which inputs it is told ahead."""

    model: str
    how: Mapping[str, Any]
    seasons: tuple[int, ...] = ()
    """Taken out first by MSTL, if any are named; the model forecasts what they leave over."""
    days: int | None = None
    inputs: tuple[str, ...] = ()

    def build(self) -> Any:
        """The model itself, in whichever process fits it."""
        from statsforecast import models

        model = getattr(models, self.model)(**self.how)
        return models.MSTL(season_length=list(self.seasons), trend_forecaster=model) if self.seasons else model


def forecasts(panel: Panel, peers: Mapping[str, Peer], processes: int = 2) -> dict[str, pd.DataFrame]:
    """By peer, columns `series`, `event_time`, `horizon`, `low`, `middle`, `high` of every judged row."""
    found = {}
    for name, peer in peers.items():
        jobs = [(peer, *_told(panel, peer, origin)) for origin in panel.origins]
        with ProcessPoolExecutor(processes) as pool:
            answers = list(pool.map(_fit, jobs))
        found[name] = pd.concat(
            [_aligned(panel, origin, answer) for origin, answer in zip(panel.origins, answers, strict=True)],
            ignore_index=True,
        )
    return found


def _told(panel: Panel, peer: Peer, origin: pd.Timestamp) -> tuple[pd.DataFrame, pd.DataFrame, str, int]:
    """What a peer learns from at an origin, and the inputs of the time that it forecasts."""
    columns = ["unique_id", "ds", "y", *peer.inputs]
    past = panel.past(origin, peer.days)[columns]
    ahead = panel.series[panel.series["ds"] >= origin].groupby("unique_id").head(panel.horizons)
    return _bent(past), _bent(ahead[[name for name in columns if name != "y"]]), panel.freq, panel.horizons


def _bent(rows: pd.DataFrame) -> pd.DataFrame:
    """A linear model is told heat and cold apart: demand grows with both."""
    if "temperature_forecast" not in rows:
        return rows
    degrees = rows["temperature_forecast"]
    bent = rows.drop(columns="temperature_forecast")
    return bent.assign(heat=np.maximum(degrees - _COMFORT, 0), cold=np.maximum(_COMFORT - degrees, 0))


def _fit(job: tuple[Peer, pd.DataFrame, pd.DataFrame, str, int]) -> pd.DataFrame:
    os.environ["OMP_NUM_THREADS"] = "1"
    from statsforecast import StatsForecast

    peer, past, ahead, freq, horizons = job
    told = {"X_df": ahead} if peer.inputs else {}
    with warnings.catch_warnings():
        # Of the optimiser, on some of the 32 series; the forecasts are judged as they come.
        warnings.simplefilter("ignore")
        made = StatsForecast([peer.build()], freq=freq, n_jobs=1).forecast(
            df=past, h=horizons, level=[_COVERED], **told
        )
    made.columns = ["series", "ds", *(_part(name) for name in made.columns[2:])]
    return pd.DataFrame(made)


def _part(column: str) -> str:
    if f"-lo-{_COVERED}" in column:
        return "low"
    return "high" if f"-hi-{_COVERED}" in column else "middle"


def _aligned(panel: Panel, origin: pd.Timestamp, made: pd.DataFrame) -> pd.DataFrame:
    """Nobody buys less than nothing: forecasts below 0 are 0, as ours."""
    asked = panel.asked(origin)[["series", "event_time", "horizon", "target_time"]]
    found = asked.merge(made, left_on=["series", "target_time"], right_on=["series", "ds"], how="left")
    parts: Sequence[str] = ("low", "middle", "high")
    return found[["series", "event_time", "horizon"]].assign(**{part: found[part].clip(lower=0) for part in parts})


_WEEKS = 8 * 7
_ARIMA = {"seasonal": False, "approximation": True}
_DAY_AND_WEEK = (48, 336)

DAILY = {
    "seasonal naive": Peer("SeasonalNaive", {"season_length": 7}),
    "AutoETS": Peer("AutoETS", {"season_length": 7}),
    "AutoTheta": Peer("AutoTheta", {"season_length": 7}),
    "AutoARIMA": Peer("AutoARIMA", {"season_length": 7, "approximation": True}),
}
"""Each item by itself, with a season of a week."""

HALF_HOURLY = {
    "seasonal naive": Peer("SeasonalNaive", {"season_length": 336}, days=_WEEKS),
    "AutoTheta": Peer("AutoTheta", {"season_length": 336}, days=_WEEKS),
    "MSTL, AutoARIMA": Peer("AutoARIMA", _ARIMA, _DAY_AND_WEEK, _WEEKS),
    "MSTL, AutoARIMA, working days": Peer("AutoARIMA", _ARIMA, _DAY_AND_WEEK, _WEEKS, ("work_day",)),
}
"""Seasons of a day and a week. On days of August to October AutoETS behind MSTL did as AutoARIMA (WAPE .0277 and .0274)
and took longer; without MSTL, AutoETS with a season of 48 and AutoARIMA with Fourier terms had .124 and .055."""

WITH_FORECASTS = Peer("AutoARIMA", _ARIMA, _DAY_AND_WEEK, _WEEKS, ("work_day", "temperature_forecast"))
"""The last one, told the temperature ahead, too."""
