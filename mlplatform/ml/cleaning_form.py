"""Fitted cleaning policies as nodes of an ONNX graph: the same steps as `cleaning.py`, in the same order."""

import numpy as np

from mlplatform.ml.cleaning import CleanedCategory, CleanedNumber, Cleaning
from mlplatform.ml.metrics import Floats
from mlplatform.ml.onnx_graph import OnnxGraph

__all__ = ["add_cleaning", "uncleaned"]


def add_cleaning(graph: OnnxGraph, cleaning: Cleaning, rows: str) -> str:
    """Nodes for `cleaning(rows)`, float64[n, f]; missing is NaN and passes every comparison."""
    cleaned = _add_numbers(graph, cleaning, rows)
    categories = [(at, column) for at, column in _by_place(cleaning).items() if isinstance(column, CleanedCategory)]
    if not categories:
        return cleaned
    parts = [cleaned, *(_add_category(graph, column, rows, at) for at, column in categories)]
    # The cleaned categories stand behind all columns; each takes the place of its own.
    order = np.arange(len(cleaning.features))
    order[[at for at, _ in categories]] = len(cleaning.features) + np.arange(len(categories))
    return graph.compute("Gather", graph.compute("Concat", *parts, axis=1), graph.value(order.astype(np.int64)), axis=1)


def uncleaned(cleaning: Cleaning, feature: int, cuts: set[float]) -> set[float]:
    """Where about values of a feature lie that come out of the cleaning as `cuts`, and where it caps them."""
    column = _by_place(cleaning).get(feature)
    if not isinstance(column, CleanedNumber):
        return cuts
    caps = {cap for cap in (column.low, column.high) if cap is not None}
    return {cut * column.scale + column.center for cut in cuts} | caps


def _by_place(cleaning: Cleaning) -> dict[int, CleanedNumber | CleanedCategory]:
    return {at: cleaning.columns[name] for at, name in enumerate(cleaning.features) if name in cleaning.columns}


def _add_numbers(graph: OnnxGraph, cleaning: Cleaning, rows: str) -> str:
    numbers = {at: column for at, column in _by_place(cleaning).items() if isinstance(column, CleanedNumber)}

    def each(what: str, otherwise: float) -> str:
        found = np.full((1, len(cleaning.features)), otherwise)
        for at, column in numbers.items():
            value = getattr(column, what)
            found[0, at] = otherwise if value is None else value
        return graph.value(found)

    if not numbers:
        return rows
    low, high = each("low", -np.inf), each("high", np.inf)
    rows = graph.compute("Where", graph.compute("Less", rows, low), low, rows)
    rows = graph.compute("Where", graph.compute("Greater", rows, high), high, rows)
    rows = graph.compute("Where", graph.compute("IsNaN", rows), each("fill", np.nan), rows)
    return graph.compute("Div", graph.compute("Sub", rows, each("center", 0.0)), each("scale", 1.0))


def _add_category(graph: OnnxGraph, category: CleanedCategory, rows: str, at: int) -> str:
    """The column's codes looked up, float64[n, 1]; behind the codes stands what a missing one becomes."""
    from onnx import TensorProto

    lookup: Floats = category.lookup
    codes = graph.compute("Gather", rows, graph.value(np.array([at], dtype=np.int64)), axis=1)
    unknown = graph.value(float(len(category.values)))
    known = graph.compute("Where", graph.compute("IsNaN", codes), unknown, codes)
    return graph.compute("Gather", graph.value(lookup), graph.compute("Cast", known, to=TensorProto.INT64), axis=0)
