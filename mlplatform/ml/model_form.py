"""A whole model as one ONNX graph: one named input for each feature, the task's answers as named outputs.

Categories, cleaning, scorer, calibration and threshold are all in it; explanations are not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from mlplatform.errors import ArtifactError
from mlplatform.ml.booster_form import BoosterForm
from mlplatform.ml.cleaned import CleanedScorer
from mlplatform.ml.cleaning_form import add_cleaning, uncleaned
from mlplatform.ml.head_form import add_answers, add_calibrated
from mlplatform.ml.heads import Head
from mlplatform.ml.model import Model
from mlplatform.ml.onnx_graph import ML, OnnxGraph, Port
from mlplatform.ml.split_form import ENSEMBLE_OPSET
from mlplatform.ml.subset import SubsetScorer
from mlplatform.ml.trainer import Scorer

__all__ = ["Column", "cuts_of", "model_to_onnx"]

Cuts = dict[int, set[float]]


@dataclass(frozen=True)
class Column:
    """One input: a feature, and the code that the model learned for each category, if it is categorical."""

    name: str
    codes: Mapping[str, float] | Mapping[float, float] | None = None

    @property
    def is_text(self) -> bool:
        """Whether the input takes texts; else float64."""
        return self.codes is not None and any(isinstance(value, str) for value in self.codes)

    @property
    def missing(self) -> str | None:
        """The text that stands for a missing one, which is no category; None: NaN does."""
        if not self.is_text:
            return None
        text = ""
        while text in (self.codes or {}):
            text += "?"
        return text


def model_to_onnx(model: Model, columns: Sequence[Column]) -> bytes:
    """A checked graph: an input [n, 1] for each of `columns`, which are the model's features in order; the answers.

    Raises ArtifactError where a part of the model has no such form, or a feature has the name of an answer.
    """
    from onnx import TensorProto

    assert tuple(column.name for column in columns) == model.features
    graph = OnnxGraph(ml_opset=ENSEMBLE_OPSET)
    parts = [_add_column(graph, column) for column in columns]
    rows = graph.compute("Concat", *parts, axis=1)
    outputs = add_answers(graph, model.head, _add_scorer(graph, model.scorer, rows))
    if clash := [port.name for port in outputs if port.name in model.features]:
        raise ArtifactError(f"features are called {', '.join(clash)} like answers of the graph; rename them")
    kinds = [TensorProto.STRING if column.is_text else TensorProto.DOUBLE for column in columns]
    inputs = [Port(column.name, kind, ["n", 1]) for column, kind in zip(columns, kinds, strict=True)]
    return graph.build_between("model", inputs, outputs)


def cuts_of(model: Model) -> dict[str, set[float]]:
    """The values of each feature at which some tree of a model decides, as far as they are to be had."""
    return {model.features[at]: cuts for at, cuts in sorted(_cuts(model.scorer).items())}


def _add_column(graph: OnnxGraph, column: Column) -> str:
    """The input as numbers, float64[n, 1]: as it is, or the code of its category and NaN for all others."""
    from onnx import TensorProto, helper, numpy_helper

    if column.codes is None:
        return column.name
    # A column that was empty in training has no code at all, and an encoder must have one.
    codes: Mapping[str, float] | Mapping[float, float] = column.codes or {0.0: np.nan}
    kind = TensorProto.STRING if column.is_text else TensorProto.DOUBLE
    keys = [key.encode() if isinstance(key, str) else float(key) for key in codes]
    return graph.compute(
        "LabelEncoder",
        column.name,
        domain=ML,
        keys_tensor=helper.make_tensor("keys", kind, [len(keys)], keys),
        values_tensor=numpy_helper.from_array(np.array(list(codes.values()), dtype=np.float64), "codes"),
        default_tensor=numpy_helper.from_array(np.array([np.nan]), "unknown"),
    )


def _add_scorer(graph: OnnxGraph, scorer: Scorer, rows: str) -> str:
    """Nodes for `scorer.raw(rows)`: float64[n] or, of a forecast or classes, [n, levels]."""
    from mlplatform.ml.blend import BlendScorer
    from mlplatform.ml.linear import LinearScorer
    from mlplatform.ml.one_vs_rest import OneVsRestScorer
    from mlplatform.ml.onnx_scorer import OnnxScorer
    from mlplatform.ml.per_level import PerLevelScorer
    from mlplatform.ml.stored_form import add_stored
    from mlplatform.ml.stored_trees import StoredTrees
    from mlplatform.ml.trees import TreesScorer

    match scorer:
        case CleanedScorer():
            return _add_scorer(graph, scorer.inner, add_cleaning(graph, scorer.cleaning, rows))
        case SubsetScorer():
            seen = graph.value(np.array(scorer.seen, dtype=np.int64))
            return _add_scorer(graph, scorer.inner, graph.compute("Gather", rows, seen, axis=1))
        case TreesScorer() | StoredTrees():
            return BoosterForm.read(scorer.text).add(graph, rows)
        case LinearScorer() | OnnxScorer():
            return add_stored(graph, scorer.content, rows)
        case BlendScorer():
            weighed = [(weight, scorer.members[name]) for name, weight in scorer.weights.items()]
            parts = [_add_member(graph, weight, member.scorer, member.head, rows) for weight, member in weighed]
            return reduce(lambda total, part: graph.compute("Add", total, part), parts)
        case PerLevelScorer():
            return _add_levels(graph, list(scorer.scorers.values()), scorer.anchor, rows)
        case OneVsRestScorer():
            return _add_levels(graph, scorer.scorers, None, rows)
        case _:
            raise ArtifactError(f"a scorer of kind {scorer.kind} has no ONNX form; deploy a candidate of another kind")


def _add_member(graph: OnnxGraph, weight: float, scorer: Scorer, head: Head, rows: str) -> str:
    return graph.compute("Mul", add_calibrated(graph, head, _add_scorer(graph, scorer, rows)), graph.value(weight))


def _add_levels(graph: OnnxGraph, scorers: Sequence[Scorer], anchor: int | None, rows: str) -> str:
    """Each level, or class, a column, and the anchor added to all."""
    axis = graph.value(np.array([1], dtype=np.int64))
    parts = [graph.compute("Unsqueeze", _add_scorer(graph, scorer, rows), axis) for scorer in scorers]
    answers = graph.compute("Concat", *parts, axis=1)
    if anchor is None:
        return answers
    start = graph.compute("Gather", rows, graph.value(np.array([anchor], dtype=np.int64)), axis=1)
    known = graph.compute("Where", graph.compute("IsNaN", start), graph.value(0.0), start)
    return graph.compute("Add", answers, known)


def _cuts(scorer: Scorer) -> Cuts:
    from mlplatform.ml.blend import BlendScorer
    from mlplatform.ml.one_vs_rest import OneVsRestScorer
    from mlplatform.ml.onnx_scorer import OnnxScorer
    from mlplatform.ml.per_level import PerLevelScorer
    from mlplatform.ml.stored_form import cuts_of_stored
    from mlplatform.ml.stored_trees import StoredTrees
    from mlplatform.ml.trees import TreesScorer

    match scorer:
        case CleanedScorer():
            return {at: uncleaned(scorer.cleaning, at, cuts) for at, cuts in _cuts(scorer.inner).items()}
        case SubsetScorer():
            return {scorer.seen[at]: cuts for at, cuts in _cuts(scorer.inner).items()}
        case TreesScorer() | StoredTrees():
            return BoosterForm.read(scorer.text).cuts()
        case OnnxScorer():
            return cuts_of_stored(scorer.content)
        case BlendScorer():
            return _union([_cuts(member.scorer) for member in scorer.members.values()])
        case PerLevelScorer():
            return _union([_cuts(each) for each in scorer.scorers.values()])
        case OneVsRestScorer():
            return _union([_cuts(each) for each in scorer.scorers])
        case _:
            return {}


def _union(parts: Sequence[Cuts]) -> Cuts:
    columns = sorted({at for part in parts for at in part})
    return {at: set().union(*(part.get(at, set()) for part in parts)) for at in columns}
