"""Which served predictions get which labels."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.predictions import new_outcomes, not_served, served_predictions, withdrawn_outcomes
from mlplatform.lake.tables import merge_rows, replace_table
from mlplatform_tests.small_fraud import small_fraud

SPEC = small_fraud().spec
AT, KNOWN = datetime(2018, 6, 1, 10), datetime(2018, 6, 9)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Transactions 7 and 8 with their labels; somebody asked about 7 before it was served."""
    made = Lake.at(Home(tmp_path))
    spine(made, True, False)
    store(made, "features", {"transaction_id": [7, 8, 9]})
    log = {
        "prediction_id": ["asked", "seven", "eight"],
        "transaction_id": ["7", "7", "8"],
        "predicted_at": [AT] * 3,
        "event_time": [AT] * 3,
        "model_version": [1] * 3,
        "role": ["question", "champion", "champion"],
        "answer": ["{}"] * 3,
        "latency_ms": [1.0] * 3,
    }
    store(made, "prediction_log", log)
    return made


def spine(lake: Lake, *labels: bool | None) -> None:
    known = [None if label is None else KNOWN for label in labels]
    rows = {"transaction_id": [7, 8], "event_time": [AT] * 2, SPEC.training.label: list(labels)}
    store(lake, "spine", {**rows, SPEC.label_known_at: pa.array(known, pa.timestamp("us"))})


def store(lake: Lake, name: str, rows: dict[str, Any]) -> None:
    lake.commit(lambda con: replace_table(con, f"fraud.{name}", pa.table(rows)), name)


def test_a_question_under_the_key_of_something_that_happened_gets_no_label_and_no_place_in_reports(lake: Lake) -> None:
    assert sorted(new_outcomes(lake, SPEC, KNOWN)["prediction_id"].to_pylist()) == ["eight", "seven"]
    assert served_predictions(lake, SPEC, AT, KNOWN)["role"].tolist() == ["champion", "champion"]


def test_a_label_that_was_withdrawn_is_found_and_one_that_stays_is_not(lake: Lake) -> None:
    assert withdrawn_outcomes(lake, SPEC) == []
    found = new_outcomes(lake, SPEC, KNOWN)
    lake.commit(lambda con: merge_rows(con, "fraud.outcomes", found, ["prediction_id"]), "outcomes")
    assert withdrawn_outcomes(lake, SPEC) == []
    spine(lake, None, False)
    assert withdrawn_outcomes(lake, SPEC) == ["seven"]


def test_what_a_champion_has_answered_is_not_asked_for_again(lake: Lake) -> None:
    with lake.read() as con:
        rows = con.execute(f"SELECT transaction_id FROM fraud.features AS s WHERE {not_served(con, SPEC)}").fetchall()
    assert rows == [(9,)]
