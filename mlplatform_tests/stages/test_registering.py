"""A promotion that was killed between the registry and the alias, and is done again."""

from pathlib import Path

import pytest

from mlplatform.home import Home
from mlplatform.resources.tracking import MODEL_FOLDER, Tracking, _experiment
from mlplatform.spec import load_declaration
from mlplatform.stages.champion import _registered_already


def trained(tracking: Tracking, folder: Path, content: str) -> str:
    """A run with a model of this content."""
    client = tracking.client()
    run_id: str = client.create_run(_experiment(client, "fraud")).info.run_id
    folder.mkdir(exist_ok=True)
    (folder / "model.txt").write_text(content)
    client.log_artifacts(run_id, str(folder), MODEL_FOLDER)
    return run_id


@pytest.mark.slow
def test_the_version_that_a_killed_promotion_left_is_found_though_the_model_was_trained_again(
    home: Home, tmp_path: Path
) -> None:
    tracking, uc = Tracking(), load_declaration("fraud")
    champion = tracking.register("fraud", trained(tracking, tmp_path / "model", "trees of before"), {})
    left = tracking.register("fraud", trained(tracking, tmp_path / "model", "trees"), {"candidate": "lightgbm"})
    again, another = (trained(tracking, tmp_path / "model", text) for text in ("trees", "other trees"))

    found = _registered_already(uc, tracking, again, above=champion.version)
    assert found == left
    assert _registered_already(uc, tracking, another, above=champion.version) is None
    assert _registered_already(uc, tracking, again, above=left.version) is None, "it carries the alias already"
    assert tracking.describe(left, {"verdict": "better"}).tags == {"candidate": "lightgbm", "verdict": "better"}
    told = tracking.version("fraud", left.version)
    assert told is not None
    assert told.tags["verdict"] == "better"
