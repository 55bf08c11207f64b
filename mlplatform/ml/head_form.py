"""Heads as nodes of an ONNX graph: from a raw score to the named answers of a task, as `heads.py` gives them."""

import numpy as np

from mlplatform.errors import ArtifactError
from mlplatform.ml.calibration import SUREST, Calibration, Isotonic, Sigmoid
from mlplatform.ml.heads import LEAST_SHARE, Classes, Head, Order, Probability, Quantiles
from mlplatform.ml.metrics import Floats
from mlplatform.ml.onnx_graph import OnnxGraph, Port

__all__ = ["add_answers", "add_calibrated"]


def add_answers(graph: OnnxGraph, head: Head, raw: str) -> list[Port]:
    """Nodes for the answers to a raw score [n] or [n, levels]; the graph's outputs.

    Raises ArtifactError for a head of an unknown task.
    """
    from onnx import TensorProto

    match head:
        case Probability():
            graph.add("Identity", [_add_probability(graph, head.calibration, raw)], "score")
            graph.add("GreaterOrEqual", ["score", graph.value(head.threshold)], "decision")
            return [Port("score", TensorProto.DOUBLE, ["n"]), Port("decision", TensorProto.BOOL, ["n"])]
        case Order():
            graph.add("Identity", [raw], "score")
            return [Port("score", TensorProto.DOUBLE, ["n"])]
        case Classes():
            return _add_classes(graph, head, raw)
        case Quantiles():
            graph.add("Identity", [_add_quantiles(graph, head, raw)], "quantiles")
            middle = graph.value(np.array(head.middle, dtype=np.int64))
            graph.add("Gather", ["quantiles", middle], "forecast", axis=1)
            levels = Port("quantiles", TensorProto.DOUBLE, ["n", len(head.levels)])
            return [Port("forecast", TensorProto.DOUBLE, ["n"]), levels]
        case _:
            raise ArtifactError(f"a model of the task {head.task} cannot be exported")


def _add_classes(graph: OnnxGraph, head: Classes, raw: str) -> list[Port]:
    """The probabilities of all classes, the place of the likeliest among them, and its probability."""
    from onnx import TensorProto

    axis = graph.value(np.array([1], dtype=np.int64))
    columns = [
        graph.compute("Unsqueeze", _add_probability(graph, fitted, _squeezed(graph, raw, at)), axis)
        for at, fitted in enumerate(head.calibrations)
    ]
    positive = graph.compute("Max", graph.compute("Concat", *columns, axis=1), graph.value(LEAST_SHARE))
    told = graph.compute("Div", positive, graph.compute("ReduceSum", positive, axis, keepdims=1))
    rest = graph.compute("Mul", told, graph.value(1 - len(head.names) * head.least))
    graph.add("Add", [rest, graph.value(head.least)], "probabilities")
    graph.add("ArgMax", ["probabilities"], "class", axis=1, keepdims=0)
    graph.add("ReduceMax", ["probabilities"], "score", axes=[1], keepdims=0)
    return [
        Port("class", TensorProto.INT64, ["n"]),
        Port("score", TensorProto.DOUBLE, ["n"]),
        Port("probabilities", TensorProto.DOUBLE, ["n", len(head.names)]),
    ]


def _squeezed(graph: OnnxGraph, rows: str, at: int) -> str:
    return graph.compute("Gather", rows, graph.value(np.array(at, dtype=np.int64)), axis=1)


def add_calibrated(graph: OnnxGraph, head: Head, raw: str) -> str:
    """Nodes for `head.calibrated`: what members of a blend are added up on."""
    match head:
        case Probability(calibration=Sigmoid() as sigmoid):
            return _add_line(graph, sigmoid, raw)
        case Probability(calibration=Isotonic() as isotonic):
            share = _add_steps(graph, isotonic, raw)
            within = graph.compute("Clip", share, graph.value(SUREST), graph.value(1 - SUREST))
            return graph.compute("Log", graph.compute("Div", within, _one_less(graph, within)))
        case Order():
            return raw
        case Quantiles():
            return _add_quantiles(graph, head, raw)
        case _:
            raise ArtifactError(f"a model of the task {head.task} cannot be exported")


