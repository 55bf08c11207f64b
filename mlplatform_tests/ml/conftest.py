"""Two trained models, fitted once for all tests that only read them."""

import pandas as pd
import pytest

from mlplatform.ml.train import TrainedCandidate, train_candidate
from mlplatform_tests.ml.data import AS_OF, labelled_rows, linear, training, trees


@pytest.fixture(scope="session")
def rows() -> pd.DataFrame:
    return labelled_rows()


@pytest.fixture(scope="session")
def trained_trees(rows: pd.DataFrame) -> TrainedCandidate:
    return train_candidate(rows, trees(), training(), event_time="event_time", as_of=AS_OF)


@pytest.fixture(scope="session")
def trained_linear(rows: pd.DataFrame) -> TrainedCandidate:
    return train_candidate(rows, linear(), training(), event_time="event_time", as_of=AS_OF)


@pytest.fixture(scope="session", params=["trees", "linear"])
def trained(request: pytest.FixtureRequest) -> TrainedCandidate:
    """Each kind in turn."""
    found: TrainedCandidate = request.getfixturevalue(f"trained_{request.param}")
    return found
