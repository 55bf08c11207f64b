from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from mlplatform.serving.codec import dumps, loads
from mlplatform.serving.journal_scoring import open_model, rescore
from mlplatform.serving.scoring import Live
from mlplatform_tests.serving.conftest import GOOD


@pytest.fixture(scope="module")
def model(sealed: Path) -> Live:
    return open_model(sealed, "fraud", 3)


def logged(number: int = 1, moment: str = "2018-08-01", **features: Any) -> dict[str, Any]:
    """A row of the log; the model learned until 2018-07-01."""
    return {
        "prediction_id": f"segment:{number}",
        "transaction_id": str(number),
        "request_id": f"request-{number}",
        "predicted_at": datetime.fromisoformat("2018-08-02T00:00:00"),
        "event_time": datetime.fromisoformat(moment),
        "model_version": 1,
        "bento": "fraud:v1",
        "role": "champion",
        "latency_ms": 1.5,
        "score": 0.1,
        "decision": False,
        "answer": '{"score":0.1,"decision":false}',
        "reasons": None,
        "features": dumps({**GOOD, **features}).decode(),
    }


def test_a_logged_request_gets_the_answer_that_the_service_would_have_given(model: Live) -> None:
    rows = [logged(n, amount=40.0 * n) for n in range(1, 12)]
    done = rescore(model, rows, hashed=[])

    expected = model.predict([{**GOOD, "amount": 40.0 * n} for n in range(1, 12)], explain=False)
    assert [loads(str(row["answer"]).encode()) for row in done.rows] == expected
    assert [row["score"] for row in done.rows] == [each["score"] for each in expected]


def test_it_keeps_what_the_request_was_about_and_says_who_scored(model: Live) -> None:
    [row] = rescore(model, [before := logged(7)], hashed=[]).rows

    kept = ("transaction_id", "request_id", "event_time", "predicted_at")
    assert [row[name] for name in kept] == [before[name] for name in kept]
    assert (row["prediction_id"], row["model_version"], row["role"]) == ("segment:7@v3", 3, "journal")
    assert row["latency_ms"] is None, "nobody was served"


def test_what_cannot_be_scored_is_counted_by_why_not(model: Live) -> None:
    without = logged(2)
    without["features"] = dumps({name: value for name, value in GOOD.items() if name != "risk"}).decode()
    rows = [
        logged(1),
        without,
        logged(3, amount=-5.0),
        logged(4, moment="2018-06-30"),
        logged(5, amount="5f2b"),
        {**logged(6), "features": None},
    ]
    done = rescore(model, rows, hashed=[])

    assert [row["prediction_id"] for row in done.rows] == ["segment:1@v3"]
    assert (done.learned_from, done.not_kept, done.hashed, done.refused) == (1, 2, 0, 2)


def test_a_hash_is_no_value(model: Live) -> None:
    done = rescore(model, [logged(1), logged(2)], hashed=["channel", "transaction_id"])

    assert done.rows == ()
    assert done.hashed == 2
    assert len(rescore(model, [logged(1)], hashed=["transaction_id"]).rows) == 1, "a key is no feature"


def test_features_that_this_model_does_not_know_are_no_problem(model: Live) -> None:
    assert len(rescore(model, [logged(1, newer_feature=1)], hashed=[]).rows) == 1
