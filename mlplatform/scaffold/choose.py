"""From what was seen of a table to a plan: the target, the key, the time, the features, the split."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from mlplatform.errors import ScaffoldError
from mlplatform.scaffold import suspicions
from mlplatform.scaffold.association import leaks, promising, single_scores
from mlplatform.scaffold.column import Column, Profile
from mlplatform.scaffold.features import features_of
from mlplatform.scaffold.look import typed_sql
from mlplatform.scaffold.names import legal_names
from mlplatform.scaffold.open_rows import TABLE
from mlplatform.scaffold.origin import Origin
from mlplatform.scaffold.plan import Note, Plan, Split, Target, TaskKind
from mlplatform.scaffold.target import choose_target

__all__ = ["MOST_FEATURES", "Wishes", "choose"]

MOST_FEATURES = 200
"""A table wider than this keeps the columns that tell most of the target by themselves."""
_LEAST_DAYS = 5


class Wishes(BaseModel):
    """What a person said beside the data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    time: str | None = None
    entity: str | None = None
    task: TaskKind | None = None
    use: tuple[str, ...] = ()
    """Columns that are features whatever speaks against them."""
    leave_out: tuple[str, ...] = ()
    """Columns that are none."""
    label_delay_days: int = 0


def choose(con: duckdb.DuckDBPyConnection, profile: Profile, name: str, origin: Origin, wishes: Wishes) -> Plan:
    """The plan of a use case called `name`.

    Raises ScaffoldError where a column that was named is not there or cannot be what it is to be, where the target has
    nothing to learn, and where no feature is left.
    """
    profile = _target_as_text(con, profile, wishes)
    target_column = _named(profile, wishes.target, "--target")
    time = _time(_named(profile, wishes.time, "--time"), wishes) if wishes.time else None
    entity = _named(profile, wishes.entity, "--entity") if wishes.entity else None
    names = legal_names([column.name for column in profile.columns])
    target, notes = choose_target(con, target_column, names[target_column.name], wishes.task)
    key = _key(profile, entity, {target_column.name, time.name if time else ""})
    group = entity if entity is not None and entity is not key else None
    aside = {each.name for each in (target_column, time, key, group) if each is not None}
    columns, more = _usable(con, profile, target, [c for c in profile.columns if c.name not in aside], time, wishes)
    features = features_of(columns, names, time is not None)
    if not features:
        raise ScaffoldError(
            f"no column is left to learn `{target.column.name}` from: "
            f"{'; '.join(f'{note.column}: {note.text}' for note in more[:5])}. Use one anyway with --use"
        )
    split, told = _split(con, time, group, names, "row_key" if key is None else names[key.name])
    drift = _target_drift(con, target, time)
    all_notes = (*suspicions.of_table(profile), *notes, *more, *told, *drift, *_renamed(names, aside, columns))
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
        entity=group,
        label_delay_days=wishes.label_delay_days,
        notes=all_notes,
    )


def _named(profile: Profile, name: str | None, option: str) -> Column:
    from difflib import get_close_matches

    assert name is not None, f"{option} was not said"
    if (found := profile.column(name)) is not None:
        return found
    there = [column.name for column in profile.columns]
    close = get_close_matches(name, there, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    if len(there) == 1:
        hint = " It is one column: is its delimiter something else than a comma, a semicolon, a tab or a bar?"
    raise ScaffoldError(
        f"{option} {name}: the table has no such column.{hint} It has {', '.join(there[:20])}"
        f"{f' and {len(there) - 20} more' if len(there) > 20 else ''}"
    )


def _target_as_text(con: duckdb.DuckDBPyConnection, profile: Profile, wishes: Wishes) -> Profile:
    """A target of yes and no stays the words that people know."""
    column = profile.column(wishes.target)
    if column is None or column.kind != "boolean":
        return profile
    types = con.execute(f"SELECT * FROM {TABLE} LIMIT 0").to_arrow_table().schema
    if not pa.types.is_string(types.field(column.name).type):
        return profile
    as_text = replace(column, kind="string")
    value = typed_sql(as_text)
    counted = con.execute(
        f"SELECT {value} AS v, count(*) AS n FROM {TABLE} WHERE {value} IS NOT NULL GROUP BY v ORDER BY n DESC, v"
    ).fetchall()
    as_text = replace(as_text, distinct=len(counted), values=tuple((str(v), int(n)) for v, n in counted))
    return replace(profile, columns=tuple(as_text if each is column else each for each in profile.columns))


def _time(column: Column, wishes: Wishes) -> Column:
    if column.kind != "timestamp":
        seen = column.values[0][0] if column.values else column.first or column.minimum
        how = column.looks_like or f"e.g. {seen!r}"
        raise ScaffoldError(
            f"--time {wishes.time}: its values are no times that can be read ({how}). Write them as YYYY-MM-DD "
            "hh:mm:ss (UTC, or with an offset), or leave --time out: rows are then dealt to the parts at random"
        )
    if column.missing_share > 0.005:
        raise ScaffoldError(
            f"--time {wishes.time}: {column.missing:,} of {column.rows:,} rows have no readable time; give them one, "
            "or take those rows out"
        )
    if {"infinity", "-infinity"} & {column.first, column.last}:
        raise ScaffoldError(
            f"--time {wishes.time}: some rows have an infinite time, which is no moment; give them one, take those "
            "rows out, or choose another column"
        )
    latest = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=1)
    if column.last is not None and datetime.fromisoformat(column.last) > latest:
        raise ScaffoldError(
            f"--time {wishes.time}: its latest value is {column.last}, which is yet to come; a row's time says when it "
            "was known. Choose another column, or correct those rows"
        )
    return column


