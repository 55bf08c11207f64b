"""The text of contract.py: what was seen becomes what must hold, with every guess marked."""

import math
from collections.abc import Callable, Iterator
from datetime import datetime

from mlplatform.contracts.load import class_name
from mlplatform.scaffold.column import Column
from mlplatform.scaffold.plan import Feature, Plan
from mlplatform.scaffold.quoting import as_comment

__all__ = ["SOURCE", "contract_text"]

SOURCE = "records"
"""What the one source is called: the table `raw_<use case>.records`."""
_FEW = 12
_ROOM = 10
"""Amounts may lie this many times their own range beyond it: a unit that was mistaken lies further off."""
_LEAST_ROWS = 200


def contract_text(plan: Plan) -> str:
    """The Python file with the models `Records` and `Features`."""
    return "\n".join([*_head(plan), *_records(plan), "", "", *_features(plan), ""])


def _head(plan: Plan) -> Iterator[str]:
    yield f'"""What must hold for the tables of {plan.name}: `{class_name(SOURCE)}` as they arrive, and `Features`.'
    yield ""
    yield f"Made from {plan.profile.rows:,} rows. Lines marked `guess` say what these rows showed, which later ones"
    yield "need not: correct them. Rows that break a rule go to quarantine, requests that do are refused with a reason."
    yield '"""'
    yield ""
    yield "import pandas as pd"
    yield "import pandera.pandas as pa"
    yield ""
    yield f'__all__ = ["Features", "{class_name(SOURCE)}"]'
    yield ""
    yield ""


def _records(plan: Plan) -> Iterator[str]:
    yield f"class {class_name(SOURCE)}(pa.DataFrameModel):"
    yield '    """A row as it arrives; columns that are not named here are not read."""'
    yield ""
    if plan.key is None:
        yield "    row_key: int = pa.Field(ge=0, description='Identifies the row: a number of its content.')"
    for column in plan.raw_columns:
        name = plan.names[column.name]
        if plan.key is not None and column.name == plan.key.name:
            kind = "int" if column.kind == "integer" else "str"
            yield f"    {name}: {kind} = pa.Field(description={_said(column)})"
        elif plan.entity is not None and column.name == plan.entity.name:
            yield f"    {name}: {_entity_type(column)} = pa.Field(description={_said(column)})"
        elif plan.time is not None and column.name == plan.time.name:
            yield from _time(plan, name)
        else:
            # A label may still be to come.
            nullable = column.missing > 0 or column.name == plan.target.column.name
            yield _line(name, _raw_type(column), column, nullable, None, _said(column), closed=False)
    left_out = sorted({note.column for note in plan.notes if note.left_out and note.column})
    if left_out:
        yield ""
        yield f"    # Not read: {', '.join(map(_plain, left_out[:20]))}{' and more' if len(left_out) > 20 else ''}."


def _entity_type(column: Column) -> str:
    return {"string": "str", "float": "float"}.get(column.kind, "int")


def _time(plan: Plan, name: str) -> Iterator[str]:
    """Bounds only where rows broke them: time goes on."""
    span = plan.span
    assert span is not None, "a time has a span"
    rules = [f"ge={_moment(span.not_before)}"] if span.not_before else []
    rules += [f"notin=[{', '.join(map(_moment, span.never))}]"] if span.never else []
    if span.strays:
        yield f"    # {span.strays:,} rows lay far from the others in time ({span.first} to {span.last})."
    guess = "  # guess: stray times" if rules else ""
    parts = ", ".join([*rules, "description='When it happened.'"])
    yield f"    {name}: pd.Timestamp = pa.Field({parts}){guess}"


def _moment(moment: datetime) -> str:
    return f"pd.Timestamp({str(moment)!r})"


