"""The two data sets of `benchmarks.demand`: rows of the use case's own SQL, and the same series as peers want it."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from mlplatform.home import Home
from mlplatform.ingest.open import open_table
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import replace_table
from mlplatform.resources.dbt import build_models
from mlplatform.spec import UseCase, load_declaration
from mlplatform.spec.load import USE_CASES

__all__ = ["Panel", "demand", "electricity"]


@dataclass(frozen=True)
class Panel:
    """One use case: its rows, its series, and where it is judged."""

    spec: UseCase
    rows: pd.DataFrame
    """Features, `label` and `label_known_at`; `series` names the series whatever the use case calls it."""
    series: pd.DataFrame
    """`unique_id`, `ds`, `y` without holes, and known-future inputs of the peers that take them."""
    known_after: pd.Timedelta
    """A value of the series is known so long after its `ds`."""
    freq: str
    horizons: int
    folds: tuple[tuple[pd.Timestamp, ...], ...]
    """Each fold: the origins that are judged with a model trained at the first of them."""

    @property
    def origins(self) -> list[pd.Timestamp]:
        """Of all folds."""
        return [origin for fold in self.folds for origin in fold]

    def past(self, origin: pd.Timestamp, days: int | None = None) -> pd.DataFrame:
        """The series as known at an origin, at most the last `days`."""
        known = self.series["ds"] + self.known_after <= origin
        if days is not None:
            known &= self.series["ds"] >= origin - pd.Timedelta(days=days)
        return self.series[known]

    def asked(self, origin: pd.Timestamp) -> pd.DataFrame:
        """The rows that are forecast at an origin and have a label, in the order of their horizon."""
        rows = self.rows[(self.rows["event_time"] == origin) & self.rows["label"].notna()]
        return rows.sort_values(["series", "horizon"], ignore_index=True)


def demand(last: str, folds: int) -> Panel:
    """Pizzas by day; origins 14 days apart, so that no day is judged twice. `last` is the last origin."""
    spec = load_declaration("demand").spec
    rows, daily = _built(spec, "stg_daily")
    wide = daily.pivot_table(index="day", columns="item_id", values="quantity").asfreq("D")
    # A peer cannot have holes: a closed day is filled with the same weekday of the week before. It is judged nowhere.
    filled = wide.fillna(wide.shift(7)).fillna(wide.shift(14)).fillna(0)
    series = filled.stack().rename("y").reset_index().rename(columns={"day": "ds", "item_id": "unique_id"})
    origins = pd.date_range(end=last, periods=folds, freq="14D")
    return Panel(
        spec,
        rows.assign(series=rows["item_id"]),
        series[["unique_id", "ds", "y"]].sort_values(["unique_id", "ds"], ignore_index=True),
        known_after=pd.Timedelta(days=1),
        freq="D",
        horizons=14,
        folds=tuple((origin,) for origin in origins),
    )


def electricity(last: str, folds: int, error: float = 2.0) -> Panel:
    """Half-hours; folds of 14 days, an origin every fifth. `error`: of the made-up forecasts of the temperature."""
    spec = load_declaration("electricity").spec
    rows, load = _built(spec, "stg_load", weather={"error": error})
    days = rows[["target_time", "work_day", "temperature_forecast"]].drop_duplicates("target_time")
    series = load.rename(columns={"series_id": "unique_id", "starts_at": "ds", "demand": "y"})
    series = series.merge(days, left_on="ds", right_on="target_time", how="left").bfill()
    starts = pd.date_range(end=last, periods=folds, freq="14D")
    return Panel(
        spec,
        rows.assign(series=rows["series_id"]),
        series[["unique_id", "ds", "y", "work_day", "temperature_forecast"]].sort_values("ds", ignore_index=True),
        known_after=pd.Timedelta(minutes=30),
        freq="30min",
        horizons=48,
        folds=tuple(tuple(start + pd.Timedelta(days=d) for d in range(0, 14, 5)) for start in starts),
    )


def _built(spec: UseCase, table: str, **changed: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features with labels, and a staged table, after the use case's own models ran over its declared sources."""
    with TemporaryDirectory() as temp:
        home = Home(Path(temp) / "home")
        for source in spec.sources:
            params = {**getattr(source, "params", {}), **changed.get(source.name, {})}
            read = open_table(source.model_copy(update={"params": params}), USE_CASES / spec.name).read_all()
            _keep(home, f"raw_{spec.name}.{source.name}", read)
        build_models(home, spec.name)
        with Lake.at(home).read() as con:
            rows = con.execute(
                f"SELECT f.*, s.label, s.label_known_at FROM {spec.name}.features AS f "
                f"JOIN {spec.name}.spine AS s USING (example_id) ORDER BY f.event_time, f.example_id"
            ).df()
            return rows, con.execute(f"FROM {spec.name}.{table}").df()


def _keep(home: Home, table: str, rows: object) -> None:
    Lake.at(home).commit(lambda con: replace_table(con, table, rows), table)  # type: ignore[arg-type]
