"""A JSON API on loopback: its pages, who may ask, how fast, and what happens when it fails."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from mlplatform.errors import SourceError
from mlplatform.home import Home
from mlplatform.ingest.rest import RestFeed, RestReader
from mlplatform.spec import RestSource
from mlplatform_tests.feeding import Feeding
from mlplatform_tests.processes import free_port
from mlplatform_tests.web import Answer, Asked, Web, web_server

SECRET = "t0ken-of-the-api"


def reading(number: int, **more: Any) -> dict[str, Any]:
    at = f"2024-01-{1 + number % 28:02}T10:00:00Z"
    return {"reading_id": number, "event_time": at, "sensor": {"name": "a"}, "value": number + 0.5, **more}


ROWS = [reading(i) for i in range(25)]


def sent(content: Any, **headers: str) -> Answer:
    return Answer(json.dumps(content).encode(), headers={"Content-Type": "application/json", **headers})


def paged(asked: Asked, rows: list[dict[str, Any]] = ROWS) -> Answer:
    """Ten a page, in every way at once."""
    ask = asked.query
    rows = [row for row in rows if row["reading_id"] >= int(ask.get("since", 0))]
    start = int(ask.get("offset", ask.get("token", 10 * (int(ask.get("page", 1)) - 1))))
    page, more = rows[start : start + 10], start + 10 < len(rows)
    url = f"http://{asked.headers['Host']}/readings?offset={start + 10}"
    meta = {"next": str(start + 10) if more else None, "url": url if more else None}
    return sent({"data": {"items": page}, "meta": meta}, **({"Link": f'<{url}>; rel="next"'} if more else {}))


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server(paged) as server:
        yield server


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", SECRET)
    monkeypatch.setenv("API_USER", "reader")


def declared(web: Web, **fields: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"kind": "rest", "url": web.url("/readings"), "rows": "data.items", "retries": 2}
    return given | {"columns": {"sensor": "sensor.name"}, "pages": {"kind": "number", "size": 10}} | fields


def feed(web: Web, **fields: Any) -> RestFeed:
    return RestFeed(RestSource.model_validate({"name": "readings", "key": ["reading_id"], **declared(web, **fields)}))


def ids(found: RestFeed, after: str | None = None) -> list[int]:
    return [i for batch in found.batches(after) for i in batch.rows["reading_id"].to_pylist()]


PAGES = [
    {"kind": "number", "size": 10},
    {"kind": "number"},
    {"kind": "offset", "limit": 10},
    {"kind": "token", "param": "token", "token": "meta.next"},
    {"kind": "next", "next": "meta.url"},
    {"kind": "link"},
]


@pytest.mark.parametrize("pages", PAGES, ids=lambda pages: str(pages.get("kind")) + str(pages.get("size", "")))
def test_all_pages_are_read_once(web: Web, pages: dict[str, Any]) -> None:
    assert ids(feed(web, pages=pages)) == list(range(25))


def test_nested_values_come_under_the_contract_s_names_and_no_digit_is_lost(web: Web) -> None:
    web.answer = lambda asked: Answer(
        b'[{"reading_id": 12345678901234567890123, "event_time": "2024-01-01", "value": 0.30000000000000004,'
        b' "sensor": {"name": "x"}, "tags": ["p", "q"]}]'
    )
    (batch,) = feed(web, rows=None, pages=None).batches(None)
    (row,) = batch.rows.to_pylist()
    assert (row["reading_id"], row["value"]) == ("12345678901234567890123", "0.30000000000000004")
    assert row["tags"] == '["p", "q"]'


@pytest.mark.parametrize("pages", [{"kind": "number", "size": 100}, {"kind": "offset", "limit": 100}])
def test_a_server_that_gives_fewer_rows_than_asked_for_is_read_to_its_end(web: Web, pages: dict[str, Any]) -> None:
    assert ids(feed(web, pages=pages)) == list(range(25))


def test_a_server_that_has_no_page_behind_the_last_one_is_read_to_its_end(web: Web) -> None:
    def django(asked: Asked) -> Answer:
        return paged(asked) if int(asked.query["page"]) <= 3 else Answer(b'{"detail": "Invalid page."}', status=404)

    web.answer = django
    assert ids(feed(web, pages={"kind": "number", "not_found_ends": True})) == list(range(25))
    web.answer = lambda asked: Answer(b"{}", status=404)
    with pytest.raises(SourceError, match="is not there"):
        ids(feed(web, pages={"kind": "number", "not_found_ends": True}))


def test_a_page_that_is_not_found_is_no_end_unless_that_is_declared(web: Web, tmp_path: Path, home: Home) -> None:
    def newest_first(asked: Asked) -> Answer:
        return paged(asked, sorted(ROWS, key=lambda row: -row["reading_id"]))

    web.answer = lambda asked: Answer(b"{}", status=404) if asked.query["page"] == "2" else newest_first(asked)
    source = Feeding(tmp_path, declared(web, cursor={"param": "since", "column": "reading_id"}))
    told = source.refused()
    assert "has no page `page`=2 (status 404), after one with rows" in told
    assert "declare `pages.not_found_ends: true`" in told
    assert source.cursor() is None
    web.answer = newest_first
    source.ingested()
    assert source.ids() == list(range(25))


def test_a_row_from_ahead_of_the_server_s_clock_is_named_and_ends_no_source(
    web: Web, tmp_path: Path, home: Home
) -> None:
    found = [reading(i) | {"at": at} for i, at in enumerate(["2024-01-01T10:00:00Z", "2999-01-01T10:00:00Z"])]
    web.answer = lambda asked: paged(asked, [row for row in found if row["at"] > asked.query.pop("since", "")])
    source = Feeding(tmp_path, declared(web, cursor={"param": "since", "column": "at"}))
    assert "1 rows whose `at` lies more than a day ahead" in source.ingested()["left_out"]
    found.append(reading(2) | {"at": "2024-06-01T10:00:00Z"})
    source.ingested()
    assert (source.ids(), source.cursor()) == ([0, 2], "2024-06-01T10:00:00Z")


def test_half_a_character_stays_as_json_writes_it_and_blocks_nothing(web: Web, tmp_path: Path, home: Home) -> None:
    half = json.dumps([reading(1, sensor={"name": "\ud83d"}), reading(2)])
    web.answer = lambda asked: Answer(half.encode())
    source = Feeding(tmp_path, declared(web, rows=None, pages=None))
    source.ingested()
    assert source.rows("reading_id, sensor") == [(1, "\\ud83d"), (2, "a")]


@pytest.mark.parametrize("pages", [{"kind": "number"}, {"kind": "offset", "limit": 10}])
def test_a_server_that_knows_no_pages_ends_in_an_error(web: Web, pages: dict[str, Any]) -> None:
    web.answer = lambda asked: sent({"data": {"items": ROWS[:10]}})
    with pytest.raises(SourceError, match="gave the same page twice for two values of"):
        ids(feed(web, pages=pages))


def test_rows_of_one_value_on_two_pages_are_all_read_after_an_error_between_them(
    web: Web, tmp_path: Path, home: Home
) -> None:
    minutes = [reading(i) | {"at": f"2024-01-01T10:{i // 4:02}"} for i in range(20)]

    def tied(asked: Asked) -> Answer:
        # What is behind `since`, without the rows of it.
        rows = [row for row in minutes if row["at"] > asked.query.get("since", "")]
        return paged(Asked(asked.method, asked.path, {**asked.query, "since": "0"}, asked.headers), rows)

    web.answer = lambda asked: Answer(WHOLE, cut=99) if asked.query["page"] == "2" else tied(asked)
    cursor = {"param": "since", "column": "at", "ascending": True}
    source = Feeding(tmp_path, declared(web, cursor=cursor, rows_per_commit=1, retries=0))
    assert "broke off" in source.refused()
    web.answer = tied
    source.ingested()
    assert source.ids() == list(range(20))


def test_a_column_without_a_value_in_a_whole_batch_is_a_missing_value(web: Web, tmp_path: Path, home: Home) -> None:
    web.answer = lambda asked: sent([reading(1, sensor=None), reading(2, sensor=None)])
    source = Feeding(tmp_path, declared(web, rows=None, pages=None))
    source.ingested()
    assert source.rows() == [(1, None, 1.5), (2, None, 2.5)]


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"kind": "bearer", "token_variable": "API_TOKEN"}, "Authorization", f"Bearer {SECRET}"),
        (
            {"kind": "basic", "user_variable": "API_USER", "password_variable": "API_TOKEN"},
            "Authorization",
            "Basic " + base64.b64encode(f"reader:{SECRET}".encode()).decode(),
        ),
        ({"kind": "key", "key_variable": "API_TOKEN"}, "X-API-Key", SECRET),
    ],
    ids=["bearer", "basic", "key"],
)
def test_every_request_carries_who_asks(web: Web, auth: dict[str, Any], header: str, value: str) -> None:
    ids(feed(web, auth=auth))
    assert [asked.headers[header] for asked in web.asked] == [value] * 4


def test_a_key_may_be_a_parameter(web: Web) -> None:
    auth = {"kind": "key", "key_variable": "API_TOKEN", "header": None, "param": "key"}
    ids(feed(web, auth=auth, pages={"kind": "next", "next": "meta.url"}))
    assert [asked.query["key"] for asked in web.asked] == [SECRET] * 3


def test_no_more_requests_are_sent_than_declared(web: Web) -> None:
    began = time.monotonic()
    ids(feed(web, requests_per_second=10.0))
    assert len(web.asked) == 4
    assert time.monotonic() - began >= 0.3


def failing(times: int, failure: Answer, then: Callable[[Asked], Answer] = paged) -> Callable[[Asked], Answer]:
    left = [times]

    def answer(asked: Asked) -> Answer:
        left[0] -= 1
        return failure if left[0] >= 0 else then(asked)

    return answer


WHOLE = json.dumps({"data": {"items": ROWS[:10]}}).encode()


@pytest.mark.parametrize(
    "failure",
    [
        Answer(status=500),
        Answer(status=429, headers={"Retry-After": "0"}),
        Answer(WHOLE, cut=200),
        Answer(WHOLE[:200]),
    ],
    ids=["500", "429", "half a page", "half a JSON"],
)
def test_what_fails_for_a_moment_is_asked_again(web: Web, failure: Answer) -> None:
    web.answer = failing(2, failure)
    assert ids(feed(web)) == list(range(25))
    assert len(web.asked) == 6


@pytest.mark.parametrize(
    ("year", "says"), [(2025, "is to be asked again in 31536000 seconds"), (2026, None)], ids=["too early", "over"]
)
def test_a_moment_to_be_asked_again_is_waited_for_by_the_clock_that_was_passed_in(
    web: Web, year: int, says: str | None
) -> None:
    web.answer = failing(1, Answer(status=429, headers={"Retry-After": "Thu, 01 Jan 2026 00:00:00 GMT"}))
    waiting = RestFeed(feed(web).spec, now=lambda: datetime(year, 1, 1))
    if says is None:
        assert ids(waiting) == list(range(25))
    else:
        with pytest.raises(SourceError, match=says):
            ids(waiting)


@pytest.mark.parametrize(
    ("failure", "says", "requests"),
    [
        (Answer(status=503), r"failed \(status 503\)\. Try again later", 3),
        (Answer(status=429, headers={"Retry-After": "0"}), r"was asked too often .*`requests_per_second`", 3),
        (Answer(WHOLE, cut=200), "broke off in the middle of an answer", 3),
        (Answer(WHOLE[:200]), "answered with no whole JSON", 3),
        (Answer(status=401), r"refuses this user or key \(status 401\)\. Correct the variables that `auth` names", 1),
        (Answer(status=404), r"is not there \(status 404\)\. Correct `url`", 1),
        (Answer(b"no such field", status=400), "refuses the request .*no such field", 1),
        (Answer(f"no {SECRET} here, and {'x' * 160} {SECRET}".encode(), status=400), r"no \*\*\* here", 1),
        (Answer(b"no gzip", headers={"Content-Encoding": "gzip"}), "broke off in the middle of an answer", 3),
        (Answer(status=429, headers={"Retry-After": "999"}), "to be asked again in 999 seconds. Try again then", 1),
        (Answer(status=301, headers={"Location": "http://elsewhere/x?key=1"}), r"has moved to http://elsewhere/x\.", 1),
        (Answer(b'{"error": "x"}'), r"no list of objects at `data\.items`; it has error\. Say under `rows`", 1),
        (Answer(b'{"data": {"items": null}}'), r"no list of objects at `data\.items`; there stands null", 1),
        (Answer(b"[" * 100_000), "JSON that is nested too deeply", 1),
        (Answer(b'{"a": "\xff"}'), "a text that is not UTF-8", 1),
        (sent({"data": {"items": [{"id": 1}]}}), r"no row of .* has `reading_id`; the first has id\. Say what", 1),
    ],
    ids=[
        "503",
        "429",
        "half a page",
        "half a JSON",
        "401",
        "404",
        "400",
        "echo",
        "gzip",
        "wait",
        "301",
        "no rows",
        "null",
        "deep",
        "no UTF-8",
        "no column",
    ],
)
def test_what_stays_broken_is_named_and_nothing_is_stored(
    web: Web, tmp_path: Path, home: Home, failure: Answer, says: str, requests: int
) -> None:
    web.answer = lambda asked: failure
    auth = {"kind": "key", "key_variable": "API_TOKEN", "header": None, "param": "key"}
    with pytest.raises(SourceError, match=says) as caught:
        ids(feed(web, auth=auth, pages=None, cursor={"param": "since", "column": "reading_id"}))
    assert SECRET not in str(caught.value)
    assert len(web.asked) == requests


def test_a_clock_that_cannot_be_read_is_ours(web: Web) -> None:
    web.answer = lambda asked: sent(ROWS, Date="soon")
    assert ids(feed(web, rows=None, pages=None)) == list(range(25))


def test_a_server_that_is_down_is_named(web: Web) -> None:
    with pytest.raises(SourceError, match=r"readings does not answer\. Start the server, or correct `url`"):
        ids(feed(Web(free_port(), paged), retries=0))


def test_a_next_page_on_another_server_is_not_told_the_key(web: Web) -> None:
    web.answer = lambda asked: sent({"data": {"items": ROWS[:1]}, "meta": {"url": "http://127.0.0.1:1/steal"}})
    with pytest.raises(SourceError, match="names a next page on another server"):
        ids(feed(web, pages={"kind": "next", "next": "meta.url"}))


def test_pages_in_a_circle_end_in_an_error(web: Web) -> None:
    web.answer = lambda asked: sent({"data": {"items": ROWS[:1]}, "meta": {"next": "5"}})
    with pytest.raises(SourceError, match="names a page as the next one that it gave before"):
        ids(feed(web, pages={"kind": "token", "param": "token", "token": "meta.next"}))


CURSOR = {"param": "since", "column": "reading_id"}


def test_a_run_asks_for_what_is_behind_the_cursor(web: Web, tmp_path: Path, home: Home) -> None:
    source = Feeding(tmp_path, declared(web, cursor=CURSOR))
    assert source.ingested()["rows_new_or_changed"] == 25
    assert source.cursor() == "24"
    web.answer = lambda asked: paged(asked, [*ROWS, *(reading(i) for i in range(25, 40))])
    web.asked.clear()
    assert source.ingested()["rows_new_or_changed"] == 15
    assert {asked.query["since"] for asked in web.asked} == {"24"}
    assert source.ids() == list(range(40))


def test_the_sensor_sees_rows_behind_the_cursor_and_no_others(web: Web) -> None:
    found = feed(web, cursor=CURSOR)
    assert found.pending("24") is None
    assert found.pending("23") != found.pending(None)
    assert found.pending("23") == found.pending("23")


def test_pages_in_no_order_leave_the_cursor_until_the_last_one(web: Web) -> None:
    web.answer = lambda asked: paged(asked, ROWS[::-1])
    cursors = [batch.cursor for batch in feed(web, cursor=CURSOR, rows_per_commit=10).batches(None)]
    assert cursors == [None, None, "24"], "only the end of all pages is the end"
    web.answer = paged
    ascending = feed(web, cursor=CURSOR | {"ascending": True}, rows_per_commit=10)
    assert [batch.cursor for batch in ascending.batches(None)] == ["8", "18", "24"]


def test_an_api_that_fails_on_the_second_page_keeps_the_first_and_goes_on_behind_it(
    web: Web, tmp_path: Path, home: Home
) -> None:
    def breaks(asked: Asked) -> Answer:
        return Answer(WHOLE, cut=99) if asked.query["page"] == "2" else paged(asked)

    web.answer = breaks
    given = declared(web, cursor=CURSOR | {"ascending": True}, rows_per_commit=1, retries=0)
    source = Feeding(tmp_path, given)
    assert "broke off in the middle of an answer" in source.refused()
    assert (source.cursor(), source.ids()) == ("8", list(range(10))), "the next page may begin with more rows of 9"
    web.answer = paged
    source.ingested()
    assert source.ids() == list(range(25))


@pytest.mark.slow
def test_a_run_that_is_killed_between_pages_is_resumed(web: Web, tmp_path: Path, home: Home) -> None:
    rows = [reading(i) for i in range(100)]

    def slowly(asked: Asked) -> Answer:
        time.sleep(0.3)
        return paged(asked, rows)

    web.answer = slowly
    source = Feeding(tmp_path, declared(web, cursor=CURSOR | {"ascending": True}, rows_per_commit=1))
    source.ingest_and_kill(lambda: (source.cursor() or "0") >= "29")
    assert source.ids() == list(range(int(source.cursor() or 0) + 2))
    assert len(source.ids()) < 100
    source.ingested()
    assert source.ids() == list(range(100))


def test_days_are_asked_for_by_their_parameters(web: Web) -> None:
    def by_day(asked: Asked) -> Answer:
        first, last = asked.query["from"], asked.query["to"]
        rows = [row for row in ROWS if first <= row["event_time"][:10] <= last]  # the last day, too
        return sent({"data": {"items": rows}}, Date="Fri, 26 Jan 2024 10:00:00 GMT")

    web.answer = by_day
    given = declared(web, days={"start": "from", "end": "to"}, pages=None, start="2024-01-01")
    spec = RestSource.model_validate({"name": "readings", "key": ["reading_id"], **given})
    source = RestReader(spec)
    assert source.available() is not None
    assert source.read(date(2024, 1, 3), date(2024, 1, 6))["reading_id"].to_pylist() == [2, 3, 4]
    included = spec.model_copy(update={"days": spec.days.model_copy(update={"end_is_included": True})})  # type: ignore[union-attr]
    web.asked.clear()
    RestReader(included).read(date(2024, 1, 3), date(2024, 1, 6))
    assert (web.asked[0].query["from"], web.asked[0].query["to"]) == ("2024-01-03", "2024-01-05")
    assert source.fingerprint() == RestReader(spec).fingerprint()
