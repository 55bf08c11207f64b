from typing import Any

import pytest

from mlplatform.home import Home
from mlplatform.resources.tracking import Tracking, _experiment
from mlplatform.spec import Declaration, LightGBMCandidate, SearchedCandidate, SklearnCandidate, load_declaration
from mlplatform.stages.trained import search_log
from mlplatform.stages.training_set import AS_OF, CONTENT_SHA256
from mlplatform.stages.warm_start import RECIPE_FILE, WarmStart, champion_params

TREES = LightGBMCandidate(kind="lightgbm", name="trees")
LINEAR = SklearnCandidate(kind="sklearn", name="linear", model="logistic")
FOUND = {"num_leaves": 20, "learning_rate": 0.1}


@pytest.fixture(scope="module")
def uc() -> Declaration:
    return load_declaration("fraud")


def crown(tracking: Tracking, candidate: SearchedCandidate | None) -> None:
    """A champion of that kind, or one whose run kept no recipe."""
    client = tracking.client()
    run_id = client.create_run(_experiment(client, "fraud")).info.run_id
    if candidate is not None:
        content: dict[str, Any] = {"candidate": candidate.model_dump(mode="json"), "params": FOUND}
        client.log_dict(run_id, content, RECIPE_FILE)
    tracking.make_champion("fraud", tracking.register("fraud", run_id, {}).version)


@pytest.mark.slow
def test_a_search_begins_with_the_parameters_of_a_champion_of_its_kind_and_says_so(home: Home, uc: Declaration) -> None:
    tracking, notes = Tracking(), list[str]()
    assert champion_params(uc, TREES, tracking, notes.append) is None
    assert notes == []

    crown(tracking, TREES)
    assert champion_params(uc, TREES, tracking, notes.append) == WarmStart(1, FOUND)
    assert champion_params(uc, LINEAR, tracking, notes.append) is None
    cold = TREES.model_copy(update={"tuning": TREES.tuning.model_copy(update={"warm_start": False})})
    assert champion_params(uc, cold, tracking, notes.append) is None

    crown(tracking, LINEAR)
    assert champion_params(uc, LINEAR, tracking, notes.append) == WarmStart(2, FOUND)
    forest = LINEAR.model_copy(update={"model": "random_forest"})
    assert champion_params(uc, forest, tracking, notes.append) is None

    crown(tracking, None)
    assert champion_params(uc, TREES, tracking, notes.append) is None
    assert [note.split(":")[0] for note in notes] == [
        "warm start",
        "no warm start",
        "warm start",
        "no warm start",
        "no warm start",
    ]
    assert notes[1] == "no warm start: champion v1 is lightgbm"
    assert "holds no recipe.json" in notes[4]


def test_a_search_with_another_warm_start_is_another_search(home: Home, uc: Declaration) -> None:
    frozen = {CONTENT_SHA256: "ff", AS_OF: "2018-08-15"}
    logs = [search_log(uc, TREES, frozen, warm) for warm in (None, WarmStart(1, FOUND), WarmStart(1, {"C": 1}))]
    assert len(set(logs)) == 3
    assert search_log(uc, TREES, frozen, WarmStart(2, FOUND)) == logs[1]
