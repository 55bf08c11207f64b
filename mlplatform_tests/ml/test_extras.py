import importlib.util
from importlib.machinery import ModuleSpec
from typing import Any

import pandas as pd
import pytest

from mlplatform.errors import TrainingError
from mlplatform.ml.train import train_candidate
from mlplatform_tests.ml.data import AS_OF, keras_network, torch_network, training


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        (torch_network(), r"candidate torch needs torch, .* pip install 'mlplatform\[torch\]'"),
        (keras_network(), r"candidate keras needs keras and tensorflow, .* pip install 'mlplatform\[keras\]'"),
    ],
)
def test_a_kind_whose_extra_is_missing_says_what_to_install(
    candidate: Any, message: str, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name in ("torch", "keras", "tensorflow") else importlib.util.find_spec(name, package)

    monkeypatch.setattr("mlplatform.ml.extras.find_spec", find)
    with pytest.raises(TrainingError, match=message) as caught:
        train_candidate(rows, candidate, training(), event_time="event_time", as_of=AS_OF)
    assert "\n" not in str(caught.value)