def _features(plan: Plan) -> Iterator[str]:
    yield "class Features(pa.DataFrameModel):"
    yield f'    """What is known of a row when it is scored; models/{plan.name}_features.sql computes it."""'
    yield ""
    kind = "int" if plan.key is None or plan.key.kind == "integer" else "str"
    yield f"    {plan.key_name}: {kind} = pa.Field(description='Identifies the row.')"
    yield "    event_time: pd.Timestamp = pa.Field(description='When it happened.')"
    if plan.entity is not None:
        kind = _entity_type(plan.entity)
        said = "description='Rows of one of these belong together.'"
        yield f"    {plan.names[plan.entity.name]}: {kind} = pa.Field({said})"
    if any(not feature.column.missing for feature in plan.features):
        yield "    # choice: a request that says null where no row had a gap is refused. To take it, add"
        yield "    # nullable=True to the line and make its int a float; no model has learned what a gap there means."
    for feature in plan.features:
        yield _feature(feature)


def _feature(feature: Feature) -> str:
    column, nullable = feature.column, feature.column.missing > 0
    said = repr(feature.description)
    if feature.is_part:
        kind = "int" if feature.kind == "whole" and not nullable else "float"
        ends = "" if feature.bounds is None else f"ge={feature.bounds[0]}, le={feature.bounds[1]}, "
        null = "nullable=True, " if nullable else ""
        example = 1 if ends else 10
        return (
            f"    {feature.name}: {kind} = pa.Field({ends}{null}description={said}, metadata={{'example': {example}}})"
        )
    if feature.kind == "flag":
        kind = "float" if nullable else "int"
        null = "nullable=True, " if nullable else ""
        return (
            f"    {feature.name}: {kind} = pa.Field(isin=[0, 1], {null}description={said}, metadata={{'example': 0}})"
        )
    kind = {"number": "float", "whole": "float" if nullable else "int", "category": "str"}[feature.kind]
    return _line(feature.name, kind, column, nullable, _example(column), said, closed=True)


def _line(name: str, kind: str, column: Column, nullable: bool, example: object, said: str, *, closed: bool) -> str:
    rules = [*_bounds(column), *(_categories(column) if closed else [])]
    guess = "  # guess" if rules or not nullable else ""
    if not nullable:
        guess += ": never missing so far"
    parts = [*rules, *(["nullable=True"] if nullable else []), f"description={said}"]
    parts += [f"metadata={{'example': {example!r}}}"] if example is not None else []
    return f"    {name}: {kind} = pa.Field({', '.join(parts)}){guess}"


def _raw_type(column: Column) -> str:
    return {
        "integer": "pd.Int64Dtype",
        "float": "float",
        "boolean": "pd.BooleanDtype",
        "timestamp": "pd.Timestamp",
    }.get(column.kind, "str")


def _bounds(column: Column) -> list[str]:
    """Room on both sides of what was seen, but no negatives where there were none."""
    if not column.is_number or column.minimum is None or column.maximum is None:
        return []
    room = _ROOM * (column.maximum - column.minimum)
    low = 0 if column.minimum >= 0 else _rounded(column.minimum - room, math.floor)
    ends = {"ge": low, "le": _rounded(column.maximum + room, math.ceil)}
    # Near the largest number that there is no room is left.
    return [f"{name}={end}" for name, end in ends.items() if math.isfinite(end)]


def _rounded(value: float, to: Callable[[float], int]) -> int | float:
    """To two digits, away from what was seen."""
    if not value or not math.isfinite(value):
        return value
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    rounded = to(value / step) * step
    return int(rounded) if step >= 1 and abs(rounded) < 2**53 else float(f"{rounded:.6g}")


def _categories(column: Column) -> list[str]:
    """Only where they are few and each was seen often: a rare one hints at others that were not seen."""
    if column.kind != "string" or not column.values or len(column.values) > _FEW or column.known < _LEAST_ROWS:
        return []
    rarest = column.values[-1][1]
    if rarest < max(5, 0.002 * column.known):
        return []
    return [f"isin={sorted(value for value, _ in column.values)!r}"]


def _example(column: Column) -> object:
    if column.kind == "string":
        return column.values[0][0] if column.values else None
    if column.minimum is None or column.maximum is None:
        return None
    if column.values:
        value = float(column.values[0][0])
        return int(value) if column.kind == "integer" else value
    middle = (column.minimum + column.maximum) / 2
    return round(middle) if column.kind == "integer" else float(f"{middle:.3g}")


def _said(column: Column) -> str:
    return repr(column.name)


def _plain(name: str) -> str:
    return as_comment(name)[:60]
