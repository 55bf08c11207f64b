"""What a gain may be at least, when chance is taken off."""

import numpy as np

__all__ = ["SURE", "lower_edge"]

SURE = 0.95
"""How sure a gain must be more than chance before a policy is recommended for it."""


def lower_edge(pairs: np.ndarray) -> float:
    """Of the mean difference, one-sided by Student's t: `pairs` holds a difference and its rows per window."""
    if len(pairs) < 2:
        return float("-inf")
    from scipy import stats

    different, weight = pairs[:, 0], pairs[:, 1] / pairs[:, 1].sum()
    mean, degrees = float(weight @ different), len(pairs) - 1
    error = float(np.sqrt((weight**2) @ (different - mean) ** 2 * len(pairs) / degrees))
    return mean - float(stats.t.ppf(SURE, degrees)) * error
