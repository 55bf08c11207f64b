"""Splits a batch into the rows that keep a contract and those that do not, with the reasons. No row is lost."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mlplatform.contracts.arrow import Cast, as_arrow, as_frame, cast_table
from mlplatform.contracts.failures import MISSING, Failure, reasons, requirement, summary
from mlplatform.contracts.types import Kind, column_type
from mlplatform.contracts.unknown import (
    SchemaChange,
    as_text,
    frozen,
    storable,
    unknown_columns,
    unknown_values,
    with_gone_columns,
)
from mlplatform.errors import ContractError, SpecError

__all__ = ["Checked", "check_rows", "nothing_checked"]

_IS_NO: dict[Kind, str] = {
    "integer": "is not a whole number",
    "float": "is not a finite number",
    "boolean": "is neither true nor false",
    "string": "is not text",
    "timestamp": "is not a timestamp (YYYY-MM-DD hh:mm:ss, UTC unless it names an offset)",
}


@dataclass(frozen=True)
class Checked:
    """A checked batch; `len(good) + bad_rows + replaced` is the number of rows that came."""

    good: pa.Table
    """Rows that keep the contract: its columns, in its types and order; an absent optional column is all NULL. Behind
    them, where the source may evolve, the columns that it does not name, as text."""
    bad: pa.Table
    """The other rows as they arrived, all columns, and `_reason`: everything that is wrong with the row."""
    cases: pd.DataFrame
    """One line per broken rule: column, check, rows, example."""
    replaced: int = 0
    """Good rows that a later one of the same key replaces."""
    left_out: tuple[str, ...] = ()
    """Columns that came and that the contract does not name."""
    unread: pa.Table | None = None
    """What could not even be read as a row: `payload` and `_reason`."""

    @property
    def bad_rows(self) -> int:
        """Rows that go to quarantine, those that could not be read among them."""
        return len(self.bad) + (len(self.unread) if self.unread is not None else 0)

    @property
    def rows(self) -> int:
        """Rows that came."""
        return len(self.good) + self.bad_rows + self.replaced

    @property
    def bad_share(self) -> float:
        """Share of bad rows, 0 for an empty batch."""
        return self.bad_rows / self.rows if self.rows else 0.0

    def require(self, max_bad_share: float, batch: str) -> None:
        """Raises ContractError when a larger share than `max_bad_share` is bad; the message lists the broken rules."""
        if self.bad_share <= max_bad_share:
            return
        worst = "; ".join(
            f"{case.column} {case.check} ({case.rows} rows, e.g. '{case.example}')"
            for case in self.cases[:5].itertuples()
        )
        raise ContractError(
            f"{batch}: {self.bad_rows} of {self.rows} rows ({self.bad_share:.1%}) break the "
            f"contract, more than the allowed {max_bad_share:.1%}. {worst}. Look at the quarantine table, correct the "
            "source (or the contract), and ingest the batch again."
        )


def check_rows(
    schema: type[Any],
    rows: pa.Table | pd.DataFrame,
    *,
    key: Sequence[str] = (),
    time_column: str | None = None,
    before: datetime | None = None,
    taken: Callable[[pa.Table], pa.Table] | None = None,
    repeats: Literal["refuse", "replace"] = "refuse",
    schema_change: SchemaChange = "ignore",
    unread: pa.Table | None = None,
    absent: Literal["refuse", "missing"] = "refuse",
) -> Checked:
    """Check a batch against a pandera `DataFrameModel`.

    Args:
        schema: the model; its types are cast to, its checks and nullability hold per row.
        rows: the batch as it arrived; text is fine for every type.
        key: columns that identify a row.
        time_column: when the row happened; with `key` never missing, whatever the model says.
        before: a row of this time (UTC, no zone) or later is bad: the end of the batch's last day.
        taken: told the batch in the contract's types, gives those rows that are another row of a stored name, by their
            `key` (and time). Such a row is bad: which of two rows of one key stays must not depend on where batches
            end.
        repeats: of good rows with one key the first stays and the others are bad (`refuse`: a batch is a set of rows);
            or the last stays and the others are no more (`replace`: a batch is a sequence of changes).
        schema_change: what is done with columns that the model does not name, see `spec.any_source`.
        absent: what a column of the model is that no row has: the whole batch is refused; or it is a missing value of
            each row (`missing`: JSON leaves out what is empty, and a batch may be a single message).
        unread: what the source could not even read as a row (`payload`, `_reason`): bad, too.

    Raises:
        ContractError: a column is missing, one is new and the schema is frozen or cannot take its name, or a check
            judges the batch as a whole and fails.
        SpecError: the model lacks a key column, or has a type that rows cannot have.
    """
    contract = schema.to_schema()
    table = as_arrow(rows)
    needed = [*key, *([time_column] if time_column else [])]
    unknown = unknown_columns(contract, table)
    if schema_change == "freeze":
        frozen(contract, unknown)
    if schema_change == "evolve":
        storable(contract, unknown)
    if schema_change == "evolve" or absent == "missing":
        table = with_gone_columns(contract, table, all_of_them=absent == "missing")
    _require_columns(contract, table, needed)
    types = {name: column_type(name, column.dtype) for name, column in contract.columns.items()}
    cast = cast_table(table, types)
    failures = [Failure(name, _IS_NO[types[name].kind], at) for name, at in cast.refused.items()]
    present = [name for name in types if name in table.column_names]
    failures += _missing(contract, cast, present, needed)
    failures += _broken_rules(contract, cast.values, present)
    if time_column and before is not None:
        failures.append(_too_late(cast.values, time_column, before))
    if taken is not None and len(others := taken(cast.values)):
        failures.append(_stored_before(cast.values, key, others))
    if schema_change == "quarantine":
        failures += unknown_values(table, unknown)
    # A later row of a key that replaces the one before does not repeat it, though the model may call the key unique.
    alone = [list(key), *(columns for columns in _unique(contract) if set(columns) != set(key))]
    failures += _repeated(cast.values, failures, alone if repeats == "refuse" else alone[1:])
    values = cast.values
    if schema_change == "evolve" and unknown:
        text = as_text(table, unknown)
        values = pa.table([*values.columns, *text.columns], names=[*values.column_names, *unknown])
    checked = _with_unread(replace(_split(table, values, failures), left_out=tuple(unknown)), unread)
    return _latest_of_each(checked, key) if repeats == "replace" and len(key) else checked


def nothing_checked(unread: pa.Table | None) -> Checked:
    """A batch without a row that could be checked."""
    return _with_unread(Checked(pa.table({}), pa.table({}), summary([], pa.table({}))), unread)


def _with_unread(checked: Checked, unread: pa.Table | None) -> Checked:
    if unread is None or not len(unread):
        return checked
    case = {"column": "", "check": "could not be read", "rows": len(unread), "example": unread["payload"][0].as_py()}
    return replace(checked, unread=unread, cases=pd.DataFrame([*checked.cases.to_dict("records"), case]))


def _latest_of_each(checked: Checked, key: Sequence[str]) -> Checked:
    """Of good rows with one key the last."""
    older = as_frame(checked.good.select(list(key))).duplicated(keep="last").to_numpy(dtype=bool)
    if not older.any():
        return checked
    return replace(checked, good=checked.good.filter(pa.array(~older)), replaced=int(older.sum()))


def _require_columns(contract: Any, table: pa.Table, needed: Sequence[str]) -> None:
    unknown = [name for name in needed if name not in contract.columns]
    if unknown:
        raise SpecError(f"the contract {contract.name} lacks the column {', '.join(unknown)}; add it to the model.")
    required = [name for name, column in contract.columns.items() if column.required or name in needed]
    missing = [name for name in required if name not in table.column_names]
    if missing:
        raise ContractError(
            f"{contract.name}: column {', '.join(missing)} is missing; the source has {', '.join(table.column_names)}. "
            "Rename it under `columns:` of the source (contract name: name in the file), or add it to the source."
        )


def _missing(contract: Any, cast: Cast, present: list[str], needed: Sequence[str]) -> Iterator[Failure]:
    """Values that are not there but must be. One that was refused is not also missing."""
    for name in present:
        if name in needed or not contract.columns[name].nullable:
            empty = np.flatnonzero(_mask(pc.is_null(cast.values[name])))
            yield Failure(name, MISSING, np.setdiff1d(empty, cast.refused[name]))


def _broken_rules(contract: Any, values: pa.Table, present: list[str]) -> Iterator[Failure]:
    """Every check of the model on its own, as pandera runs it, missing values aside.

    Not through `schema.validate(lazy=True)`: that builds a frame of failing values for each check and joins them all,
    a copy of the batch with a FutureWarning of pandas when a value is missing; here only positions are needed.
    """
    frame = as_frame(values.select(present))
    for name in present:
        for check in contract.columns[name].checks:
            yield _judged(check, check(frame, name).check_output, name, contract)
    for check in contract.checks:
        yield _judged(check, check(frame).check_output, "", contract)


def _judged(check: Any, passed: Any, column: str, contract: Any) -> Failure:
    demand = requirement(check)
    if isinstance(passed, pd.DataFrame):
        passed = passed.all(axis="columns")
    if isinstance(passed, pd.Series):
        # pandera leaves rows with a missing value out, so the labels (0 to n - 1) are the positions.
        return Failure(column, demand, passed.index[~passed.to_numpy(dtype=bool)].to_numpy(dtype=np.int64))
    if not passed:
        raise ContractError(f"{contract.name}, {column or 'all columns'}: the batch as a whole {demand}.")
    return Failure(column, demand, np.array([], dtype=np.int64))


def _too_late(values: pa.Table, time_column: str, before: datetime) -> Failure:
    late = pc.greater_equal(values[time_column], pa.scalar(before, values[time_column].type))
    return Failure(time_column, f"is in the future: its batch ends before {before}", np.flatnonzero(_mask(late)))


def _stored_before(values: pa.Table, key: Sequence[str], taken: pa.Table) -> Failure:
    by = taken.column_names
    found = as_frame(values.select(by)).merge(as_frame(taken).drop_duplicates(), on=by, how="left", indicator=True)
    again = np.flatnonzero(found["_merge"] == "both")
    return Failure(key[0] if len(key) == 1 else "", f"is the {' + '.join(key)} of a row stored for another day", again)


def _unique(contract: Any) -> list[list[str]]:
    together = [list(contract.unique)] if contract.unique else []
    return [[name] for name, column in contract.columns.items() if column.unique] + together


def _repeated(values: pa.Table, failures: Sequence[Failure], keys: Sequence[Sequence[str]]) -> Iterator[Failure]:
    """Rows that repeat the key of an earlier row that is good in every other way."""
    good = np.ones(len(values), dtype=bool)
    for failure in failures:
        good[failure.rows] = False
    for key in filter(None, keys):
        at = np.flatnonzero(good)
        again = at[as_frame(values.select(list(key)).take(pa.array(at))).duplicated().to_numpy()]
        good[again] = False
        yield Failure(key[0] if len(key) == 1 else "", f"repeats the {' + '.join(key)} of an earlier row", again)


def _split(table: pa.Table, values: pa.Table, failures: Sequence[Failure]) -> Checked:
    why = reasons(failures, table)
    if why.empty:
        none = table.slice(0, 0).append_column("_reason", pa.array([], pa.string()))
        return Checked(values, none, summary([], table))
    bad = np.zeros(len(table), dtype=bool)
    bad[why.index.to_numpy()] = True
    rejected = table.filter(pa.array(bad)).append_column("_reason", pa.array(why.to_list(), pa.string()))
    return Checked(values.filter(pa.array(~bad)), rejected, summary(failures, table))


def _mask(column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.asarray(pc.fill_null(column, fill_value=False).to_numpy())
