"""A LightGBM model, read from its text, as nodes of an ONNX graph in float64.

A row takes the way that LightGBM gives it (src/io/tree.h, `NumericalDecision` and `CategoricalDecision` of 4.6):
thresholds and values are float64 on both sides, so a value beside a threshold falls on the same side (tested with
hypothesis). Only thresholds near zero move: LightGBM takes a value near zero for zero before it compares.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlplatform.errors import ArtifactError
from mlplatform.ml.metrics import Floats
from mlplatform.ml.onnx_graph import OnnxGraph
from mlplatform.ml.split_form import SplitTree, add_trees

__all__ = ["NEAR_ZERO", "BoosterForm"]

NEAR_ZERO = float(np.float32(1e-35))
"""LightGBM's kZeroThreshold: with `zero_as_missing` what is as small as this counts as missing."""
_CATEGORY, _MISSING_LEFT = 1, 2  # bits of decision_type; the two above say what counts as missing
_ZERO, _NAN = 1, 2

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BoosterForm:
    """The trees of a model of one output."""

    trees: tuple[SplitTree, ...]
    features: int
    """Columns of its rows, f. A split of column f + i looks at column i with what is near zero taken for missing."""

    @classmethod
    def read(cls, text: str) -> "BoosterForm":
        """Read LightGBM's text. Raises ArtifactError for what has no such form: several outputs, linear leaves."""
        header, *blocks = text.split("end of trees", 1)[0].split("\nTree=")
        facts = _pairs(header)
        if facts.get("num_tree_per_iteration") != "1":
            raise ArtifactError("a LightGBM model of several outputs cannot be exported; train one output")
        features = int(facts["max_feature_idx"]) + 1
        trees = tuple(_tree(_pairs(block), features) for block in blocks)
        if not trees:
            raise ArtifactError("a LightGBM model without trees cannot be exported; train it again")
        return cls(trees, features)

    def add(self, graph: OnnxGraph, rows: str) -> str:
        """Nodes for the sum of the leaves of `rows` float64[n, f]; name of float64[n].

        LightGBM's raw score is the sum also where it boosts a random forest, whose answers are means.
        """
        if any((tree.feature >= self.features).any() for tree in self.trees):
            small = graph.compute("LessOrEqual", graph.compute("Abs", rows), graph.value(NEAR_ZERO))
            without = graph.compute("Where", small, graph.value(np.nan), rows)
            rows = graph.compute("Concat", rows, without, axis=1)
        return add_trees(graph, rows, self.trees)

    def cuts(self) -> dict[int, set[float]]:
        """The thresholds of each column, and both sides of what counts as zero where that matters."""
        found: dict[int, set[float]] = {}
        for tree in self.trees:
            for split in set(range(tree.splits)) - set(tree.members):
                column = int(tree.feature[split])
                found.setdefault(column % self.features, set()).add(float(tree.threshold[split]))
                if column >= self.features:
                    found[column % self.features] |= {NEAR_ZERO, -NEAR_ZERO}
        return found


def _pairs(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _tree(block: Mapping[str, str], features: int) -> SplitTree:
    if block.get("is_linear", "0") != "0":
        raise ArtifactError("a LightGBM model with linear_tree cannot be exported; train it without")
    if block["num_leaves"] == "1":
        none = np.empty(0, dtype=np.int64)
        return SplitTree(none, np.empty(0), none, none, none, _floats(block["leaf_value"]))
    kind, threshold = _ints(block["decision_type"]), _floats(block["threshold"])
    counts_as_missing, missing_left = (kind >> 2) & 3, (kind & _MISSING_LEFT) // _MISSING_LEFT
    category = (kind & _CATEGORY) == 1
    # Where nothing counted as missing in training, a missing value is 0.
    missing_left = np.where((counts_as_missing == 0) & ~category, threshold >= 0, missing_left)
    feature = _ints(block["split_feature"])
    return SplitTree(
        np.where((counts_as_missing == _ZERO) & ~category, feature + features, feature),
        np.where(category, 0.0, _past_zero(threshold)),
        np.where(category, 0, missing_left).astype(np.int64),
        _ints(block["left_child"]),
        _ints(block["right_child"]),
        _floats(block["leaf_value"]),
        {int(at): _codes(block, int(threshold[at])) for at in np.flatnonzero(category)},
    )


def _past_zero(thresholds: Floats) -> Floats:
    """A threshold inside of what counts as zero, moved to where all of that lies on the side on which zero lies."""
    inside = np.abs(thresholds) <= NEAR_ZERO
    return np.where(inside, np.where(thresholds < 0, math.nextafter(-NEAR_ZERO, -1), NEAR_ZERO), thresholds)


def _codes(block: Mapping[str, str], which: int) -> tuple[int, ...]:
    """The bits that are set in one of the tree's sets, in words of 32."""
    bounds = _ints(block["cat_boundaries"])
    words = _ints(block["cat_threshold"])[bounds[which] : bounds[which + 1]]
    return tuple(32 * at + bit for at, word in enumerate(words.tolist()) for bit in range(32) if word >> bit & 1)


def _ints(text: str) -> Ints:
    return np.array(text.split(), dtype=np.int64)


def _floats(text: str) -> Floats:
    return np.array(text.split(), dtype=np.float64)
