"""What a deployment leaves of a challenge."""

import pytest

from mlplatform.home import Home
from mlplatform.serving.challenger import Challenger, challenger_file, write_challenger
from mlplatform.serving.pointer import Pointer
from mlplatform.stages.deployment import _end_challenge


@pytest.mark.parametrize(("challenger", "ends"), [("1", True), ("2", False)])
def test_a_version_that_becomes_champion_challenges_no_more(home: Home, challenger: str, ends: bool) -> None:
    pointer = home.deployment("fraud")
    pointer.parent.mkdir(parents=True, exist_ok=True)
    file = challenger_file(pointer)
    write_challenger(file, Challenger("fraud", f"fraud:v{challenger}", challenger, "x", "canary", 0.5, "2018-08-01"))
    live = Pointer("fraud", "fraud:v1", "1", "y", "2018-08-01T00:00:00")
    assert _end_challenge(pointer, live) is ends
    assert file.exists() is not ends
