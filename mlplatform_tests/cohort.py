"""A made-up cohort in three CSV files with names and dates of its own: what a user of the diagnosis use case has."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlplatform.spec import Declaration, UseCase, load_declaration

__all__ = ["cohort", "small_diagnosis", "write_cohort"]

YEAR = 365.25


def cohort(people: int = 1500, seed: int = 0) -> dict[str, pd.DataFrame]:
    """People who enter over ten years and are followed to one day; risk rises with age and blood pressure."""
    random = np.random.default_rng(seed)
    entered = random.uniform(0, 10 * YEAR, people)
    age, pressure = random.uniform(35, 80, people), random.normal(135, 18, people)
    yearly = 0.012 * np.exp(0.09 * (age - 60) + 0.03 * (pressure - 135))
    event = entered + random.exponential(YEAR / yearly)
    until = np.minimum(np.minimum(event, entered + random.exponential(30 * YEAR, people)), 14 * YEAR)
    dies = (until == event) & (random.random(people) < 0.5)
    ids = np.arange(1, people + 1)
    visits = pd.DataFrame({"id": ids, "from": entered, "to": until, "pressure": pressure, "age": age})
    visits = visits.loc[visits.index.repeat(12)]
    visits["day"] = visits["from"] + np.tile(np.arange(12), people) * YEAR * 0.9
    visits = visits[visits["day"] < visits["to"]]
    sick = (until == event) & ~dies
    told = pd.DataFrame({"id": ids, "day": entered - 300, "code": np.where(age > 60, "htn", "dyslipidemia")})
    return {
        "people": pd.DataFrame(
            {
                "patient": ids,
                "entered": _date(entered),
                "age": age.round(1),
                "sex_male": random.integers(0, 2, people),
                "kg": random.normal(80, 12, people).round(1),
                "cm": random.normal(170, 9, people).round(0),
                "bmi": "",
                "left": _date(until),
                "dead": dies.astype(int),
            }
        ),
        "measurements": pd.concat(
            [
                visits.assign(test="sbp", value=(visits["pressure"] + random.normal(0, 6, len(visits))).round(0)),
                visits.assign(test="hdl", value=random.normal(50, 10, len(visits)).clip(10, 120).round(0)),
            ]
        ).assign(day=lambda rows: _date(rows["day"].to_numpy()))[["id", "day", "test", "value"]],
        "diagnoses": pd.concat([told, pd.DataFrame({"id": ids[sick], "day": event[sick], "code": "stroke"})]).assign(
            day=lambda rows: _date(rows["day"].to_numpy())
        ),
    }


def _date(days: Any) -> pd.Series:
    return (
        pd.Series(pd.Timestamp("1998-01-01") + pd.to_timedelta(np.floor(days), unit="D")).dt.strftime("%Y-%m-%d").array
    )


def write_cohort(folder: Path, tables: dict[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Write the three files; what to declare as `sources:` to read them."""
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    renamed = {
        "people": {
            "person_id": "patient",
            "index_date": "entered",
            "male": "sex_male",
            "weight_kg": "kg",
            "height_cm": "cm",
            "followed_until": "left",
            "died": "dead",
        },
        "measurements": {"person_id": "id", "event_time": "day"},
        "diagnoses": {"person_id": "id", "event_time": "day", "diagnosis": "code"},
    }
    keys = {"people": [], "measurements": ["event_time", "test"], "diagnoses": ["event_time", "diagnosis"]}
    return [
        {
            "name": name,
            "kind": "files",
            "path": str(folder / f"{name}.csv"),
            "columns": renamed[name],
            "key": ["person_id", *keys[name]],
            **({"time_column": None} if name == "people" else {"partition": "none"}),
        }
        for name in tables
    ]


def small_diagnosis(sources: list[dict[str, Any]]) -> Declaration:
    """The diagnosis use case on other sources, with a short search and gates that a toy world passes."""
    declared = load_declaration("diagnosis")
    content = declared.spec.model_dump()
    content["sources"] = sources
    content["leakage"] |= {"rows": 6}
    training = content["training"]
    training["split"] |= {"cross_validation": {"folds": 2}}
    for candidate in training["candidates"]:
        candidate["tuning"] |= {"trials": 1, "seconds": 5}
    training["gates"] |= {"floor": 0.1, "slice_floor": 0.0, "margin": 0.5, "max_calibration_error": 0.3}
    return Declaration(UseCase.model_validate(content), declared.folder)
