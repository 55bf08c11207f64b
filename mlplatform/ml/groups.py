"""Groups of rows, such as all rows of one person, dealt into shares by a hash that is the same on every machine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mlplatform.errors import TrainingError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Groups", "positions"]


@dataclass(frozen=True)
class Groups:
    """The groups whose position, drawn evenly from [0, 1) by their key and the seed, lies in [low, high)."""

    key: str
    """Column that names the group."""
    seed: int
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.high - self.low:.0%} of the groups by {self.key}"

    def holds(self, keys: pd.Series) -> npt.NDArray[np.bool_]:
        """Which rows, told by the key of each, lie inside; bool[n]. Raises TrainingError when a row has no key."""
        where = positions(keys, self.seed)
        return (where >= self.low) & (where < self.high)


def positions(keys: pd.Series, seed: int) -> npt.NDArray[np.float64]:
    """An even draw from [0, 1) for each key, float64[n]: BLAKE2b of the seed and the key's text.

    It knows nothing of the other rows, so a group stays where it is whatever comes or goes. Raises TrainingError when
    a row has no key.
    """
    import pandas as pd

    codes, groups = pd.factorize(keys)
    if (codes < 0).any():
        raise TrainingError(f"{int((codes < 0).sum())} rows have no {keys.name}, by which the rows are split; fill it")
    drawn = np.fromiter((_position(f"{seed}:{group}") for group in groups), np.float64, len(groups))
    return drawn[codes] if len(drawn) else np.zeros(0)


def _position(text: str) -> float:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53
