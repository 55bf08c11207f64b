"""Networks of both libraries; each test skips where the library's extra is not installed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from mlplatform.ml.encoding import Encoding
from mlplatform.ml.examples import Examples
from mlplatform.ml.metrics import Floats, auc
from mlplatform.ml.network import Batches, Network, Settings
from mlplatform.ml.network_form import forward
from mlplatform.ml.trainer import Fit, Trainer, trainer_for
from mlplatform_tests.ml.conftest import EXTRAS
from mlplatform_tests.ml.data import CANDIDATES, FEATURES, training


@pytest.fixture(scope="module", params=list(EXTRAS))
def kind(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(EXTRAS[request.param], reason=f"the extra {request.param} is not installed")
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def examples(rows: pd.DataFrame) -> Examples:
    return Examples(Encoding.learn(rows, FEATURES, ["channel"]).matrix(rows), rows["label"].to_numpy())


@pytest.fixture(scope="module")
def prepare(kind: str, examples: Examples, rows: pd.DataFrame) -> Callable[..., tuple[Trainer, Fit]]:
    def prepared(**changes: object) -> tuple[Trainer, Fit]:
        candidate = CANDIDATES[kind](**{"epochs": 3, **changes})
        trainer = trainer_for(candidate, Encoding.learn(rows, FEATURES, ["channel"]), "auc", training().task)
        half = np.arange(len(examples)) < len(examples) // 2
        return trainer, trainer.prepare(examples.at(half), examples.at(~half), 1)

    return prepared


def network_of(kind: str, settings: Settings) -> Network:
    if kind == "torch":
        from mlplatform.ml.torch_network import TorchNetwork

        return TorchNetwork(settings)
    from mlplatform.ml.keras_network import KerasNetwork

    return KerasNetwork(settings)


def stir(kind: str) -> None:
    """Move the library's global random state, which must not matter."""
    if kind == "torch":
        import torch

        torch.manual_seed(99)
    else:
        import keras

        keras.utils.set_random_seed(99)


def test_two_trainings_beside_each_other_give_the_same_bytes_as_one_alone(
    kind: str, prepare: Callable[..., tuple[Trainer, Fit]]
) -> None:
    trainer, fit = prepare()
    alone = fit(trainer.defaults())
    stir(kind)
    with ThreadPoolExecutor(2) as pool:
        others = list(pool.map(fit, [trainer.defaults()] * 2))
    assert {other.content for other in others} == {alone.content}  # type: ignore[attr-defined]


def test_another_seed_gives_another_network(prepare: Callable[..., tuple[Trainer, Fit]]) -> None:
    contents = []
    for seed in (7, 8):
        trainer, fit = prepare(seed=seed, epochs=1)
        contents.append(fit(trainer.defaults()).content)  # type: ignore[attr-defined]
    assert contents[0] != contents[1]


def test_the_copied_weights_score_as_the_library_does(kind: str) -> None:
    network = network_of(kind, Settings((6, 16, 8), 1e-3, 0.5, 0.0, seed=1))
    inputs = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    assert forward(network.layers(), inputs.astype(np.float64)) == pytest.approx(
        scored_by_library(network, inputs), abs=1e-5
    )


def scored_by_library(network: Network, inputs: np.ndarray) -> Floats:
    if hasattr(network, "_model"):
        scores: Floats = network._model.predict(inputs, verbose=0)[:, 0]
        return scores
    import torch

    network._dropout = 0  # type: ignore[attr-defined]
    found: Floats = network._forward(torch.from_numpy(inputs)).detach().numpy()  # type: ignore[attr-defined]
    return found


def test_weights_of_rows_count(kind: str) -> None:
    inputs = np.zeros((64, 2), dtype=np.float32)
    labels = np.array([0, 1] * 32, dtype=np.float32)
    weights = np.where(labels == 1, 3.0, 1.0).astype(np.float32)
    network = network_of(kind, Settings((2, 4), 5e-2, 0.0, 0.0, seed=1))
    for _ in range(25):
        network.learn(Batches(inputs, np.empty((len(labels), 0), dtype=np.int64), labels, weights, 8))
    assert forward(network.layers(), np.zeros((1, 2))) == pytest.approx(np.log(3), abs=0.02)


def test_training_ends_when_passes_do_not_help_and_the_best_weights_are_kept(
    prepare: Callable[..., tuple[Trainer, Fit]], monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[float] = []
    values = iter([0.7, 0.8, 0.6, 0.5, 0.4])
    monkeypatch.setattr("mlplatform.ml.network.ranking_metric", lambda *_: passes.append(next(values)) or passes[-1])
    trainer, fit = prepare(epochs=50, early_stopping_epochs=2)
    stopped = fit(trainer.defaults())
    assert passes == [0.7, 0.8, 0.6, 0.5]
    values = iter([0.7, 0.8])
    trainer, fit = prepare(epochs=2)
    assert fit(trainer.defaults()).content == stopped.content  # type: ignore[attr-defined]


def test_a_network_learns(prepare: Callable[..., tuple[Trainer, Fit]], examples: Examples) -> None:
    trainer, fit = prepare(epochs=15)
    tested = examples.at(np.arange(len(examples)) >= len(examples) // 2)
    assert auc(tested.labels, fit(trainer.defaults()).raw(tested.rows)) > 0.75
