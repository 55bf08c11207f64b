"""What must hold for the diagnosis use case's tables: one model per source, and `Features`.

Descriptions and examples are shown to the people who call the service. Who was never measured has no last value, and
no days since it: those features may be missing; flags, counts and age never are.
"""

from typing import Any

import pandas as pd
import pandera.pandas as pa

__all__ = ["Diagnoses", "Features", "Measurements", "People"]

_OLDEST = 120
_TEN_YEARS = 3650


class People(pa.DataFrameModel):  # type: ignore[misc]  # pandera is untyped here, see pyproject.toml
    """A person, as known when they came under observation, and how long they were followed."""

    person_id: int = pa.Field(ge=0, description="Identifies the person.", metadata={"example": 4711})
    index_date: pd.Timestamp = pa.Field(description="When they came under observation.")
    age: float = pa.Field(ge=0, le=_OLDEST, description="Years of age at index_date.", metadata={"example": 57})
    male: int = pa.Field(isin=[0, 1], description="1: male, 0: female.", metadata={"example": 1})
    weight_kg: float = pa.Field(gt=0, le=400, nullable=True, description="Weight, kg.", metadata={"example": 86})
    height_cm: float = pa.Field(gt=0, le=250, nullable=True, description="Height, cm.", metadata={"example": 169})
    bmi: float = pa.Field(gt=0, le=150, nullable=True, description="Body mass index.", metadata={"example": 28.9})
    followed_until: pd.Timestamp = pa.Field(description="Death, or the last that was heard of them.")
    died: int = pa.Field(isin=[0, 1], description="1: died at followed_until; 0: alive then.")


class Measurements(pa.DataFrameModel):  # type: ignore[misc]
    """One value of one test of one person."""

    person_id: int = pa.Field(ge=0, description="The person.")
    event_time: pd.Timestamp = pa.Field(description="When it was measured.")
    test: str = pa.Field(description="What was measured: sbp, hdl, fib4, smoke (0 or 1), ...")
    value: float = pa.Field(ge=0, description="The value; strange ones are left out by staging.")


class Diagnoses(pa.DataFrameModel):  # type: ignore[misc]
    """A diagnosis of one person."""

    person_id: int = pa.Field(ge=0, description="The person.")
    event_time: pd.Timestamp = pa.Field(description="When it was made.")
    diagnosis: str = pa.Field(description="Which: diabetes, htn, dyslipidemia, afib, ang/isc, nafld, MI, stroke, ...")


def _value(description: str, example: float, least: float, most: float) -> Any:
    return pa.Field(ge=least, le=most, nullable=True, description=description, metadata={"example": example})


def _flag(description: str) -> Any:
    return pa.Field(isin=[0, 1], description=description, metadata={"example": 0})


def _count(description: str, example: int) -> Any:
    return pa.Field(ge=0, description=description, metadata={"example": example})


class Features(pa.DataFrameModel):  # type: ignore[misc]
    """What is known of a person at a landmark; dbt_project/models/diagnosis/diagnosis_features.sql computes it."""

    example_id: int = pa.Field(description="Identifies the landmark.")
    person_id: int = pa.Field(description="The person.")
    event_time: pd.Timestamp = pa.Field(description="When the landmark is.")
    age_band: str = pa.Field(isin=["under 50", "50 to 64", "65 and over"], description="For slices.")
    age: float = pa.Field(ge=0, le=_OLDEST + 50, description="Years of age.", metadata={"example": 57.3})
    male: int = _flag("1: male, 0: female.")
    bmi: float = _value("Body mass index when they came under observation.", 28.9, 0, 150)
    years_observed: float = pa.Field(ge=0, description="Years since then.", metadata={"example": 1.4})

    sbp_last: float = _value("Last systolic blood pressure of ten years, mmHg.", 136, 50, 300)
    sbp_days_since: float = _value("Days since it.", 90, 0, _TEN_YEARS)
    sbp_mean_2y: float = _value("Its mean over the last two years.", 134, 50, 300)
    sbp_change: float = _value("Last value less the mean of those more than two years ago.", 4, -250, 250)
    hdl_last: float = _value("Last HDL cholesterol of ten years, mg/dl.", 48, 1, 300)
    hdl_days_since: float = _value("Days since it.", 30, 0, _TEN_YEARS)
    hdl_mean_2y: float = _value("Its mean over the last two years.", 49, 1, 300)
    hdl_change: float = _value("Last value less the mean of those more than two years ago.", -2, -300, 300)
    chol_last: float = _value("Last cholesterol of ten years (in the published data a copy of HDL).", 48, 1, 1000)
    dbp_last: float = _value("Last diastolic pressure of ten years (in the published data a copy of sbp).", 80, 20, 300)
    fib4_last: float = _value("Last FIB-4 score of ten years (published only where it is high).", 3.1, 0, 100)
    smokes: float = _value("1: smoked when last asked in ten years.", 0, 0, 1)
    measured_days_2y: int = _count("Days of the last two years on which anything was measured.", 3)

    diabetes: int = _flag("1: diagnosed with diabetes, ever.")
    hypertension: int = _flag("1: diagnosed with high blood pressure, ever.")
    dyslipidemia: int = _flag("1: diagnosed with dyslipidemia, ever.")
    fatty_liver: int = _flag("1: diagnosed with fatty liver, ever.")
    angina: int = _flag("1: diagnosed with angina or ischemia, ever.")
    atrial_fibrillation: int = _flag("1: diagnosed with atrial fibrillation, ever.")
    angina_diagnoses: int = _count("How often angina or ischemia was diagnosed.", 0)
    years_since_angina: float = _value("Years since the last time.", 2.5, 0, 200)
    years_since_first_diagnosis: float = _value("Years since the first of all these diagnoses.", 8.2, 0, 200)
