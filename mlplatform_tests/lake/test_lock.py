from pathlib import Path

import pytest

from mlplatform.errors import LakeBusyError
from mlplatform.lake.lock import write_lock


def test_a_held_lock_is_refused_with_the_time_waited_and_the_file(tmp_path: Path) -> None:
    with (
        write_lock(tmp_path),
        pytest.raises(LakeBusyError, match=r"writing to the lake for 1 s \(lock .*lake\.lock\)"),
        write_lock(tmp_path, timeout=1.0),
    ):
        pass


def test_a_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), write_lock(tmp_path):
        raise ValueError("mine")
    with write_lock(tmp_path, timeout=1.0):
        pass