def _key(profile: Profile, entity: Column | None, aside: set[str]) -> Column | None:
    """The column that identifies a row: the declared one if it does, else the first that names rows."""

    def is_key(column: Column) -> bool:
        whole = column.distinct == profile.rows and column.missing == 0 and column.name not in aside
        return whole and column.kind in ("integer", "string") and column.mean_length <= 64

    if entity is not None:
        return entity if is_key(entity) else None
    return next((each for each in profile.columns if is_key(each) and suspicions.is_identifier(each)), None)


def _usable(
    con: duckdb.DuckDBPyConnection,
    profile: Profile,
    target: Target,
    columns: Sequence[Column],
    time: Column | None,
    wishes: Wishes,
) -> tuple[list[Column], list[Note]]:
    """The columns that become features, and what speaks against the others."""
    wanted = {_named(profile, name, "--use").name for name in wishes.use}
    unwanted = {_named(profile, name, "--leave-out").name for name in wishes.leave_out}
    notes = [Note(name, "said", "left out as you said", left_out=True) for name in unwanted]
    notes += [note for each in columns if (note := suspicions.of_column(each)) and each.name not in unwanted]
    notes += suspicions.of_times(con, time, [each for each in columns if each.name not in unwanted])
    notes += suspicions.missing_together(con, target.column, [each for each in columns if each.name not in unwanted])
    out = {note.column for note in notes if note.left_out} - wanted
    left = [each for each in columns if each.name not in out]
    many = len(left)
    if many > 5 * MOST_FEATURES:
        likely = {each.name for each in promising(con, left, target, 2 * MOST_FEATURES)} | wanted
        left = [each for each in left if each.name in likely]
    scores = single_scores(con, left, target)
    notes += [note for note in leaks(scores, target) if note.column not in out]
    out = {note.column for note in notes if note.left_out} - wanted
    left = [each for each in left if each.name not in out]
    if len(left) > MOST_FEATURES:
        best = sorted(left, key=lambda each: -scores[each.name])[:MOST_FEATURES]
        kept = {each.name for each in best} | wanted
        cut = many - len(kept)
        text = f"{many:,} columns could be features: the {len(kept)} that tell most by themselves are"
        notes.append(Note(None, "wide", f"{text}; {cut:,} are not"))
        left = [each for each in left if each.name in kept]
    return left, [
        replace(note, left_out=False, text=f"{note.text}; used as you said") if note.column in wanted else note
        for note in notes
    ]


def _split(
    con: duckdb.DuckDBPyConnection,
    time: Column | None,
    group: Column | None,
    names: dict[str, str],
    key: str,
) -> tuple[Split, list[Note]]:
    if time is None:
        by = names[group.name] if group is not None else key
        return Split("group", key=by), []
    value = typed_sql(time)
    row = con.execute(
        f"SELECT min(t), max(t), quantile_disc(t, 0.6), quantile_disc(t, 0.8) FROM (SELECT {value} AS t FROM {TABLE}) "
        "WHERE t IS NOT NULL"
    ).fetchone()
    assert row is not None, "an aggregate has one row"
    first, last, tune_from, test_from = row
    # As the platform counts: back from the midnight behind the newest event.
    end = datetime.combine(last.date(), datetime.min.time()) + timedelta(days=1)
    test = max(1, round((end - test_from) / timedelta(days=1)))
    tune = max(1, round((end - tune_from) / timedelta(days=1)) - test)
    train = math.ceil((end - first) / timedelta(days=1)) - test - tune
    if train < 1 or (end - first).days < _LEAST_DAYS:
        text = f"all rows lie between {first} and {last}: too few days to cut by, so rows are dealt at random"
        return Split("group", key=key), [Note(time.name, "short", text)]
    return Split("time", train_days=train, tune_days=tune, test_days=test), []


def _target_drift(con: duckdb.DuckDBPyConnection, target: Target, time: Column | None) -> list[Note]:
    """Whether the last fifth has another mean label than the first, beyond chance (z of two means above 5)."""
    if time is None or target.task == "multiclass":
        return []
    moment = typed_sql(time)
    value = typed_sql(target.column)
    if target.task == "binary":
        positive = target.classes[1].replace("'", "''")
        value = f"CAST(CAST({value} AS VARCHAR) = '{positive}' AS INTEGER)"
    rows = con.execute(
        f"SELECT fifth, avg(y), var_samp(y) / count(y), count(y) "
        f"FROM (SELECT ntile(5) OVER (ORDER BY {moment}) AS fifth, {value} AS y FROM {TABLE} "
        f"WHERE {value} IS NOT NULL) GROUP BY fifth ORDER BY fifth"
    ).fetchall()
    if len(rows) < 5 or rows[0][2] is None or rows[-1][2] is None:
        return []
    first, last, spread = rows[0][1], rows[-1][1], math.sqrt(rows[0][2] + rows[-1][2])
    if not spread or abs(last - first) / spread < 5 or abs(last - first) < 0.1 * max(abs(first), abs(last)):
        return []
    what = "share of positives" if target.task == "binary" else "mean"
    text = f"its {what} goes from {first:.4g} in the first fifth of the rows to {last:.4g} in the last"
    return [Note(target.column.name, "target drift", text)]


def _renamed(names: dict[str, str], aside: set[str], columns: Sequence[Column]) -> list[Note]:
    used = aside | {column.name for column in columns}
    changed = [f"{name!r} is called {legal}" for name, legal in names.items() if name != legal and name in used]
    if not changed:
        return []
    more = f" and {len(changed) - 8} more (all in defs.yaml)" if len(changed) > 8 else ""
    return [Note(None, "names", f"{', '.join(changed[:8])}{more}")]
