"""The stored network computes what the learned weights say, whatever the row."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.ml.factors import Embedded
from mlplatform.ml.metrics import Floats
from mlplatform.ml.network_form import CLIP, Inputs, Layers, forward, network_to_onnx
from mlplatform.ml.onnx_scorer import OnnxScorer

CODES = {3: 4}
random = np.random.default_rng(0)
LEARNED = np.column_stack([random.lognormal(3, 2, 500), random.normal(size=500), np.full(500, 7.0), np.arange(500) % 4])
LEARNED[::9, 1] = math.nan
INPUTS = Inputs.of(LEARNED, CODES)
number = st.one_of(st.just(math.nan), st.floats(-1e12, 1e12))
rows_of = st.lists(
    st.tuples(number, number, number, st.sampled_from([0.0, 1.0, 2.0, 3.0, math.nan])), min_size=1, max_size=9
).map(np.array)


def layers_of(*widths: int) -> Layers:
    return [(random.normal(size=pair), random.normal(size=pair[1])) for pair in pairwise(widths)]


LAYERS = layers_of(INPUTS.design(LEARNED).shape[1], 16, 8, 1)
SCORER = OnnxScorer.of(network_to_onnx(INPUTS, LAYERS, Embedded(), []), (0.0,) * 4)


@settings(max_examples=60, deadline=None)
@given(rows_of)
def test_the_graph_computes_what_the_weights_say(rows: Floats) -> None:
    assert SCORER.raw(rows) == pytest.approx(forward(LAYERS, INPUTS.design(rows)), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(rows_of)
def test_a_row_scores_alone_as_among_others(rows: Floats) -> None:
    alone = [float(SCORER.raw(rows[i : i + 1])[0]) for i in range(len(rows))]
    assert alone == pytest.approx(SCORER.raw(rows), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(rows_of)
def test_no_number_however_large_leaves_the_range_that_the_network_learned_on(rows: Floats) -> None:
    design = INPUTS.design(rows)
    assert np.isfinite(design).all()
    assert (np.abs(design) <= CLIP).all()


def test_only_a_column_that_lacked_values_in_training_gets_an_indicator() -> None:
    assert INPUTS.watched == (1,)
    row = np.array([[20.0, math.nan, math.nan, 0.0]])
    assert INPUTS.design(row)[0, 3:].tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]


def test_a_constant_column_says_nothing() -> None:
    rows = LEARNED[:2].copy()
    rows[1] = rows[0]
    rows[1, 2] = 1e9
    assert SCORER.raw(rows)[0] == SCORER.raw(rows)[1]


def test_an_unseen_category_is_scored() -> None:
    assert np.isfinite(SCORER.raw(np.array([[1.0, 1.0, 1.0, math.nan]]))).all()
