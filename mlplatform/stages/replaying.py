"""Whether a replay moves the time of a use case: its sensors rest meanwhile."""

from pathlib import Path

from filelock import FileLock, Timeout

from mlplatform.home import Home
from mlplatform.spec import Declaration

__all__ = ["replay_lock", "replaying"]


def replay_lock(home: Home, uc: Declaration) -> Path:
    """The file that a replay holds locked; the kernel lets go of it when the replay ends, however it ends."""
    return home.locks / f"{uc.spec.name}-replay.lock"


def replaying(uc: Declaration) -> bool:
    """Whether somebody holds the lock now."""
    path = replay_lock(Home.current(), uc)
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
