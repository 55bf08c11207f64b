"""What was decided: everything that the written folder says, and what it leaves out."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from mlplatform.scaffold.column import Column, Profile
from mlplatform.scaffold.origin import Origin

__all__ = ["Feature", "Note", "Plan", "Split", "Target", "TaskKind", "TimeSpan"]

TaskKind = Literal["binary", "multiclass", "regression"]


@dataclass(frozen=True)
class Note:
    """Something that a person should know of a column, or of the table (column None)."""

    column: str | None
    kind: str
    """identifier, text, constant, empty, leak, date, code, imbalance, drift, duplicates, rare class, ..."""
    text: str
    left_out: bool = False
    """Whether the column is no feature because of it."""


@dataclass(frozen=True)
class Target:
    """What is learned."""

    column: Column
    name: str
    """Legal name."""
    task: TaskKind
    guessed: bool
    """Whether nobody said which task it is."""
    classes: tuple[str, ...] = ()
    """Of a binary task the negative and the positive; of classes all, in the order of their codes."""
    labelled: int = 0
    """Rows whose label is known and one of the classes."""
    naive: float = 0.0
    """What the naive baseline reaches: share of positives, or of the largest class; of an amount the mean absolute
    error of the median."""


@dataclass(frozen=True)
class Feature:
    """One column that models see."""

    name: str
    """Legal name, in the features' table."""
    source: str
    """Legal name of the column that it is made from."""
    sql: str
    """How, from the columns of the spine."""
    kind: Literal["number", "whole", "flag", "category"]
    column: Column
    description: str
    bounds: tuple[int, int] | None = None
    """Of a part of a time: the least and the largest that there is, such as 1 and 12."""
    is_part: bool = False
    """Whether it is a part of a time, such as the month."""


@dataclass(frozen=True)
class Split:
    """How rows are dealt."""

    kind: Literal["time", "group"]
    key: str | None = None
    train_days: int = 0
    tune_days: int = 0
    test_days: int = 0
    tune_share: float = 0.2
    test_share: float = 0.2


@dataclass(frozen=True)
class TimeSpan:
    """Where in time the rows lie, and which few lie elsewhere. All UTC, no zone."""

    first: datetime
    last: datetime
    strays: int = 0
    """Rows before, behind, or in a time that no row can have."""
    not_before: datetime | None = None
    """Rows before are strays; None where there are none."""
    never: tuple[datetime, ...] = ()
    """Moments behind `last`, and not yet to come, that are strays."""


@dataclass(frozen=True)
class Plan:
    """A use case, before it is written."""

    name: str
    origin: Origin
    profile: Profile
    names: dict[str, str]
    """Name in the source -> legal name, of every column that is read."""
    target: Target
    features: tuple[Feature, ...]
    split: Split
    key: Column | None
    """The column that identifies a row; None: rows are numbered by their content."""
    time: Column | None
    span: TimeSpan | None
    """Of the time, where there is one."""
    entity: Column | None
    """The column whose rows belong together and that is no key."""
    numbering: tuple[Column, ...] = ()
    """Columns that alone number the rows by their content, where not all that are read do."""
    label_delay_days: int = 0
    notes: tuple[Note, ...] = field(default=())

    @property
    def key_name(self) -> str:
        """Name of the key in the lake."""
        return self.names[self.key.name] if self.key is not None else "row_key"

    @property
    def raw_columns(self) -> list[Column]:
        """Columns of the source that the contract speaks of, in the source's order."""
        used = {feature.source for feature in self.features} | {self.target.name}
        used |= {self.names[each.name] for each in (self.key, self.time, self.entity) if each is not None}
        used |= {self.names[each.name] for each in self.numbering}
        return [column for column in self.profile.columns if self.names.get(column.name) in used]
