from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import ndcg_score

from mlplatform.errors import TrainingError
from mlplatform.ml.compare import compare
from mlplatform.ml.metrics import query_figures
from mlplatform.ml.model import Model
from mlplatform.ml.task_plots import task_pictures
from mlplatform.ml.train import TrainedCandidate, train_candidate
from mlplatform_tests.ml.data import AS_OF, linear
from mlplatform_tests.ml.task_data import order_rows, order_training, small_trees

KINDS = {"trees": small_trees(), "linear": linear()}


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return order_rows()


@pytest.fixture(scope="module")
def trained(rows: pd.DataFrame) -> dict[str, TrainedCandidate]:
    return {
        name: train_candidate(rows, candidate, order_training(candidate), event_time="event_time", as_of=AS_OF)
        for name, candidate in KINDS.items()
    }


def in_test(rows: pd.DataFrame) -> pd.DataFrame:
    start = AS_OF - pd.Timedelta(days=16)
    return rows[(rows["event_time"] >= start) & (rows["event_time"] < AS_OF - pd.Timedelta(days=1))]


@pytest.mark.parametrize("kind", list(KINDS))
def test_what_is_near_and_popular_comes_first(trained: dict[str, TrainedCandidate], kind: str) -> None:
    found = trained[kind]
    by_chance = 0.29
    assert found.test.figures["ndcg"].low > by_chance + 0.1
    assert list(found.importance)[-1] == "noise"


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_order_of_the_rows_does_not_matter(
    rows: pd.DataFrame, trained: dict[str, TrainedCandidate], kind: str
) -> None:
    shuffled = rows.sample(frac=1, random_state=3)
    again = train_candidate(shuffled, KINDS[kind], order_training(KINDS[kind]), event_time="event_time", as_of=AS_OF)
    assert again.test.figures["ndcg"] == trained[kind].test.figures["ndcg"]


def test_a_stored_order_is_the_same(trained: dict[str, TrainedCandidate], rows: pd.DataFrame, tmp_path: Path) -> None:
    model = trained["trees"].model
    model.save(tmp_path)
    again, matrix = Model.load(tmp_path), model.matrix(rows.head(200))
    assert (again.predict(matrix) == model.predict(matrix)).all()
    assert again.head.describe(again.predict(matrix[:1])) == [{"score": pytest.approx(float(model.predict(matrix)[0]))}]


def test_orders_have_no_calibration_gate(trained: dict[str, TrainedCandidate], rows: pd.DataFrame) -> None:
    models = {name: found.model for name, found in trained.items()}
    training = order_training(*KINDS.values(), max_latency_ms=500)
    found = compare(models, None, in_test(rows), training, event_time="event_time")
    assert [gate.name for gate in found.challengers[0].gates] == ["metric_floor", "incumbent", "slices", "latency"]
    assert found.winner is not None
    assert found.verdict.startswith(f"promoted candidate {found.winner}: ndcg 0.")


def test_requests_without_anything_right_are_an_error(rows: pd.DataFrame) -> None:
    candidate = small_trees()
    wrong = rows.assign(label=0)
    with pytest.raises(TrainingError, match=r"the train part, .* requests, none with both right and wrong candidates"):
        train_candidate(wrong, candidate, order_training(candidate), event_time="event_time", as_of=AS_OF)


queries = st.lists(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(-1000, 1000)), min_size=2, max_size=15, unique_by=lambda row: row[1]
    ),
    min_size=1,
    max_size=8,
)


@given(queries, st.integers(1, 12))
@settings(max_examples=80, deadline=None)
def test_ndcg_and_recall_are_those_of_scikit_learn_and_of_their_definition(
    requests: list[list[tuple[int, int]]], k: int
) -> None:
    labels = np.array([label for request in requests for label, _ in request])
    scores = np.array([float(score) for request in requests for _, score in request])
    numbers = np.repeat(np.arange(len(requests)), [len(request) for request in requests])
    found = query_figures(labels, scores, numbers, k)
    telling = [n for n in range(len(requests)) if labels[numbers == n].any()]
    if not telling:
        assert np.isnan(found["ndcg"](None))
        return
    each = [ndcg_score(labels[None, numbers == n], scores[None, numbers == n], k=k) for n in telling]
    assert found["ndcg"](None) == pytest.approx(np.mean(each))
    recalls = []
    for n in telling:
        of_query = labels[numbers == n]
        best = np.argsort(-scores[numbers == n])[:k]
        recalls.append(of_query[best].sum() / of_query.sum())
    assert found["recall"](None) == pytest.approx(np.mean(recalls))


@given(queries, st.data())
@settings(max_examples=60, deadline=None)
def test_a_weight_counts_a_request_as_if_it_came_so_often(
    requests: list[list[tuple[int, int]]], data: st.DataObject
) -> None:
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(requests), max_size=len(requests)))
    labels = np.array([label for request in requests for label, _ in request])
    scores = np.array([float(score) for request in requests for _, score in request])
    numbers = np.repeat(np.arange(len(requests)), [len(request) for request in requests])
    weighted = query_figures(labels, scores, numbers, 5)["ndcg"](np.asarray(counts, dtype=float)[numbers])
    copies = [(n, copy) for n, count in enumerate(counts) for copy in range(count)]
    if not copies:
        assert np.isnan(weighted)
        return
    rows = np.concatenate([np.flatnonzero(numbers == n) for n, _ in copies])
    again = np.concatenate([np.full((numbers == n).sum(), i) for i, (n, _) in enumerate(copies)])
    repeated = query_figures(labels[rows], scores[rows], again, 5)["ndcg"](None)
    assert weighted == pytest.approx(repeated, nan_ok=True)


def test_an_order_has_pictures(trained: dict[str, TrainedCandidate], rows: pd.DataFrame) -> None:
    test = in_test(rows)
    model = trained["trees"].model
    for png in task_pictures(order_training(), test, model.predict(model.matrix(test)), "event_time").values():
        assert Image.open(BytesIO(png)).width == 650
