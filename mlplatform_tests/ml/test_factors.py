"""Embedded columns: what is stored computes what was learned, and unknown categories add nothing."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlplatform.ml.factors import Embedded, add_products, products
from mlplatform.ml.model import Model
from mlplatform.ml.network_form import Inputs, forward, network_to_onnx
from mlplatform.ml.onnx_graph import OUTPUT, OnnxGraph
from mlplatform.ml.onnx_scorer import open_session, run_session
from mlplatform.ml.train import train_candidate
from mlplatform_tests.ml.data import AS_OF, torch_network
from mlplatform_tests.ml.task_data import order_rows, order_training, small_trees

RANDOM = np.random.default_rng(0)
EMBEDDED = Embedded((1, 2, 3), (4, 5, 2))
TABLES = [(RANDOM.normal(size=(n + 1, 3)), RANDOM.normal(size=n + 1)) for n in EMBEDDED.counts]
ROWS = np.column_stack([RANDOM.normal(size=30), *(RANDOM.integers(0, n, 30) for n in EMBEDDED.counts)]).astype(float)
ROWS[3, 1] = ROWS[4, 3] = np.nan


def test_the_graph_computes_the_products() -> None:
    graph = OnnxGraph()
    graph.add("Identity", [add_products(graph, EMBEDDED, TABLES)], OUTPUT)
    found = run_session(open_session(graph.build("products", 4)), ROWS)
    assert found == pytest.approx(products(TABLES, EMBEDDED.codes(ROWS)), abs=1e-12)


def test_products_are_those_of_each_pair_and_the_biases() -> None:
    codes = EMBEDDED.codes(ROWS[:1])[0]
    (a, p), (b, q), (c, r) = ((table[code], bias[code]) for (table, bias), code in zip(TABLES, codes, strict=True))
    assert products(TABLES, codes[None])[0] == pytest.approx(a @ b + a @ c + b @ c + p + q + r)


def test_the_network_and_the_products_add_up() -> None:
    inputs = Inputs.of(ROWS, {1: 4, 2: 5, 3: 2}, EMBEDDED.columns)
    layers = [(RANDOM.normal(size=(1, 6)), np.zeros(6)), (RANDOM.normal(size=(6, 1)), np.ones(1))]
    found = run_session(open_session(network_to_onnx(inputs, layers, EMBEDDED, TABLES)), ROWS)
    expected = forward(layers, inputs.design(ROWS)) + products(TABLES, EMBEDDED.codes(ROWS))
    assert found == pytest.approx(expected, abs=1e-12)


def taste_rows() -> pd.DataFrame:
    """Who likes what depends on the pair alone: no single column tells anything."""
    rows = order_rows(requests=900).rename(columns={"item": "movie"})
    person = rows["request_id"] % 30
    right = (person % 3 == rows["movie"] % 3) & (np.random.default_rng(1).random(len(rows)) < 0.7)
    return rows.assign(person=person, label=right.astype(int), item=rows["movie"])


def test_vectors_learn_what_no_column_tells_alone(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the extra torch is not installed")
    rows, base = taste_rows(), order_training()
    features = [*base.features, "person", "movie"]
    candidate = torch_network(embed=["person", "movie"], embedding_width=4, epochs=30, batch_size=256)
    training = base.model_copy(
        update={"features": features, "categorical": ["person", "movie"], "candidates": [candidate]}
    )
    found = train_candidate(rows, candidate, training, event_time="event_time", as_of=AS_OF)
    by_chance = 0.33
    assert found.test.figures["ndcg"].low > 2 * by_chance
    found.model.save(tmp_path)
    again, matrix = Model.load(tmp_path), found.model.matrix(rows.head(100))
    assert (again.predict(matrix) == found.model.predict(matrix)).all()
    # Somebody new: nothing is known of the pair, and the answer is still a number.
    assert np.isfinite(again.predict(again.matrix(rows.head(20).assign(person=999)))).all()


def test_a_candidate_does_not_see_what_it_ignores(tmp_path: Path) -> None:
    rows, candidate = order_rows(), small_trees(ignore=["near"])
    training = order_training(candidate)
    found = train_candidate(rows, candidate, training, event_time="event_time", as_of=AS_OF)
    assert found.model.features == ("near", "popular", "noise")
    assert found.importance["near"] == 0
    matrix = found.model.matrix(rows.head(50))
    moved = matrix + np.array([5.0, 0.0, 0.0])
    assert (found.model.predict(moved) == found.model.predict(matrix)).all()
    found.model.save(tmp_path)
    assert (Model.load(tmp_path).predict(matrix) == found.model.predict(matrix)).all()
    assert (Model.load(tmp_path).explain(matrix) == found.model.explain(matrix)).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ignore": ["nearby"]}, "ignores nearby; allowed are features: near, popular, noise"),
        ({"ignore": ["near", "popular", "noise"]}, "ignores every feature"),
    ],
)
def test_what_cannot_be_ignored_is_said(changes: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        order_training(small_trees(**changes))


def test_only_categories_are_embedded() -> None:
    with pytest.raises(ValueError, match="embeds near; allowed are categorical features"):
        order_training(torch_network(embed=["near"]))
