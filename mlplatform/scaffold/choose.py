"""From what was seen of a table to a plan: the target, the key, the time, the features, the split."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import duckdb
import pyarrow as pa

from mlplatform.errors import ScaffoldError
from mlplatform.scaffold import suspicions
from mlplatform.scaffold.column import Column, Profile
from mlplatform.scaffold.entity import of_entity, require_entity
from mlplatform.scaffold.features import features_of
from mlplatform.scaffold.learning import Dealt
from mlplatform.scaffold.names import legal_names
from mlplatform.scaffold.open_rows import TABLE
from mlplatform.scaffold.origin import Origin
from mlplatform.scaffold.plan import Note, Plan
from mlplatform.scaffold.split import choose_split
from mlplatform.scaffold.target import choose_target
from mlplatform.scaffold.time_span import time_span
from mlplatform.scaffold.typed import typed_sql
from mlplatform.scaffold.usable import usable_columns
from mlplatform.scaffold.wishes import Wishes, named_columns

__all__ = ["choose"]


def choose(
    con: duckdb.DuckDBPyConnection, profile: Profile, name: str, origin: Origin, wishes: Wishes, as_of: datetime
) -> Plan:
    """The plan of a use case called `name`; `as_of` (UTC, no zone): no row is later.

    Raises ScaffoldError where a column that was named is not there or cannot be what it is to be, where the target has
    nothing to learn, and where no feature is left.
    """
    profile, spellings = _target_as_text(con, profile, wishes)
    named = named_columns(profile, wishes)
    time, entity = named.time, named.entity
    span, strays = time_span(con, time, as_of) if time else (None, [])
    names = legal_names([column.name for column in profile.columns])
    target, notes = choose_target(con, named.target, names[named.target.name], wishes.task)
    key = _key(profile, entity, {named.target.name, time.name if time else "", *named.use})
    group = entity if entity is not None and entity is not key else None
    if group is not None:
        require_entity(group)
    aside = {each.name for each in (named.target, time, key, group) if each is not None}
    dealt_by = next((names[each.name] for each in (group, key) if each is not None), "row_key")
    split, short = choose_split(con, time, span, dealt_by, wishes.label_delay_days)
    dealt = Dealt(split, names, key, group, time, span, wishes.label_delay_days)
    usable = usable_columns(con, [c for c in profile.columns if c.name not in aside], target, named, dealt)
    columns, against = usable.columns, usable.notes
    features = features_of(columns, names, time is not None)
    if not features:
        raise ScaffoldError(f"no column is left to learn `{target.column.name}` from: {_why_none(against, aside)}")
    drift = suspicions.of_target(con, target, time)
    renamed = _renamed(names, aside, columns)
    written = suspicions.of_writing([named.target, *columns])
    return Plan(
        name=name,
        origin=origin,
        profile=profile,
        names=names,
        target=target,
        features=tuple(features),
        split=split,
        key=key,
        time=time,
        span=span,
        entity=group,
        numbering=usable.numbering,
        label_delay_days=wishes.label_delay_days,
        notes=(
            *suspicions.of_table(profile),
            *strays,
            *of_entity(group, split),
            *spellings,
            *notes,
            *written,
            *against,
            *short,
            *drift,
            *renamed,
        ),
    )


def _why_none(against: Sequence[Note], aside: set[str]) -> str:
    if not against:
        beside = ", ".join(f"`{name}`" for name in sorted(aside))
        return f"the table has none beside {beside}. Add columns of what is known before the answer is"
    return f"{'; '.join(f'{note.column}: {note.text}' for note in against[:5])}. Use one anyway with --use"


def _target_as_text(con: duckdb.DuckDBPyConnection, profile: Profile, wishes: Wishes) -> tuple[Profile, list[Note]]:
    """A target of yes and no stays the words that people know, unless they write it in several ways."""
    column = profile.column(wishes.target)
    if column is None or column.kind != "boolean":
        return profile, []
    types = con.execute(f"SELECT * FROM {TABLE} LIMIT 0").to_arrow_table().schema
    if not pa.types.is_string(types.field(column.name).type):
        return profile, []
    as_text = replace(column, kind="string")
    value = typed_sql(as_text)
    counted = con.execute(
        f"SELECT {value} AS v, count(*) AS n FROM {TABLE} WHERE {value} IS NOT NULL GROUP BY v ORDER BY n DESC, v"
    ).fetchall()
    if len(counted) > 2:
        said = ", ".join(repr(v) for v, _ in counted)
        return profile, [Note(column.name, "spellings", f"{said} are read as true or false")]
    as_text = replace(as_text, distinct=len(counted), values=tuple((str(v), int(n)) for v, n in counted))
    return replace(profile, columns=tuple(as_text if each is column else each for each in profile.columns)), []


def _key(profile: Profile, entity: Column | None, aside: set[str]) -> Column | None:
    """The column that identifies a row: the declared one if it does, else the first that names rows."""

    def is_key(column: Column) -> bool:
        whole = column.distinct == profile.rows and column.missing == 0 and column.name not in aside
        return whole and column.kind in ("integer", "string") and column.mean_length <= 64

    if entity is not None:
        return entity if is_key(entity) else None
    return next((each for each in profile.columns if is_key(each) and suspicions.is_row_name(each)), None)


def _renamed(names: dict[str, str], aside: set[str], columns: Sequence[Column]) -> list[Note]:
    used = aside | {column.name for column in columns}
    changed = [f"{name!r} is called {legal}" for name, legal in names.items() if name != legal and name in used]
    if not changed:
        return []
    more = f" and {len(changed) - 8} more (all in defs.yaml)" if len(changed) > 8 else ""
    return [Note(None, "names", f"{', '.join(changed[:8])}{more}")]
