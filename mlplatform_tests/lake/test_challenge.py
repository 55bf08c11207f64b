from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from mlplatform.lake.challenge import answers_by_day, answers_to_both, served_latency, unanswered
from mlplatform.lake.lake import Lake
from mlplatform.lake.predictions import prediction_table
from mlplatform.lake.tables import append_rows
from mlplatform.serving.journal_ingest import prediction_schema
from mlplatform.spec import UseCase, load_declaration

START = datetime(2018, 8, 1)
SPAN = (START - timedelta(days=1), START + timedelta(days=9))
LATER = START + timedelta(days=30)


@pytest.fixture(scope="module")
def spec() -> UseCase:
    return load_declaration("fraud").spec


def row(number: int, version: int = 1, role: str = "champion", **changes: Any) -> dict[str, Any]:
    moment = START + timedelta(hours=number)
    return {
        "prediction_id": f"s{version}:{number:03}" if role != "journal" else f"s1:{number:03}@v{version}",
        "transaction_id": str(number),
        "request_id": f"r{number}",
        "predicted_at": moment,
        "event_time": moment,
        "model_version": version,
        "role": role,
        "latency_ms": float(number + 100 * version) if role != "journal" else None,
        "answer": f'{{"score":0.{version}}}',
        "score": version / 10,
        "features": "{}",
    } | changes


def log(lake: Lake, spec: UseCase, *rows: dict[str, Any]) -> None:
    table = pa.Table.from_pylist(list(rows), prediction_schema(spec.entity_keys))
    lake.commit(lambda con: append_rows(con, prediction_table(spec), table), "log")


def test_what_went_out_and_is_not_rescored_is_given_once_in_chunks(lake: Lake, spec: UseCase) -> None:
    log(lake, spec, *(row(n) for n in range(7)), row(3, 2, "journal"), row(50, 2), row(51, 1, "shadow"))
    chunks = list(unanswered(lake, spec, 2, *SPAN, chunk=4))

    assert [[each["prediction_id"] for each in chunk] for chunk in chunks] == [
        ["s1:000", "s1:001", "s1:002", "s1:004"],
        ["s1:005", "s1:006"],
    ]


def test_answers_are_counted_by_day_of_the_event_and_version_whatever_their_role(lake: Lake, spec: UseCase) -> None:
    asked = [row(n) for n in (0, 23, 24, 49)]
    log(lake, spec, *asked, row(1, 2, "journal"), row(2, 2, "shadow"), row(30, 3), row(300))

    counts = {"2018-08-01": (2, 2), "2018-08-02": (1, 0), "2018-08-03": (1, 0)}
    assert answers_by_day(lake, spec, (1, 2), *SPAN) == counts


def test_only_requests_that_both_answered_are_compared_each_once(lake: Lake, spec: UseCase) -> None:
    log(lake, spec, *(row(n) for n in range(4)), row(1, 2, "shadow"), row(1, 2, "journal"), row(2, 2, "journal"))
    rows = answers_to_both(lake, spec, (1, 2), *SPAN, LATER)

    told = [(r.journal_request, r.model_version, r.role, r.keyed) for r in rows.itertuples()]
    assert told == [
        ("r1", 1, "champion", True),
        ("r1", 2, "shadow", True),
        ("r2", 1, "champion", True),
        ("r2", 2, "journal", True),
    ]
    assert rows["label"].isna().all()


def test_rows_without_keys_are_paired_by_their_place_in_the_request(lake: Lake, spec: UseCase) -> None:
    nameless = {"transaction_id": None, "request_id": "batch", "event_time": START, "predicted_at": START}
    for version, role in ((1, "champion"), (2, "shadow")):
        log(lake, spec, *(row(n, version, role, **nameless, score=n / 10 + version) for n in range(3)))
    rows = answers_to_both(lake, spec, (1, 2), *SPAN, LATER)

    assert list(zip(rows["example"], rows["model_version"], strict=True)) == [
        (f"row {place}", version) for place in (1, 2, 3) for version in (1, 2)
    ]
    assert not rows["keyed"].any()


def test_a_label_of_the_served_prediction_is_that_of_the_rescored_one_from_when_it_is_known(
    lake: Lake, spec: UseCase
) -> None:
    log(lake, spec, row(1), row(1, 2, "journal"))
    known = pa.table({"prediction_id": ["s1:001"], "transaction_id": ["1"], "event_time": [START], "label": [1.0]})
    known = known.append_column(spec.label_known_at, pa.array([START + timedelta(days=7)]))
    lake.commit(lambda con: append_rows(con, f"{spec.name}.outcomes", known), "label")

    assert answers_to_both(lake, spec, (1, 2), *SPAN, LATER)["label"].tolist() == [1, 1]
    assert answers_to_both(lake, spec, (1, 2), *SPAN, START + timedelta(days=6))["label"].isna().all()


def test_latency_is_of_requests_while_the_challenger_ran(lake: Lake, spec: UseCase) -> None:
    later = timedelta(seconds=1)
    shadows = [row(n, 2, "shadow", predicted_at=START + timedelta(hours=n) + later) for n in (4, 5, 6)]
    log(lake, spec, *(row(n) for n in range(10)), *shadows, row(8, 2, "journal"))
    ours, theirs = served_latency(lake, spec, 1, 2)

    assert (ours.requests, ours.p50_ms) == (3, 105)
    assert (theirs.requests, theirs.p50_ms) == (3, 205)
    assert served_latency(lake, spec, 1, 3)[1].requests == 0
