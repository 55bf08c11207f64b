"""Bundles of every task, of cleaned and blended models, with keys and times: the same answers as the platform's."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlplatform.contracts.rules import Rule, dump_rules
from mlplatform.ml.ensemble import train_ensemble
from mlplatform.ml.model import Model
from mlplatform.ml.train import train_candidate
from mlplatform.serving.bundle import load_bundle, write_manifest
from mlplatform.serving.edge.hard_rows import hard_rows, wrong_rows
from mlplatform.serving.edge.pack import EdgeBundle, pack_edge
from mlplatform.serving.edge.runner import Model as Runner
from mlplatform.serving.edge.runner import RefusedError
from mlplatform.serving.journal import JournalSettings
from mlplatform.serving.scoring import Live
from mlplatform.spec.candidate import EnsembleCandidate, SearchedCandidate, Tuning
from mlplatform.spec.training import Training
from mlplatform_tests.ml import data, task_data, test_tables

Case = tuple[Path, EdgeBundle]
NO_SEARCH = Tuning(trials=0)


def sealed(folder: Path, model: Model, rules: Sequence[Rule], rows: pd.DataFrame) -> Path:
    """A bundle that names an id and a time beside its features."""
    model.save(folder)
    (folder / "contract.json").write_text(dump_rules(list(rules)))
    JournalSettings(keys=("id",), event_time="event_time").save(folder)
    rows.tail(400).to_parquet(folder / "reference.parquet")
    write_manifest(folder, "example", "1", {})
    return folder


def fitted(candidate: SearchedCandidate, rows: pd.DataFrame, declared: Training) -> Model:
    return train_candidate(rows, candidate, declared, event_time="event_time", as_of=data.AS_OF).model


BINARY = [
    Rule(name="amount", type="float", nullable=True, minimum=0, example=12.5),
    Rule(name="rate", type="float", example=0.5),
    Rule(name="night", type="boolean", example=False),
    Rule(name="noise", type="float", maximum=100, example=0),
    # Any text: what training did not see counts as missing.
    Rule(name="channel", type="string", nullable=True, example="web"),
]
FORECAST = [
    Rule(name="series", type="string", example="s1"),
    Rule(name="horizon", type="integer", minimum=1, maximum=7, example=3),
    Rule(name="promotion", type="boolean", example=True),
    Rule(name="same_weekday", type="float", minimum=0, nullable=True, example=40.0),
    Rule(name="weekday", type="integer", categories=list(range(7)), example=2),
]
ORDER = [Rule(name=name, type="float", minimum=0, maximum=1, example=0.5) for name in ("near", "popular", "noise")]


CLASSES = [
    Rule(name="a", type="float", nullable=True, example=0.5),
    Rule(name="b", type="float", example=0.5),
    Rule(name="shop", type="string", example="x"),
]


def cleaned(rows: pd.DataFrame) -> Model:
    policies = [
        {"kind": "numeric", "columns": ["amount"], "cap": [0.01, 0.99], "missing": "median", "scale": "robust"},
        {"kind": "target", "columns": ["channel"]},
    ]
    declared = Training.model_validate(data.training().model_dump() | {"cleaning": policies})
    return fitted(data.trees(tuning=NO_SEARCH, calibration="isotonic"), rows, declared)


def blended(rows: pd.DataFrame) -> Model:
    declared = data.training()
    members = {
        name: fitted(data.CANDIDATES[name](tuning=NO_SEARCH), rows, declared)
        for name in ("trees", "boosting", "linear")
    }
    blend = EnsembleCandidate(name="blend", kind="ensemble")
    return train_ensemble(rows, blend, members, declared, event_time="event_time", as_of=data.AS_OF).model


def forecasting(rows: pd.DataFrame) -> Model:
    declared = task_data.forecast_training(anchor="same_weekday")
    return fitted(task_data.small_trees(tuning=NO_SEARCH), rows, declared)


def weekdays_as_categories(rows: pd.DataFrame) -> Model:
    declared = task_data.forecast_training().model_copy(update={"categorical": ["series", "weekday"]})
    return fitted(task_data.small_trees(tuning=NO_SEARCH), rows, declared)


def ordering(rows: pd.DataFrame) -> Model:
    return fitted(task_data.small_trees(tuning=NO_SEARCH), rows, task_data.order_training())


def telling_classes(rows: pd.DataFrame) -> Model:
    declared = test_tables.training(
        "multiclass", {"kind": "lightgbm", "name": "c", "rounds": 40, "tuning": {"trials": 0}}
    )
    [candidate] = declared.candidates
    assert not isinstance(candidate, EnsembleCandidate)
    return fitted(candidate, rows, declared)


CASES: dict[str, Any] = {
    "cleaned": (cleaned, data.labelled_rows, BINARY),
    "blended": (blended, data.labelled_rows, BINARY),
    "forecast": (forecasting, task_data.forecast_rows, FORECAST),
    "whole_numbers_as_categories": (weekdays_as_categories, task_data.forecast_rows, FORECAST),
    "ranking": (ordering, task_data.order_rows, ORDER),
    "multiclass": (telling_classes, lambda: test_tables.rows("multiclass"), CLASSES),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    make, frame, rules = CASES[request.param]
    rows = frame()
    folder = tmp_path_factory.mktemp(request.param)
    bundle = sealed(folder / "bundle", make(rows), rules, rows)
    return bundle, pack_edge(bundle, "example:v1", folder / "edge")


def test_the_copy_answers_like_the_platform_on_the_sample_and_on_hard_rows(case: Case) -> None:
    bundle, made = case
    assert made.sampled == 401
    assert made.parity.rows > made.sampled + 500
    assert made.parity.largest < 1e-9
    live, edge = Live.of(load_bundle(bundle), "example:v1"), Runner(made.folder)
    [ours], [theirs] = live.predict([live.example()], explain=False), edge.predict([live.example()])
    assert ours.keys() == theirs.keys()
    if "class" in ours:
        assert ours["class"] == theirs["class"]
        assert list(ours["probabilities"]) == list(theirs["probabilities"]) == test_tables.NAMES
    if "quantiles" in ours:
        assert list(ours["quantiles"]) == list(theirs["quantiles"]) == ["0.1", "0.5", "0.9"]


def test_a_row_may_name_its_key_and_its_time_and_neither_changes_the_answer(case: Case) -> None:
    bundle, made = case
    live, edge = Live.of(load_bundle(bundle), "example:v1"), Runner(made.folder)
    plain = live.example()
    told = {**plain, "id": 7, "event_time": "2024-02-01T10:00:00Z"}
    assert edge.predict([told]) == edge.predict([plain])
    for wrong in ({"id": None}, {"id": 2**63}, {"event_time": "1899-12-31"}, {"event_time": "2200-01-01"}):
        with pytest.raises(RefusedError, match=f"row 0, {next(iter(wrong))} "):
            edge.predict([{**plain, **wrong}])


def test_hard_rows_lie_beside_thresholds_and_keep_the_contract(case: Case) -> None:
    bundle, _ = case
    live = Live.of(load_bundle(bundle), "example:v1")
    columns = live.reader.columns
    name = next(column.name for column in columns if column.kind == "float")
    rows = hard_rows(columns, [live.example()], {name: {0.25}})
    assert {0.25, math.nextafter(0.25, 0), math.nextafter(0.25, 1)} <= {row[name] for row in rows}
    assert live.reader.read(rows)[1] == []
    for column in columns:
        if column.nullable:
            assert any(row[column.name] is None for row in rows)
        if column.kind == "string" and column.listed is None:
            assert any(row[column.name] == "never seen" for row in rows)


def test_most_wrong_rows_are_wrong(case: Case) -> None:
    bundle, _ = case
    live = Live.of(load_bundle(bundle), "example:v1")
    rows = wrong_rows(live.reader.columns, live.example(), live.bundle.journal.identity)
    refused = [row for row in rows if live.reader.read([row])[1]]
    assert len(refused) > len(rows) / 2
    assert {problem.field for row in refused for problem in live.reader.read([row])[1]} >= {
        *live.bundle.model.features, "id", "event_time", "no_such_feature", "",
    }  # fmt: skip
