"""A JSON API as a source: what is asked, how it is paged, who asks. Secrets stand in environment variables."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from mlplatform.spec._base import Declared
from mlplatform.spec.any_source import AnySource
from mlplatform.spec.by_kind import ByKind
from mlplatform.spec.variable import variable

__all__ = [
    "Basic",
    "Bearer",
    "Key",
    "LinkPages",
    "NextPages",
    "NumberedPages",
    "OffsetPages",
    "RestCursor",
    "RestDays",
    "RestSource",
    "TokenPages",
]

Variable = Annotated[str, AfterValidator(variable)]


class Bearer(Declared):
    """`Authorization: Bearer ...`."""

    kind: Literal["bearer"]
    """A token."""
    token_variable: Variable
    """The environment variable that holds it."""


class Basic(Declared):
    """`Authorization: Basic ...`."""

    kind: Literal["basic"]
    """A user and a password."""
    user_variable: Variable
    """The environment variable that holds the user."""
    password_variable: Variable
    """The one that holds the password."""


class Key(Declared):
    """A key in a header or in the address."""

    kind: Literal["key"]
    """A key."""
    key_variable: Variable
    """The environment variable that holds it."""
    header: str | None = "X-API-Key"
    """The header that carries it; `null`, with `param`, for none."""
    param: str | None = None
    """The parameter of the address that carries it, where the API knows no header."""

    @model_validator(mode="after")
    def _is_carried(self) -> "Key":
        if not self.header and not self.param:
            raise ValueError("a key is carried by a `header` or a `param`; name one of them")
        return self


class NumberedPages(Declared):
    """`?page=1`, `?page=2` ... up to a page that is empty."""

    kind: Literal["number"]
    """Pages have numbers."""
    param: str = "page"
    """The parameter that holds the number."""
    first: NonNegativeInt = 1
    """The number of the first page."""
    size: PositiveInt | None = None
    """How many rows are asked for; a server may give fewer."""
    size_param: str | None = None
    """The parameter that holds the size, if the API takes one."""
    not_found_ends: bool = False
    """Whether status 404 behind the first page means that there is no further one (Django's REST framework says so);
    else it is an error: a page that is missed once would never be read."""


class OffsetPages(Declared):
    """`?offset=0&limit=100`, `?offset=100&limit=100` ... up to a page that is empty."""

    kind: Literal["offset"]
    """A page begins at a number of rows."""
    param: str = "offset"
    """The parameter that holds how many rows to skip."""
    limit_param: str = "limit"
    """The parameter that holds how many to give."""
    limit: PositiveInt = 100
    """How many rows are asked for; a server may give fewer."""
    not_found_ends: bool = False
    """Whether status 404 behind the first page means that there is no further one; else it is an error."""


class TokenPages(Declared):
    """The answer holds a token, which a parameter takes; up to an answer without one."""

    kind: Literal["token"]
    """An answer names the next page."""
    param: str
    """The parameter that takes the token."""
    token: str
    """Where the token stands in the answer: names joined by dots, such as `meta.next_cursor`."""


class NextPages(Declared):
    """The answer holds the address of the next page; up to an answer without one."""

    kind: Literal["next"]
    """An answer holds an address."""
    next: str
    """Where it stands in the answer: names joined by dots, such as `links.next`."""


class LinkPages(Declared):
    """The header `Link` holds the address of the next page (`rel="next"`), as GitHub's API does."""

    kind: Literal["link"]
    """A header holds an address."""


class RestCursor(Declared):
    """A value that grows with every new or changed row, and a parameter that asks for what is behind it."""

    param: str
    """The parameter, such as `since` or `updated_after`."""
    column: str
    """The value's name in a row of the answer: a number, or a text that sorts, such as an ISO time."""
    ascending: bool = False
    """Whether the API gives rows in its order. Then a run that breaks off goes on behind what was stored; else it
    begins again behind the last run that was whole."""


class RestDays(Declared):
    """Parameters that ask for rows by the time at which they happened: the source then has partitions."""

    start: str
    """The parameter that holds the first day or moment."""
    end: str
    """The parameter that holds the end."""
    end_is_included: bool = False
    """Whether rows of the end are given, too; then it is the last day, else the day behind it."""
    format: str = "%Y-%m-%d"
    """How a day is written, as Python's `strftime` says."""


Auth = Annotated[Bearer | Basic | Key, Field(discriminator="kind"), ByKind()]
Pages = Annotated[
    NumberedPages | OffsetPages | TokenPages | NextPages | LinkPages, Field(discriminator="kind"), ByKind()
]


class RestSource(AnySource):
    """Rows of a JSON API: one list of objects, or pages of it."""

    absent_is_missing: ClassVar[bool] = True

    kind: Literal["rest"]
    """Rows come from an HTTP API."""
    url: Annotated[str, Field(pattern=r"^https?://[^@/?#]+(/[^?#]*)?$")]
    """The address that is asked with GET, without parameters; who asks stands in `auth`."""
    params: dict[str, str] = {}
    """Parameters of every request."""
    headers: dict[str, str] = {}
    """Headers of every request; none that is secret."""
    auth: Auth | None = None
    """Who asks; left out, nobody in particular."""
    rows: str | None = None
    """Where the list of rows stands in the answer: names joined by dots, such as `data.items`; left out, the answer is
    the list."""
    pages: Pages | None = None
    """How the rest of the rows is asked for; left out, one answer holds them all."""
    cursor: RestCursor | None = None
    """Read on from the newest value, instead of everything."""
    days: RestDays | None = None
    """Read by days. Left out, and without a cursor, every run reads all rows."""
    columns: dict[str, str] = {}
    """Rename: name in the contract -> name in the answer, with dots for what is nested. Columns not named keep their
    name."""
    requests_per_second: PositiveFloat | None = None
    """No more than so many; left out, as fast as the API answers. An answer `429` is waited out in any case."""
    retries: NonNegativeInt = 5
    """How often a request that failed is sent again (connection lost, half an answer, status 408, 429 or 5xx), after
    0.5, 1, 2 ... seconds or as long as `Retry-After` says; one of more than 120 seconds ends the run instead."""
    timeout_seconds: Annotated[PositiveFloat, Field(le=3600)] = 30
    """How long a server may be silent."""
    rows_per_commit: PositiveInt = 50_000
    """Pages are stored together until there are so many rows."""

    @classmethod
    def reads_on(cls, given: Mapping[str, Any]) -> bool:
        """Without days a run reads what is behind the cursor, or all."""
        return not given.get("days")

    @model_validator(mode="after")
    def _days_or_cursor(self) -> "RestSource":
        if self.days is not None and self.cursor is not None:
            raise ValueError(f"source `{self.name}` reads by `days` or on from a `cursor`, not both")
        if self.days is not None and self.partition == "none":
            raise ValueError(f"source `{self.name}` has `days`, so it has partitions: leave out `partition: none`")
        return self
