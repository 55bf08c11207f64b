"""One trained model of each kind, fitted once for all tests that only read them."""

from collections.abc import Mapping

import pandas as pd
import pytest

from mlplatform.ml.ensemble import train_ensemble
from mlplatform.ml.train import TrainedCandidate, train_candidate
from mlplatform.spec.candidate import EnsembleCandidate
from mlplatform_tests.ml.data import AS_OF, CANDIDATES, labelled_rows, training

EXTRAS = {"torch": "torch", "keras": "tensorflow"}


@pytest.fixture(scope="session")
def rows() -> pd.DataFrame:
    return labelled_rows()


@pytest.fixture(scope="session")
def trained_trees(rows: pd.DataFrame) -> TrainedCandidate:
    return train("trees", rows)


@pytest.fixture(scope="session")
def trained_linear(rows: pd.DataFrame) -> TrainedCandidate:
    return train("linear", rows)


@pytest.fixture(scope="session")
def trained_blend(
    rows: pd.DataFrame, trained_trees: TrainedCandidate, trained_linear: TrainedCandidate
) -> TrainedCandidate:
    return blend(rows, {"trees": trained_trees, "linear": trained_linear})


@pytest.fixture(scope="session", params=[*CANDIDATES, "blend"])
def trained(request: pytest.FixtureRequest, rows: pd.DataFrame) -> TrainedCandidate:
    """Each kind in turn."""
    name = request.param
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name], reason=f"the extra {name} is not installed")
    if name in ("trees", "linear", "blend"):
        found: TrainedCandidate = request.getfixturevalue(f"trained_{name}")
        return found
    return train(name, rows)


def train(name: str, rows: pd.DataFrame) -> TrainedCandidate:
    return train_candidate(rows, CANDIDATES[name](), training(), event_time="event_time", as_of=AS_OF)


def blend(rows: pd.DataFrame, members: Mapping[str, TrainedCandidate]) -> TrainedCandidate:
    candidate = EnsembleCandidate(name="blend", kind="ensemble")
    models = {name: member.model for name, member in members.items()}
    return train_ensemble(rows, candidate, models, training(), event_time="event_time", as_of=AS_OF)
