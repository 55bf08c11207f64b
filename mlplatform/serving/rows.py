"""From JSON rows to the model's matrix, by the rules of the contract. All problems of a request are named at once.

The rules are compiled once per model, so that a good value costs one type test and two comparisons.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlplatform.errors import ArtifactError
from mlplatform.serving.column import compile_column, kind_of
from mlplatform.serving.identity import Identity

if TYPE_CHECKING:
    from mlplatform.contracts.rules import Rule

__all__ = ["MAX_PROBLEMS", "Problem", "RowReader"]

NAME_SHOWN = 64
MAX_PROBLEMS = 100
"""Reading stops here: neither the work nor the answer may grow with a hostile request."""
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: which row (counted from 0), which field, what, and what is allowed."""

    row: int
    field: str
    problem: str
    allowed: str


class RowReader:
    """Reads rows for one model. Safe to share between threads: nothing changes after construction."""

    def __init__(
        self,
        features: Sequence[str],
        rules: Sequence["Rule"],
        categories: Mapping[str, Sequence[str]] | None = None,
        identity: Identity | None = None,
    ) -> None:
        """`categories`: categorical feature -> its categories, the position being the code that the model learned.
        `identity`: what rows may name beside the features.

        Raises ArtifactError if a feature has no rule, or one whose type a model cannot take.
        """
        by_name = {rule.name: rule for rule in rules}
        missing = [name for name in features if name not in by_name]
        if missing:
            raise ArtifactError(f"the contract has no rule for {', '.join(missing)}; add it and build again")
        self.rules = tuple(by_name[name] for name in features)
        self.columns = tuple(compile_column(rule, (categories or {}).get(rule.name)) for rule in self.rules)
        self._names = frozenset(features)
        self._identity = identity or Identity()
        self._about = self._identity.names(self._names)
        self.names = self._names | self._about
        """All that a row may hold."""

    def read(self, rows: Sequence[Any]) -> tuple[npt.NDArray[np.float64], list[Problem]]:
        """`rows`: JSON objects. Returns float64[n, f] in the model's order (NaN = null) and the problems.

        The matrix is empty if there is any problem; of more than MAX_PROBLEMS the first ones are returned.
        """
        problems: list[Problem] = []
        values: list[float] = []
        for number, row in enumerate(rows):
            if type(row) is dict:
                self._read_row(number, row, values, problems)
            else:
                problems.append(Problem(number, "", f"is {kind_of(row)}", "an object of features"))
            if len(problems) >= MAX_PROBLEMS:
                break
        if problems:
            return np.empty((0, len(self.columns))), problems[:MAX_PROBLEMS]
        return np.array(values, dtype=np.float64).reshape(len(rows), len(self.columns)), problems

    def _read_row(self, number: int, row: dict[str, Any], values: list[float], problems: list[Problem]) -> None:
        present = 0
        for column in self.columns:
            value = row.get(column.name, _ABSENT)
            # NaN fails both comparisons.
            if type(value) in column.plain and column.low <= value <= column.high:
                values.append(value)
                present += 1
            elif value is _ABSENT:
                problems.append(Problem(number, column.name, "is missing", column.allowed))
            else:
                present += 1
                converted = column.convert(value)
                if isinstance(converted, str):
                    problems.append(Problem(number, column.name, converted, column.allowed))
                else:
                    values.append(converted)
        if present != len(row):
            others = (self._other(number, name, row[name]) for name in row if name not in self._names)
            problems.extend(islice(filter(None, others), MAX_PROBLEMS))

    def _other(self, number: int, name: str, value: Any) -> Problem | None:
        if name not in self._about:
            return self._unknown(number, name)
        wrong = self._identity.problem(name, value)
        return Problem(number, name, *wrong) if wrong else None

    def _unknown(self, number: int, name: str) -> Problem:
        near = get_close_matches(name[:NAME_SHOWN], self._names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return Problem(number, name[:NAME_SHOWN], f"is not a feature of this model{hint}", "no such field")
