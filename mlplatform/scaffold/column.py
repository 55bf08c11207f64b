"""What was seen of one column."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Column", "Kind", "Profile"]

Kind = Literal["integer", "float", "boolean", "timestamp", "string", "empty"]


@dataclass(frozen=True)
class Column:
    """A column as it came, and what its values are when the texts that mean "missing" are left out."""

    name: str
    kind: Kind
    rows: int
    missing: int
    distinct: int
    """About (HyperLogLog, some per cent off) from 1,000 on; exact below."""
    markers: tuple[str, ...] = ()
    """Texts that mean "missing" here."""
    minimum: float | None = None
    maximum: float | None = None
    first: str | None = None
    """Of a time: the earliest, ISO."""
    last: str | None = None
    mean_length: float = 0.0
    """Characters of a text."""
    mean_words: float = 0.0
    values: tuple[tuple[str, int], ...] = ()
    """Each value and its rows, the most frequent first; only of columns with few."""
    decimal_comma: bool = False
    """Of a number: written as 1.234,5."""
    texts: tuple[str, ...] = ()
    """Of a number: the texts among `markers` that nobody would know to mean "missing" but for where they stand."""
    unit: str | None = None
    """Of a number that is a duration: what it counts, such as nanoseconds."""
    looks_like: str | None = None
    """What a text seems to be that cannot be read as such, such as a date written in another way."""

    @property
    def known(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def missing_share(self) -> float:
        """Share of rows without a value."""
        return self.missing / self.rows if self.rows else 1.0

    @property
    def is_number(self) -> bool:
        """An amount, as far as its values tell."""
        return self.kind in ("integer", "float")


@dataclass(frozen=True)
class Profile:
    """What was seen of a table."""

    columns: tuple[Column, ...]
    rows: int
    duplicates: int
    """Rows that say just what an earlier one says."""

    def column(self, name: str) -> Column | None:
        """The column of that name; upper and lower case are one, as in SQL."""
        exact = next((column for column in self.columns if column.name == name), None)
        return exact or next((column for column in self.columns if column.name.lower() == name.lower()), None)
