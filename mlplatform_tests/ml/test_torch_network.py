from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from mlplatform.ml.encoding import Encoding
from mlplatform.ml.examples import Examples
from mlplatform.ml.network_form import forward
from mlplatform.ml.trainer import Fit, Trainer, trainer_for
from mlplatform_tests.ml.data import FEATURES, torch_network

torch = pytest.importorskip("torch", reason="the extra torch is not installed")


@pytest.fixture(scope="module")
def examples(rows: pd.DataFrame) -> Examples:
    return Examples(Encoding.learn(rows, FEATURES, ["channel"]).matrix(rows), rows["label"].to_numpy())


def prepared(examples: Examples, rows: pd.DataFrame, **changes: object) -> tuple[Trainer, Fit]:
    candidate = torch_network(**{"epochs": 3, **changes})
    trainer = trainer_for(candidate, Encoding.learn(rows, FEATURES, ["channel"]), "auc")
    half = np.arange(len(examples)) < len(examples) // 2
    return trainer, trainer.prepare(examples.at(half), examples.at(~half), 1)


def test_two_trainings_beside_each_other_give_the_same_bytes_as_one_alone(
    examples: Examples, rows: pd.DataFrame
) -> None:
    trainer, fit = prepared(examples, rows)
    alone = fit(trainer.defaults())
    torch.manual_seed(99)
    with ThreadPoolExecutor(2) as pool:
        others = list(pool.map(fit, [trainer.defaults()] * 2))
    assert {other.content for other in others} == {alone.content}  # type: ignore[attr-defined]


def test_another_seed_gives_another_network(examples: Examples, rows: pd.DataFrame) -> None:
    contents = []
    for seed in (7, 8):
        trainer, fit = prepared(examples, rows, seed=seed)
        contents.append(fit(trainer.defaults()).content)  # type: ignore[attr-defined]
    assert contents[0] != contents[1]


def test_the_copied_weights_score_as_torch_does() -> None:
    from mlplatform.ml.network import Settings
    from mlplatform.ml.torch_network import TorchNetwork

    network = TorchNetwork(Settings((6, 16, 8), 1e-3, 0.0, 0.0, seed=1))
    inputs = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    expected = network._forward(torch.from_numpy(inputs)).detach().numpy()
    assert forward(network.layers(), inputs.astype(np.float64)) == pytest.approx(expected, abs=1e-5)


def test_training_ends_when_passes_do_not_help_and_the_best_weights_are_kept(
    examples: Examples, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[float] = []
    values = iter([0.7, 0.8, 0.6, 0.5, 0.4])
    monkeypatch.setattr("mlplatform.ml.network.ranking_metric", lambda *_: passes.append(next(values)) or passes[-1])
    trainer, fit = prepared(examples, rows, epochs=50, early_stopping_epochs=2)
    stopped = fit(trainer.defaults())
    assert passes == [0.7, 0.8, 0.6, 0.5]
    monkeypatch.undo()
    trainer, fit = prepared(examples, rows, epochs=2)
    assert fit(trainer.defaults()).content == stopped.content  # type: ignore[attr-defined]


def test_a_network_learns(examples: Examples, rows: pd.DataFrame) -> None:
    from mlplatform.ml.metrics import auc

    trainer, fit = prepared(examples, rows, epochs=15)
    half = np.arange(len(examples)) >= len(examples) // 2
    tested = examples.at(half)
    assert auc(tested.labels, fit(trainer.defaults()).log_odds(tested.rows)) > 0.75
