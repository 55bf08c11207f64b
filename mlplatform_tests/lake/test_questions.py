"""What somebody only asked about is in the log, and has no outcome."""

from datetime import datetime
from pathlib import Path

import pyarrow as pa

from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.predictions import new_outcomes, served_predictions
from mlplatform.lake.tables import replace_table
from mlplatform_tests.small_fraud import small_fraud

AT, KNOWN = datetime(2018, 6, 1, 10), datetime(2018, 6, 9)


def test_a_question_under_the_key_of_something_that_happened_gets_neither_its_label_nor_a_place_in_reports(
    tmp_path: Path,
) -> None:
    spec, lake = small_fraud().spec, Lake.at(Home(tmp_path))
    spine = {"transaction_id": [7], "event_time": [AT], spec.training.label: [True], spec.label_known_at: [KNOWN]}
    log = {
        "prediction_id": ["asked", "happened"],
        "transaction_id": ["7", "7"],
        "predicted_at": [AT, AT],
        "event_time": [AT, AT],
        "model_version": [1, 1],
        "role": ["question", "champion"],
        "answer": ["{}", "{}"],
        "latency_ms": [1.0, 1.0],
    }
    for name, rows in (("spine", spine), ("features", {"transaction_id": [7]}), ("prediction_log", log)):
        lake.commit(lambda con, name=name, rows=rows: replace_table(con, f"fraud.{name}", pa.table(rows)), name)
    assert new_outcomes(lake, spec, KNOWN)["prediction_id"].to_pylist() == ["happened"]
    found = served_predictions(lake, spec, AT, KNOWN)
    assert found["role"].tolist() == ["champion"]
