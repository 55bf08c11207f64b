"""The pages of a JSON API, one after the other."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urljoin

import httpx

from mlplatform.errors import SourceError
from mlplatform.ingest.records import at_path, has_path
from mlplatform.ingest.rest_client import NotThereError, RestAnswer, RestClient
from mlplatform.spec import RestSource
from mlplatform.spec.rest import LinkPages, NextPages, NumberedPages, OffsetPages, TokenPages

__all__ = ["Page", "pages"]


@dataclass(frozen=True)
class Page:
    """The rows of one answer."""

    rows: list[dict[str, Any]]
    at: datetime
    """The server's clock, UTC."""


@dataclass(frozen=True)
class _Request:
    params: dict[str, str]
    url: str | None = None
    number: int = 0
    """Of the page, or of rows to skip."""


def pages(client: RestClient, params: Mapping[str, str]) -> Iterator[Page]:
    """Every page that these parameters ask for.

    Pages of numbers and offsets are asked for until one is empty: a server may give fewer rows than were asked for.

    Raises SourceError when an answer does not hold a list of objects where it should, names a page a second time, or is
    the one before it once more.
    """
    spec = client.spec
    request: _Request | None = _first(spec)
    seen: set[str] = set()
    before: list[dict[str, Any]] = []
    while request is not None:
        if repr(request) in seen:
            raise SourceError(
                f"source `{spec.name}`: {spec.url} names a page as the next one that it gave before; nothing behind it "
                "can be read. Correct `pages`, or the API."
            )
        seen.add(repr(request))
        own = {} if request.url else dict(params)
        try:
            answer = client.ask({**own, **request.params}, request.url)
        except NotThereError:
            if not (before and isinstance(spec.pages, NumberedPages | OffsetPages)):
                raise
            if spec.pages.not_found_ends:
                return
            raise SourceError(
                f"source `{spec.name}`: {spec.url} has no page `{spec.pages.param}`={request.params[spec.pages.param]} "
                "(status 404), after one with rows. Run it again; if that is how it says that there are no more, "
                "declare `pages.not_found_ends: true`."
            ) from None
        rows = _rows(spec, answer)
        if rows and rows == before and isinstance(spec.pages, NumberedPages | OffsetPages):
            raise SourceError(
                f"source `{spec.name}`: {spec.url} gave the same page twice for two values of `{spec.pages.param}`, "
                "which would go on for ever. Correct `pages.param`, or leave `pages` out if one answer holds all rows."
            )
        before = rows
        yield Page(rows, answer.clock)
        request = _next(spec, request, answer, len(rows))


def _first(spec: RestSource) -> _Request:
    how = spec.pages
    if isinstance(how, NumberedPages):
        return _numbered(how, how.first)
    if isinstance(how, OffsetPages):
        return _offset(how, 0)
    return _Request({})


def _next(spec: RestSource, request: _Request, answer: RestAnswer, rows: int) -> _Request | None:
    how = spec.pages
    if isinstance(how, NumberedPages):
        return _numbered(how, request.number + 1) if rows else None
    if isinstance(how, OffsetPages):
        return _offset(how, request.number + rows) if rows else None
    if isinstance(how, TokenPages):
        token = at_path(answer.content, how.token)
        return _Request({how.param: str(token)}) if token not in (None, "", False) else None
    if isinstance(how, NextPages):
        return _address(spec, at_path(answer.content, how.next))
    return _address(spec, answer.next_link) if isinstance(how, LinkPages) else None


def _numbered(how: NumberedPages, number: int) -> _Request:
    size = {how.size_param: str(how.size)} if how.size_param and how.size else {}
    return _Request({how.param: str(number), **size}, number=number)


def _offset(how: OffsetPages, number: int) -> _Request:
    return _Request({how.param: str(number), how.limit_param: str(how.limit)}, number=number)


def _address(spec: RestSource, given: Any) -> _Request | None:
    """The next page's address, on the same server: no other one is told the key."""
    if not given:
        return None
    url, own = httpx.URL(urljoin(spec.url, str(given))), httpx.URL(spec.url)
    if (url.scheme, url.host, url.port) != (own.scheme, own.host, own.port):
        raise SourceError(
            f"source `{spec.name}`: {spec.url} names a next page on another server ({url.scheme}://{url.host}), which "
            "is not asked: it would be told the key. Correct `url`."
        )
    return _Request({}, str(url))


def _rows(spec: RestSource, answer: RestAnswer) -> list[dict[str, Any]]:
    rows = at_path(answer.content, spec.rows)
    if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        return rows
    there = f"it has {', '.join(map(str, answer.content))}" if isinstance(answer.content, dict) else "it is no object"
    if spec.rows and has_path(answer.content, spec.rows):
        there = f"there stands {json.dumps(rows)}"
    where = f"`{spec.rows}`" if spec.rows else "its top"
    raise SourceError(
        f"source `{spec.name}`: the answer of {spec.url} has no list of objects at {where}; {there[:300]}. Say under "
        "`rows` where the list stands."
    )
