"""What `mlplatform new` tells a person: what it found, what is suspicious, what it left out, what to do next."""

from collections.abc import Iterator
from pathlib import Path

from mlplatform.scaffold.plan import Note, Plan

__all__ = ["report"]

_MOST = 12


def report(plan: Plan, folder: Path | None) -> str:
    """Lines for a terminal; `folder`: what was written, None where nothing was."""
    return "\n".join([*_found(plan), *_noted(plan), *_next(plan, folder)])


def _found(plan: Plan) -> Iterator[str]:
    profile = plan.profile
    yield f"{plan.name}: {profile.rows:,} rows, {len(profile.columns):,} columns"
    yield f"  target    {_target(plan)}"
    yield f"  naive     {_naive(plan)}"
    yield f"  row key   {_key(plan)}"
    yield f"  time      {_time(plan)}"
    yield f"  split     {_split(plan)}"
    yield f"  features  {_features(plan)}"


def _target(plan: Plan) -> str:
    target = plan.target
    how = "guessed: say --task if it is another" if target.guessed else "as you said"
    if target.task == "regression":
        return f"{target.column.name}: an amount, {target.column.minimum:g} to {target.column.maximum:g} ({how})"
    if target.task == "binary":
        negative, positive = target.classes
        return (
            f"{target.column.name}: yes or no; positive is {positive!r} ({target.naive:.1%}), not {negative!r} ({how})"
        )
    classes = ", ".join(target.classes[:6]) + (", ..." if len(target.classes) > 6 else "")
    return f"{target.column.name}: {len(target.classes)} classes, {classes} ({how})"


def _naive(plan: Plan) -> str:
    target = plan.target
    if target.task == "regression":
        return f"the median is off by {target.naive:.4g} on average; a model must be closer to serve"
    share = max(target.naive, 1 - target.naive) if target.task == "binary" else target.naive
    return f"always the most frequent class is right in {share:.1%}; a model must know more to serve"


def _key(plan: Plan) -> str:
    if plan.key is not None:
        return f"{plan.key.name}: every row has one of its own"
    return "none found: rows are numbered by their content (row_key)"


def _time(plan: Plan) -> str:
    if plan.time is None:
        return "none: windows of monitoring go by when a row was first read or served; --time names a column"
    assert plan.span is not None, "a time has a span"
    return f"{plan.time.name}: {plan.span.first} to {plan.span.last}"


def _split(plan: Plan) -> str:
    split = plan.split
    if split.kind == "time":
        learn = f"learns from {split.train_days} days, tunes on {split.tune_days}"
        return f"by time: {learn}, is judged on the last {split.test_days}"
    learn = f"{1 - split.tune_share - split.test_share:.0%} learn"
    rest = f"{split.tune_share:.0%} tune, {split.test_share:.0%} judge"
    return f"at random by {split.key}, the same each time: {learn}, {rest}"


def _features(plan: Plan) -> str:
    kinds = {"number": 0, "whole": 0, "flag": 0, "category": 0}
    for feature in plan.features:
        kinds[feature.kind] += 1
    numbers = kinds["number"] + kinds["whole"] + kinds["flag"]
    return f"{len(plan.features)}: {numbers} numbers, {kinds['category']} categories"


def _noted(plan: Plan) -> Iterator[str]:
    out = [note for note in plan.notes if note.left_out]
    other = [note for note in plan.notes if not note.left_out]
    if other:
        yield "look at this"
        yield from _lines(other)
    if out:
        yield "not used (--use COLUMN uses one anyway)"
        yield from _lines(out)


def _lines(notes: list[Note]) -> Iterator[str]:
    for note in notes[:_MOST]:
        what = f"{note.column}: " if note.column else ""
        yield f"  {note.kind:<12} {what}{note.text}"
    if len(notes) > _MOST:
        yield f"  and {len(notes) - _MOST} more"


def _next(plan: Plan, folder: Path | None) -> Iterator[str]:
    if folder is None:
        yield "nothing was written"
        return
    yield f"wrote {folder}: defs.yaml, contract.py, models/"
    if plan.origin.kind == "postgres" and plan.origin.secret:
        yield f"next: export {plan.origin.place}='postgresql://...'   (the address is not written to any file)"
    yield f"next: mlplatform run {plan.name}, then mlplatform serve {plan.name}"
