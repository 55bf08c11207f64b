"""How well each single column tells the target: what tells all of it is a leak until somebody says otherwise.

A tree of at most 16 leaves on one column, judged on the half of a sample that it did not see: it finds thresholds,
groups of codes and "is missing" alike. Of an amount so few leaves cannot tell all, not even its copy: there the ranks
are compared, too.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from mlplatform.contracts.casting import quote
from mlplatform.scaffold.column import Column
from mlplatform.scaffold.learning import LEARNING
from mlplatform.scaffold.open_rows import TABLE
from mlplatform.scaffold.plan import Note, Target
from mlplatform.scaffold.typed import typed_sql

__all__ = ["LEAK", "leaks", "promising", "single_scores"]

LEAK = {"binary": 0.98, "multiclass": 0.98, "regression": 0.998}
"""From this score on: 2 AUC - 1, share of wrong guesses of the largest class that are mended, R2 of the amounts or of
their ranks (0.999 squared)."""
_SAMPLE = 10_000
_LEAVES = 16
_AT_ONCE = 100
_LEAST = 60
_LARGEST = float(np.finfo(np.float32).max)

Values = npt.NDArray[np.float64]


def single_scores(
    con: duckdb.DuckDBPyConnection, columns: Sequence[Column], target: Target, *, of_learning: bool = False
) -> dict[str, float]:
    """A score of each column by itself, at most 1; below 0 it tells nothing. `of_learning`: by the rows that learn."""
    scores: dict[str, float] = {}
    for some, rows, labels in _samples(con, columns, target, of_learning=of_learning):
        scores |= {each.name: _score(rows[i], labels, target.task) for i, each in enumerate(some)}
        if target.task == "regression":
            amounts = [(i, each.name) for i, each in enumerate(some) if each.kind != "string"]
            scores |= {name: max(scores[name], _followed(rows[i], labels)) for i, name in amounts}
    return scores


def promising(con: duckdb.DuckDBPyConnection, columns: Sequence[Column], target: Target, most: int) -> list[Column]:
    """Of very many columns those whose ranks go most with the label in the rows that learn: a tree on each would take
    minutes.
    """
    strength: dict[str, float] = {}
    for some, rows, labels in _samples(con, columns, target, of_learning=True):
        strength |= {each.name: _correlation(rows[i], labels) for i, each in enumerate(some)}
    kept = set(sorted(strength, key=lambda name: -strength[name])[:most])
    return [each for each in columns if each.name in kept]


def _correlation(values: Values, labels: Values) -> float:
    known = np.isfinite(values)
    if known.sum() < _LEAST or not np.ptp(values[known]) or not np.ptp(labels[known]):
        return 0.0
    ranks = np.argsort(np.argsort(values[known], kind="stable"), kind="stable")
    return float(abs(np.corrcoef(ranks, labels[known])[0, 1]))


def _followed(values: Values, labels: Values) -> float:
    """The share of the variance of the labels' ranks that those of the values tell: 1 where they rise together, or one
    falls as the other rises. Of the rows that have a value.

    Where most rows have one amount, such as none, those do not count: whatever tells just that would tell nearly all.
    """
    from scipy.stats import rankdata

    known = np.isfinite(values)
    amounts, counts = np.unique(labels[known], return_counts=True)
    if len(counts) and 2 * counts.max() > counts.sum():
        known &= labels != amounts[counts.argmax()]
    values, labels = values[known], labels[known]
    if len(values) < _LEAST or not np.ptp(values) or not np.ptp(labels):
        return 0.0
    return float(np.corrcoef(rankdata(values), rankdata(labels))[0, 1] ** 2)


def _samples(
    con: duckdb.DuckDBPyConnection, columns: Sequence[Column], target: Target, *, of_learning: bool
) -> Iterator[tuple[Sequence[Column], list[Values], Values]]:
    """Some columns at a time: their values as numbers, [n] each, and the labels [n], of the same rows each time."""
    for start in range(0, len(columns), _AT_ONCE):
        some = columns[start : start + _AT_ONCE]
        told = [f"{typed_sql(each)} AS c{i}" for i, each in enumerate(some)]
        source = _source(dict.fromkeys(each.name for each in (target.column, *some)), of_learning=of_learning)
        label = f"{_label_sql(target)} AS y"
        frame = con.execute(
            f"SELECT {', '.join([label, *told])} FROM (FROM {source} "
            f"USING SAMPLE reservoir({_SAMPLE} ROWS) REPEATABLE (7)) WHERE y IS NOT NULL"
        ).df()
        labels = _labels(frame["y"], target)
        kept = np.isfinite(labels)
        yield some, [_numbers(frame[f"c{i}"], each)[kept] for i, each in enumerate(some)], labels[kept]


def _source(names: Iterable[str], *, of_learning: bool) -> str:
    """The columns of those names, of all rows or of those that learn."""
    listed = ", ".join(f"{TABLE}.{quote(name)}" for name in names)
    learning = f" POSITIONAL JOIN {LEARNING} WHERE {LEARNING}.learns" if of_learning else ""
    return f"(SELECT {listed} FROM {TABLE}{learning})"


def leaks(scores: dict[str, float], target: Target) -> list[Note]:
    """Those that tell the target by themselves."""
    return [
        Note(
            name, "leak", f"tells `{target.column.name}` all by itself (score {score:.3f} of 1): known too late?", True
        )
        for name, score in scores.items()
        if score >= LEAK[target.task]
    ]


def _label_sql(target: Target) -> str:
    """An amount, or the text by which its class is known."""
    value = typed_sql(target.column)
    return value if target.task == "regression" else f"CAST({value} AS VARCHAR)"


def _labels(values: Any, target: Target) -> Values:
    if target.task == "regression":
        return np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan))
    codes = {value: float(code) for code, value in enumerate(target.classes)}
    return np.asarray([codes.get(value, np.nan) for value in values], dtype=np.float64)


def _numbers(values: Any, column: Column) -> Values:
    import pandas as pd

    if column.kind == "string":
        codes = pd.factorize(values)[0].astype(np.float64)
        return np.where(codes < 0, np.nan, codes)
    if column.kind == "timestamp":
        moments = values.to_numpy(dtype="datetime64[s]")
        return np.where(np.isnat(moments), np.nan, moments.astype(np.int64).astype(np.float64))
    return np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan))


def _score(values: Values, labels: Values, task: str) -> float:
    from sklearn.metrics import r2_score, roc_auc_score
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    half = np.arange(len(labels)) % 2 == 0
    learned, judged = labels[half], labels[~half]
    if len(labels) < _LEAST or len(np.unique(learned)) < 2 or len(np.unique(judged)) < 2:
        return 0.0
    # Single precision inside; a span of times fits once it begins at 0, and what is too large is as good as the limit.
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    values = values - low if high - low < _LARGEST else np.clip(values, -_LARGEST, _LARGEST)
    rows = (values if len(known) else np.zeros_like(values)).reshape(-1, 1).astype(np.float32)
    kind = DecisionTreeRegressor if task == "regression" else DecisionTreeClassifier
    tree = kind(max_leaf_nodes=_LEAVES, min_samples_leaf=5, random_state=7).fit(rows[half], learned)
    if task == "regression":
        return float(r2_score(judged, tree.predict(rows[~half])))
    if task == "binary":
        return float(2 * roc_auc_score(judged, tree.predict_proba(rows[~half])[:, 1]) - 1)
    largest = np.bincount(judged.astype(np.int64)).max() / len(judged)
    return float((np.mean(tree.predict(rows[~half]) == judged) - largest) / (1 - largest))
