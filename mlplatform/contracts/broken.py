"""Which rows break which rule of a contract: every rule gives a `Failure` with the positions of its rows."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mlplatform.contracts.arrow import Cast, as_frame
from mlplatform.contracts.failures import MISSING, Failure, requirement
from mlplatform.errors import ContractError

__all__ = ["broken_rules", "missing_values", "repeated", "stored_before", "too_late", "unique_keys"]


def missing_values(contract: Any, cast: Cast, present: list[str], needed: Sequence[str]) -> Iterator[Failure]:
    """Values that are not there but must be. One that was refused is not also missing."""
    for name in present:
        if name in needed or not contract.columns[name].nullable:
            empty = np.flatnonzero(_mask(pc.is_null(cast.values[name])))
            yield Failure(name, MISSING, np.setdiff1d(empty, cast.refused[name]))


def broken_rules(contract: Any, values: pa.Table, present: list[str]) -> Iterator[Failure]:
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


def too_late(values: pa.Table, time_column: str, before: datetime) -> Failure:
    """Rows of the time `before` (UTC, no zone) or later."""
    late = pc.greater_equal(values[time_column], pa.scalar(before, values[time_column].type))
    return Failure(time_column, f"is in the future: its batch ends before {before}", np.flatnonzero(_mask(late)))


def stored_before(values: pa.Table, key: Sequence[str], taken: pa.Table) -> Failure:
    """Rows that are among `taken`, by its columns: another row stored for another day has their `key`."""
    by = taken.column_names
    found = as_frame(values.select(by)).merge(as_frame(taken).drop_duplicates(), on=by, how="left", indicator=True)
    again = np.flatnonzero(found["_merge"] == "both")
    return Failure(key[0] if len(key) == 1 else "", f"is the {' + '.join(key)} of a row stored for another day", again)


def unique_keys(contract: Any) -> list[list[str]]:
    """The columns that the model calls unique, each alone and those it names together."""
    together = [list(contract.unique)] if contract.unique else []
    return [[name] for name, column in contract.columns.items() if column.unique] + together


def repeated(values: pa.Table, failures: Sequence[Failure], keys: Sequence[Sequence[str]]) -> Iterator[Failure]:
    """Rows that repeat the key of an earlier row that is good in every other way."""
    good = np.ones(len(values), dtype=bool)
    for failure in failures:
        good[failure.rows] = False
    for key in filter(None, keys):
        at = np.flatnonzero(good)
        again = at[as_frame(values.select(list(key)).take(pa.array(at))).duplicated().to_numpy()]
        good[again] = False
        yield Failure(key[0] if len(key) == 1 else "", f"repeats the {' + '.join(key)} of an earlier row", again)


def _mask(column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.asarray(pc.fill_null(column, fill_value=False).to_numpy())
