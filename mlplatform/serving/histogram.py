"""A histogram as plain Python objects; `metrics.py` shows it to Prometheus.

Below `bentoml serve` those of prometheus_client write each value to a memory-mapped file, wanted or not.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

__all__ = ["ROWS", "SECONDS", "Histogram"]

SECONDS = tuple(
    milliseconds / 1000
    for milliseconds in (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 6, 8, 10, 15, 20, 30, 40, 60, 100, 250, 500, 1000, 2500, 5000)
)
"""Upper bounds for latencies; /score promises something at 20 and at 60 ms, so there is a bound at both."""
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Upper bounds for sizes of batches."""


class Histogram:
    """Counts values by upper bound, inclusive. Written by one thread; any thread may read."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds`: ascending; what is larger than the last is counted, too."""
        self._bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def cumulated(self) -> Iterator[tuple[str, int]]:
        """Upper bound, as Prometheus writes it, and how many values reach no further."""
        bounds = (*(repr(float(bound)) for bound in self._bounds), "+Inf")
        return zip(bounds, accumulate(list(self.counts)), strict=True)
