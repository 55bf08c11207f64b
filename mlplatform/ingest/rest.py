"""Rows of a JSON API: on from a cursor, all of them, or by days."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from mlplatform.contracts.casting import quote, timestamp_sql
from mlplatform.contracts.scratch import scratch
from mlplatform.errors import SourceError, SpecError
from mlplatform.ingest.batch import Batch, Batches, ahead_of_the_clock
from mlplatform.ingest.clock import Clock, utc_now
from mlplatform.ingest.columns import given_names
from mlplatform.ingest.records import at_path, has_path, records_table
from mlplatform.ingest.rest_client import RestClient
from mlplatform.ingest.rest_pages import Page, pages
from mlplatform.spec import RestSource

__all__ = ["RestFeed", "RestReader"]

# Local times run up to 14 hours ahead of UTC, in which the server's clock is known.
_CLOCK_SLACK = timedelta(days=1)


class _Rest:
    def __init__(self, spec: RestSource, now: Clock = utc_now) -> None:
        self.spec, self._now = spec, now

    def _require_key(self, rows: list[dict[str, Any]]) -> None:
        """Raises SourceError when no row has the key or the time. Of other columns a whole batch may have no value."""
        given = given_names(self.spec)
        for name in (*self.spec.key, *([self.spec.time_column] if self.spec.time_column else [])):
            own = given[name]
            if rows and not any(has_path(row, own) for row in rows):
                raise SourceError(
                    f"source `{self.spec.name}`: no row of {self.spec.url} has `{own}`; the first has "
                    f"{', '.join(rows[0])}. Say what it is called there under `columns:`: `{name}: <name in a row>`."
                )

    def _table(self, rows: list[dict[str, Any]]) -> pa.Table:
        return records_table(rows, given_names(self.spec))

    def _first_page(self, params: Mapping[str, str]) -> Page:
        with RestClient(self.spec, self._now) as client:
            return next(pages(client, params))


class RestFeed(_Rest):
    """What is behind the cursor; all rows in every run where none is declared."""

    def batches(self, after: str | None) -> Batches:
        """Pages together, up to about `rows_per_commit` rows."""
        cursor, newest = self.spec.cursor, after
        with RestClient(self.spec, self._now) as client:
            for group, last in _together(pages(client, self._since(after)), self.spec.rows_per_commit):
                latest = (group[-1].at + _CLOCK_SLACK).replace(microsecond=0) if group else None
                found = [row for page in group for row in page.rows]
                self._require_key(found)
                rows, left_out = self._in_order(found, latest)
                table = self._table(rows)
                before, newest = newest, self._newest(rows, newest)
                # Rows in no order: what is stored now says nothing of what is still to come.
                done = newest if cursor and last else None
                if cursor and cursor.ascending and not last:
                    done = self._complete(rows, before, newest)
                if rows or left_out or (done is not None and done != after):
                    yield Batch(
                        f"{len(rows)} rows to {newest}" if cursor else f"{len(rows)} rows",
                        table,
                        cursor=done,
                        latest=latest,
                        left_out=left_out,
                    )

    def pending(self, after: str | None) -> str | None:
        """Names the rows of the first page that are behind the cursor."""
        cursor, page = self.spec.cursor, self._first_page(self._since(after))
        rows, _ = self._in_order(page.rows, page.at + _CLOCK_SLACK)
        if cursor and after is not None:
            # `since` may mean `at or since`.
            rows = [row for row in rows if self._newest([row], after) != after]
        return _hash([after, rows]) if rows else None

    def between(self, start: date, end: date) -> Batches:
        """An API without `days` is not told days."""
        raise SpecError(
            f"source `{self.spec.name}` cannot be asked for the days {start}..{end}: declare `days`, the parameters "
            "that ask for them, instead of a cursor"
        )

    def _since(self, after: str | None) -> dict[str, str]:
        return {self.spec.cursor.param: after} if self.spec.cursor and after is not None else {}

    def _complete(self, rows: list[dict[str, Any]], before: str | None, newest: str | None) -> str | None:
        """The newest value below the last one, of which the next page may hold more rows; None if there is none."""
        values = {self._newest([row], None) for row in rows} | {before}
        return max((value for value in values - {newest} if value is not None), key=_order, default=None)

    def _in_order(self, rows: list[dict[str, Any]], latest: datetime | None) -> tuple[list[dict[str, Any]], str | None]:
        """The rows without those that lie ahead of the server's clock, behind which no other row would ever come; and
        what is to be said of these."""
        newest = self._newest(rows, None)
        if newest is None or latest is None or self.spec.cursor is None or not _is_later(newest, latest):
            return rows, None
        column = self.spec.cursor.column
        kept = [row for row in rows if not _is_later(str(at_path(row, column)), latest)]
        return kept, ahead_of_the_clock(len(rows) - len(kept), column, newest)

    def _newest(self, rows: list[dict[str, Any]], so_far: str | None) -> str | None:
        if self.spec.cursor is None:
            return None
        column = self.spec.cursor.column
        values = [str(value) for row in rows if (value := at_path(row, column)) is not None]
        if rows and len(values) < len(rows):
            raise SourceError(
                f"source `{self.spec.name}`: a row of {self.spec.url} has no `{column}`, which `cursor` reads on from. "
                "Correct `cursor.column`, or leave `cursor` out to read all rows in every run."
            )
        return max([*values, *([so_far] if so_far is not None else [])], key=_order, default=None)


class RestReader(_Rest):
    """Rows by the days that the API is asked for."""

    def available(self) -> tuple[date, date] | None:
        """From the declared first day to the server's present one: what there is in between only reading tells."""
        assert self.spec.start is not None, "a source with partitions has a start"
        today = self._first_page(self._asked(date.fromisoformat(self.spec.start), None)).at.date()
        return date.fromisoformat(self.spec.start), today + timedelta(days=1)

    def read(self, start: date, end: date) -> pa.Table:
        """Rows of the days in [start, end); one without a readable time comes along, for the contract to refuse it."""
        with RestClient(self.spec, self._now) as client:
            rows = [row for page in pages(client, self._asked(start, end)) for row in page.rows]
        self._require_key(rows)
        table = self._table(rows)
        return self._within(table, start, end) if len(table) else table

    def fingerprint(self) -> str:
        """Hash of the first page of the present day and the one before it."""
        day = self._first_page(self._asked(date.fromisoformat(str(self.spec.start)), None)).at.date()
        newest = self._first_page(self._asked(day - timedelta(days=1), day + timedelta(days=1)))
        return _hash([str(day), newest.rows])

    def _asked(self, start: date, end: date | None) -> dict[str, str]:
        days = self.spec.days
        assert days is not None, "a source without days is read by RestFeed"
        behind = end or start + timedelta(days=1)
        told = behind - timedelta(days=1) if days.end_is_included else behind
        return {days.start: start.strftime(days.format), days.end: told.strftime(days.format)}

    def _within(self, table: pa.Table, start: date, end: date) -> pa.Table:
        """An API may give the rows of the end, too: they come with their own day."""
        clock = str(self.spec.time_column)
        moment = timestamp_sql(quote(clock), table.schema.field(clock).type)
        bounds = {"start": datetime.combine(start, time()), "end": datetime.combine(end, time())}
        with scratch() as con:
            con.register("incoming", table)
            query = f"FROM incoming WHERE coalesce({moment} >= $start AND {moment} < $end, true)"
            return con.execute(query, bounds).to_arrow_table()


def _together(found: Iterator[Page], rows: int) -> Iterator[tuple[list[Page], bool]]:
    """Pages in groups, and whether it is the last one, which may be empty.

    A group that is full is given before the next page is asked for: that one may fail.
    """
    group: list[Page] = []
    for page in found:
        group.append(page)
        if sum(len(one.rows) for one in group) >= rows:
            yield group, False
            group = []
    yield group, True


def _order(value: str) -> tuple[int, Decimal, str]:
    """Numbers by value, texts as they sort."""
    return (0, Decimal(value), "") if re.fullmatch(r"-?\d+(\.\d+)?", value) else (1, Decimal(0), value)


def _is_later(value: str, moment: datetime) -> bool:
    """Whether a text is a time behind a moment (UTC, no zone); a number is none."""
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return False
    return not value.isdigit() and (at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at) > moment


def _hash(rows: Any) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:16]