def _add_probability(graph: OnnxGraph, calibration: Calibration, raw: str) -> str:
    if isinstance(calibration, Isotonic):
        return _add_steps(graph, calibration, raw)
    # Not the operator Sigmoid: in float64 it says 0 where the probability is 4e-18 (ONNX Runtime 1.32).
    odds_against = graph.compute("Exp", graph.compute("Neg", _add_line(graph, calibration, raw)))
    return graph.compute("Reciprocal", graph.compute("Add", odds_against, graph.value(1.0)))


def _add_line(graph: OnnxGraph, sigmoid: Sigmoid, raw: str) -> str:
    scaled = graph.compute("Mul", raw, graph.value(sigmoid.slope))
    return graph.compute("Add", scaled, graph.value(sigmoid.intercept))


def _one_less(graph: OnnxGraph, name: str) -> str:
    return graph.compute("Sub", graph.value(1.0), name)


def _add_steps(graph: OnnxGraph, isotonic: Isotonic, raw: str) -> str:
    """`np.interp` by its own formula: the knot below, and from there by the slope to the next."""
    from onnx import TensorProto

    knots, shares = np.asarray(isotonic.log_odds), np.asarray(isotonic.probabilities)
    slopes = np.append(np.diff(shares) / np.diff(knots), 0.0)
    axis = graph.value(np.array([1], dtype=np.int64))
    reached = graph.compute("GreaterOrEqual", graph.compute("Unsqueeze", raw, axis), graph.value(knots.reshape(1, -1)))
    count = graph.compute("ReduceSum", graph.compute("Cast", reached, to=TensorProto.INT64), axis, keepdims=0)
    last = graph.compute("Sub", count, graph.value(np.array(1, dtype=np.int64)))
    below = graph.compute("Max", last, graph.value(np.array(0, dtype=np.int64)))
    start, share, slope = (graph.compute("Gather", graph.value(each), below) for each in (knots, shares, slopes))
    # Below the first knot the line is flat.
    ahead = graph.compute("Max", graph.compute("Sub", raw, start), graph.value(0.0))
    return graph.compute("Add", graph.compute("Mul", slope, ahead), share)


def _add_quantiles(graph: OnnxGraph, head: Quantiles, raw: str) -> str:
    """Nodes for `head(raw)`, float64[n, levels]."""
    if head.offsets:
        column = graph.compute("Unsqueeze", raw, graph.value(np.array([1], dtype=np.int64)))
        answers = graph.compute("Add", column, graph.value(np.reshape(head.offsets, (1, -1))))
    else:
        answers = _add_sorted(graph, head, raw)
    if head.widen:
        answers = _add_widened(graph, head, answers)
    return answers if head.minimum is None else graph.compute("Max", answers, graph.value(head.minimum))


def _add_widened(graph: OnnxGraph, head: Quantiles, answers: str) -> str:
    side: Floats = np.asarray(head.levels) - 0.5
    reach = np.where(side < 0, side / -side[0], side / side[-1]).reshape(1, -1)
    low, middle, high = (_column(graph, answers, at) for at in (0, head.middle, len(head.levels) - 1))
    width = graph.compute("Max", graph.compute("Sub", high, low), graph.value(head.least_width))
    grown = graph.compute("Mul", graph.compute("Mul", graph.value(head.widen), width), graph.value(reach))
    moved = graph.compute("Add", answers, grown)
    below, above = graph.compute("Min", moved, middle), graph.compute("Max", moved, middle)
    lower = graph.compute("Less", graph.value(side.reshape(1, -1)), graph.value(0.0))
    return _add_sorted(graph, head, graph.compute("Where", lower, below, above))


def _column(graph: OnnxGraph, rows: str, at: int) -> str:
    return graph.compute("Gather", rows, graph.value(np.array([at], dtype=np.int64)), axis=1)


def _add_sorted(graph: OnnxGraph, head: Quantiles, rows: str) -> str:
    """Each row rising; the operator gives places, too, which nobody reads."""
    from onnx import helper

    name, count = f"TopK/{len(graph.nodes)}", graph.value(np.array([len(head.levels)], dtype=np.int64))
    graph.nodes.append(helper.make_node("TopK", [rows, count], [name, f"{name}/places"], largest=0, sorted=1))
    return name
