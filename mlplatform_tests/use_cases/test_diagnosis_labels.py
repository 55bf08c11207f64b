"""Who counts as what: nobody who was lost early counts as free of events, and those lost are stood for by others."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform_tests.use_cases.conftest import Build

ORIGIN = pd.Timestamp("2000-01-01")
HORIZON = pd.Timedelta(days=1826)
MAJOR = ("MI", "stroke", "heart failure", "cardiac arrest")

days = st.integers(-1000, 5000)
person = st.fixed_dictionaries(
    {
        "followed": st.integers(1, 5000),
        "died": st.integers(0, 1),
        "measured": st.lists(days, min_size=1, max_size=6, unique=True),
        "diagnosed": st.lists(st.tuples(days, st.sampled_from([*MAJOR, "htn"])), max_size=3, unique=True),
    }
)
cohorts = st.lists(person, min_size=1, max_size=12)


def tables(people: list[dict[str, Any]]) -> dict[str, pd.DataFrame]:
    """Raw tables of people whose index date is ORIGIN; days count from it."""
    ids = range(1, len(people) + 1)
    measured = [(i, day) for i, p in zip(ids, people, strict=True) for day in p["measured"]]
    diagnosed = [(i, day, what) for i, p in zip(ids, people, strict=True) for day, what in p["diagnosed"]]
    return {
        "people": pd.DataFrame(
            {
                "person_id": ids,
                "index_date": ORIGIN,
                "age": 60.0,
                "male": 1,
                "weight_kg": 80.0,
                "height_cm": 170.0,
                "bmi": None,
                "followed_until": [_at(p["followed"]) for p in people],
                "died": [p["died"] for p in people],
            }
        ),
        "measurements": pd.DataFrame(
            {
                "person_id": [i for i, _ in measured],
                "event_time": [_at(day) for _, day in measured],
                "test": "sbp",
                "value": 130.0,
            }
        ),
        "diagnoses": pd.DataFrame(
            {
                "person_id": pd.Series([i for i, *_ in diagnosed], dtype="int64"),
                "event_time": pd.Series([_at(day) for _, day, _ in diagnosed], dtype="datetime64[us]"),
                "diagnosis": pd.Series([what for *_, what in diagnosed], dtype="string"),
            }
        ),
    }


def _at(day: int) -> pd.Timestamp:
    return ORIGIN + pd.Timedelta(days=int(day))


def spine(build: Build, people: list[dict[str, Any]]) -> pd.DataFrame:
    with build(tables(people)) as con:  # type: ignore[attr-defined]
        found: pd.DataFrame = con.execute("FROM diagnosis.spine ORDER BY example_id").df()
    return found


def truth(person: Mapping[str, Any], moment: pd.Timestamp) -> tuple[int | None, pd.Timestamp | None]:
    """The label and when it was known, by the rule in words."""
    end = _at(person["followed"])
    events = [_at(d) for d, what in person["diagnosed"] if what in MAJOR and moment < _at(d) <= end]
    events += [end] if person["died"] else []
    if events and min(events) <= moment + HORIZON:
        return 1, min(events)
    return (0, moment + HORIZON) if end >= moment + HORIZON else (None, None)


@given(cohorts)
@settings(max_examples=80, deadline=None)
def test_a_label_is_never_0_for_somebody_lost_before_the_horizon(build: Build, people: list[dict[str, Any]]) -> None:
    found = spine(build, people).dropna(subset=["label"])
    for row in found[found["label"] == 0].itertuples():
        assert _at(people[row.person_id - 1]["followed"]) >= row.event_time + HORIZON


@given(cohorts)
@settings(max_examples=80, deadline=None)
def test_a_label_says_what_happened_within_the_horizon_and_is_known_no_sooner(
    build: Build, people: list[dict[str, Any]]
) -> None:
    for row in spine(build, people).itertuples():
        label, known = truth(people[row.person_id - 1], row.event_time)
        if pd.isna(row.label):
            assert pd.isna(row.label_known_at)
            assert pd.isna(row.label_weight)
        else:
            assert (row.label, row.label_known_at) == (label, known)
            assert row.event_time < row.label_known_at <= row.event_time + HORIZON
            assert row.label_weight >= 1


@given(cohorts)
@settings(max_examples=80, deadline=None)
def test_a_landmark_is_a_visit_under_observation_before_any_major_event_and_the_first_of_its_year(
    build: Build, people: list[dict[str, Any]]
) -> None:
    found = spine(build, people)
    expected = set()
    for i, person in enumerate(people, start=1):
        firsts: dict[int, int] = {}
        for day in sorted(d for d in person["measured"] if 0 <= d < person["followed"]):
            firsts.setdefault(day // 365, day)
        major = min((d for d, what in person["diagnosed"] if what in MAJOR), default=10**6)
        expected |= {(i, _at(day)) for day in firsts.values() if day < major}
    assert {(row.person_id, row.event_time) for row in found.itertuples()} == expected


@given(cohorts)
@settings(max_examples=80, deadline=None)
def test_the_weights_of_a_year_stand_for_all_of_its_examples(build: Build, people: list[dict[str, Any]]) -> None:
    found = spine(build, people)
    years = (found["event_time"] - ORIGIN).dt.days // 365
    for _, year in found.groupby(years):
        if year["label"].notna().any():
            assert year["label_weight"].sum() == pytest.approx(len(year))


def test_weighted_labels_give_the_risk_that_labels_alone_exaggerate(build: Build) -> None:
    random = np.random.default_rng(0)
    n, rate, lost = 20_000, 0.02 / 365.25, 0.12 / 365.25
    event, gone = random.exponential(1 / rate, n), random.exponential(1 / lost, n)
    until = np.minimum(np.minimum(event, gone), 6000).astype(int) + 1
    people = [
        {"followed": int(u), "died": int(e <= min(g, 6000)), "measured": [0], "diagnosed": []}
        for u, e, g in zip(until, event, gone, strict=True)
    ]
    known = spine(build, people).dropna(subset=["label"])
    risk = 1 - np.exp(-rate * 1826)
    assert np.average(known["label"], weights=known["label_weight"]) == pytest.approx(risk, rel=0.05)
    assert known["label"].mean() > 1.2 * risk


def test_a_year_through_which_hardly_anybody_was_followed_has_no_labels(build: Build) -> None:
    """One of five through the horizon is less than a quarter; that one dies counts for nothing either."""
    short = {"followed": 100, "died": 0, "measured": [0], "diagnosed": []}
    long = {**short, "followed": 3000}
    assert spine(build, [short] * 4 + [long])["label"].isna().all()
    assert spine(build, [short] * 2 + [long])["label"].notna().sum() == 1
