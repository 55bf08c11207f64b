"""What is known at a landmark, from three tables of history, and nothing more."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pandas as pd
import pytest

from mlplatform.lake.feature_query import FeatureQuery
from mlplatform.lake.lake import Lake
from mlplatform.lake.leakage import check_leakage
from mlplatform.lake.tables import replace_table
from mlplatform.spec import load_declaration
from mlplatform_tests.cohort import cohort
from mlplatform_tests.use_cases.conftest import MODELS, Build
from mlplatform_tests.use_cases.test_diagnosis_labels import ORIGIN, tables

AS_OF = datetime(2012, 1, 1)


def person(**given: Any) -> dict[str, Any]:
    return {"followed": 4000, "died": 0, "measured": [100], "diagnosed": [], **given}


def features(build: Build, raw: dict[str, pd.DataFrame]) -> dict[str, Any]:
    with build(raw) as con:  # type: ignore[attr-defined]
        found = con.execute("FROM diagnosis.features ORDER BY event_time").to_arrow_table().to_pylist()
    first: dict[str, Any] = found[0]
    return first


def measured(*values: tuple[int, str, float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "person_id": 1,
            "event_time": [ORIGIN + pd.Timedelta(days=day) for day, *_ in values],
            "test": [test for _, test, _ in values],
            "value": [value for *_, value in values],
        }
    )


def test_the_last_value_of_each_test_is_that_of_the_day_or_the_latest_before(build: Build) -> None:
    raw = tables([person()]) | {
        "measurements": measured(
            (-900, "sbp", 110),
            (-10, "sbp", 120),
            (100, "sbp", 140),
            (90, "hdl", 44),
            (101, "hdl", 99),
            (-20, "smoke", 1),
        )
    }
    raw["measurements"] = raw["measurements"][raw["measurements"]["event_time"] != ORIGIN + pd.Timedelta(days=90)]
    got = features(build, raw)
    assert (got["sbp_last"], got["sbp_days_since"], got["sbp_mean_2y"]) == (140, 0, 130)
    assert got["sbp_change"] == 140 - 110
    assert (got["hdl_last"], got["smokes"], got["measured_days_2y"]) == (None, 1, 3)


def test_a_value_that_no_living_person_has_is_missing(build: Build) -> None:
    raw = tables([person()]) | {"measurements": measured((100, "sbp", 13682), (50, "sbp", 125))}
    got = features(build, raw)
    assert got["sbp_last"] == 125


def test_diagnoses_of_the_day_count_and_those_of_the_next_do_not(build: Build) -> None:
    got = features(
        build, tables([person(diagnosed=[(100, "htn"), (101, "diabetes"), (-730, "ang/isc"), (99, "ang/isc")])])
    )
    assert (got["hypertension"], got["diabetes"], got["angina"], got["angina_diagnoses"]) == (1, 0, 1, 2)
    assert got["years_since_angina"] == pytest.approx(1 / 365.25)
    assert got["years_since_first_diagnosis"] == pytest.approx(830 / 365.25)


def test_age_goes_on_and_bmi_comes_from_weight_and_height_where_it_is_not_told(build: Build) -> None:
    got = features(build, tables([person()]))
    assert got["age"] == pytest.approx(60 + 100 / 365.25)
    assert got["age_band"] == "50 to 64"
    assert got["bmi"] == pytest.approx(80 / 1.7**2)


def as_declared(made: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """A made-up cohort under the names of the contract."""
    people = made["people"].rename(
        columns={
            "patient": "person_id",
            "entered": "index_date",
            "sex_male": "male",
            "kg": "weight_kg",
            "cm": "height_cm",
            "left": "followed_until",
            "dead": "died",
        }
    )
    return {
        "people": people.assign(bmi=None),
        "measurements": made["measurements"].rename(columns={"id": "person_id", "day": "event_time"}),
        "diagnoses": made["diagnoses"].rename(columns={"id": "person_id", "day": "event_time", "code": "diagnosis"}),
    }


@pytest.fixture
def filled(lake: Lake, build: Build) -> Lake:
    """A lake with the staged tables, the spine and the features of a made-up cohort."""
    with build(as_declared(cohort(people=200))) as con:  # type: ignore[attr-defined]
        made = {name: con.execute(f"FROM diagnosis.{name}").to_arrow_table() for name in MODELS}
    lake.commit(lambda con: [replace_table(con, f"diagnosis.{name}", rows) for name, rows in made.items()], "fill")
    return lake


def check(query: FeatureQuery, lake: Lake) -> tuple[str, ...]:
    return check_leakage(query, lake, AS_OF, rows=30, seed=1, lookback_days=36500).leaking


def test_honest_features_of_three_tables_are_rebuilt_exactly(filled: Lake, diagnosis_query: FeatureQuery) -> None:
    assert [table.table for table in diagnosis_query.history] == [
        "diagnosis.stg_people",
        "diagnosis.stg_measurements",
        "diagnosis.stg_diagnoses",
    ]
    assert check(diagnosis_query, filled) == ()


LEAKS = {
    "how long they were followed": "SELECT epoch(followed_until) FROM lake.diagnosis.stg_people p "
    "WHERE p.person_id = s.person_id",
    "whether they died": "SELECT died FROM lake.diagnosis.stg_people p WHERE p.person_id = s.person_id",
    "measurements to come": "SELECT count(*) FROM lake.diagnosis.stg_measurements m WHERE m.person_id = s.person_id",
    "diagnoses to come": "SELECT max(epoch(d.event_time)) FROM lake.diagnosis.stg_diagnoses d "
    "WHERE d.person_id = s.person_id",
    "the label itself": "SELECT s.label",
    "its weight": "SELECT s.label_weight",
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS.keys())
def test_a_feature_that_looks_ahead_in_any_of_them_is_caught(
    filled: Lake, diagnosis_query: FeatureQuery, leak: str
) -> None:
    text = (
        f"SELECT f.*, l.leak FROM ({diagnosis_query.sql}) f "
        f"JOIN (SELECT example_id, ({leak}) AS leak FROM lake.diagnosis.spine s) l USING (example_id)"
    )
    leaking = replace(diagnosis_query, sql=text)
    filled.commit(lambda con: con.execute(f"CREATE OR REPLACE TABLE {leaking.table} AS {text}"), "leak")
    assert check(leaking, filled) == ("leak",)


def test_every_declared_feature_is_computed(filled: Lake) -> None:
    training = load_declaration("diagnosis").spec.training
    with filled.read() as con:
        columns = {name for name, *_ in con.execute("DESCRIBE diagnosis.features").fetchall()}
    assert {*training.features, *training.gates.slices, training.split.group} <= columns
