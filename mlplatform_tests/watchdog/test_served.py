from dataclasses import dataclass
from datetime import datetime, timedelta

from mlplatform.watchdog.served import Deployed, check_served, parse_time

NOW = datetime(2026, 3, 1, 12)
LONG_AGO = Deployed("fraud:v2", NOW - timedelta(hours=1))


@dataclass(frozen=True)
class Refused:
    bento: str
    why: str = "changed model.txt"
    since: str = "2026-03-01T11:00:00+00:00"


@dataclass(frozen=True)
class Worker:
    bento: str
    refused: Refused | None = None


def titles(deployed: Deployed | None, *workers: Worker) -> list[str]:
    return [finding.title for finding in check_served("fraud", deployed, workers, NOW)]


def test_workers_that_serve_what_is_deployed_are_no_finding_and_neither_are_none() -> None:
    assert titles(LONG_AGO, Worker("fraud:v2"), Worker("fraud:v2")) == []
    assert titles(LONG_AGO) == []
    assert titles(None, Worker("fraud:v1")) == []


def test_a_refused_bento_is_one_finding_however_many_workers_refuse_it() -> None:
    [title] = titles(LONG_AGO, *[Worker("fraud:v1", Refused("fraud:v2"))] * 2, Worker("fraud:v2"))
    assert title == (
        "fraud:v2 is refused by 2 of 3 workers of fraud since 2026-03-01T11:00:00+00:00: changed model.txt; "
        "fraud:v1 answers"
    )


def test_a_worker_that_answers_nothing_says_so() -> None:
    [title] = titles(LONG_AGO, Worker("", Refused("")))
    assert title.startswith("the pointer is refused by the service of fraud")
    assert title.endswith("nothing answers")


def test_a_worker_that_has_not_followed_in_a_minute_is_a_finding() -> None:
    just_now = Deployed("fraud:v2", NOW - timedelta(seconds=59))
    assert titles(just_now, Worker("fraud:v1")) == []
    [title] = titles(LONG_AGO, Worker("fraud:v1"), Worker("fraud:v2"))
    assert title == "1 of 2 workers of fraud still serves fraud:v1, not fraud:v2"


def test_times_are_read_with_and_without_a_zone_and_what_is_none_is_none() -> None:
    assert parse_time("2026-03-01T13:00:00+01:00") == parse_time("2026-03-01T12:00:00") == NOW
    assert parse_time("yesterday") is None
