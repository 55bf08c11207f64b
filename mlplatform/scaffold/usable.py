"""Which columns become features, and what speaks against the others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import duckdb

from mlplatform.scaffold import suspicions
from mlplatform.scaffold.association import leaks, promising, single_scores
from mlplatform.scaffold.column import Column
from mlplatform.scaffold.learning import Dealt, mark_learning
from mlplatform.scaffold.plan import Note, Target
from mlplatform.scaffold.wishes import Named

__all__ = ["MOST_FEATURES", "Usable", "usable_columns"]

MOST_FEATURES = 200
"""A table wider than this keeps the columns that tell most of the target by themselves."""


@dataclass(frozen=True)
class Usable:
    """What was found to be of use."""

    columns: list[Column]
    notes: list[Note]
    """All that speaks against a column."""
    numbering: tuple[Column, ...] = ()
    """Where rows are numbered by their content and columns were chosen: those whose content it is."""


def usable_columns(
    con: duckdb.DuckDBPyConnection, columns: Sequence[Column], target: Target, named: Named, dealt: Dealt
) -> Usable:
    """Those of `columns` that become features, and what speaks against a column.

    Where there are too many the rows that learn choose; a leak is told by all rows.
    """
    notes = _against(con, columns, target, named)
    left = _without(columns, notes, named)
    many = len(left)
    numbering = mark_learning(con, dealt, left) if many > MOST_FEATURES else ()
    if many > 5 * MOST_FEATURES:
        likely = {each.name for each in promising(con, left, target, 2 * MOST_FEATURES)} | named.use
        left = [each for each in left if each.name in likely]
    noted = {note.column for note in notes if note.left_out}
    notes += [note for note in leaks(single_scores(con, left, target), target) if note.column not in noted]
    left = _without(left, notes, named)
    if len(left) > MOST_FEATURES:
        scores = single_scores(con, left, target, of_learning=True)
        best = sorted(left, key=lambda each: -scores[each.name])[:MOST_FEATURES]
        kept = {each.name for each in best} | named.use
        cut = many - len(kept)
        text = f"{many:,} columns could be features: the {len(kept)} that tell most by themselves are; {cut:,} are not"
        notes.append(Note(None, "wide", f"{text}. Only rows that learn were asked"))
        left = [each for each in left if each.name in kept]
    return Usable(left, [_used(note) if note.column in named.use else note for note in notes], numbering)


def _against(con: duckdb.DuckDBPyConnection, columns: Sequence[Column], target: Target, named: Named) -> list[Note]:
    """What is known before any column is tried on the target."""
    rest = [each for each in columns if each.name not in named.leave_out]
    notes = [Note(name, "said", "left out as you said", left_out=True) for name in sorted(named.leave_out)]
    notes += [note for each in rest if (note := suspicions.of_column(each))]
    notes += suspicions.of_times(con, named.time, rest)
    notes += suspicions.missing_together(con, target.column, rest)
    return notes


def _without(columns: Sequence[Column], notes: Sequence[Note], named: Named) -> list[Column]:
    out = {note.column for note in notes if note.left_out} - named.use
    return [each for each in columns if each.name not in out]


def _used(note: Note) -> Note:
    return replace(note, left_out=False, text=f"{note.text}; used as you said")
