"""How often one client may ask: a bucket of tokens for each, filled at a steady rate."""

import math
import time
from collections import OrderedDict

__all__ = ["Rate"]

_CLIENTS = 10_000


class Rate:
    """`per_second` requests on average, `burst` at once."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = float(max(1, burst))
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str) -> int:
        """0 if the client may go on now (that counts), else the whole seconds after which it may."""
        now = time.monotonic()
        left, seen = self._buckets.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - seen) * self._per_second)
        allowed = left >= 1
        self._buckets[client] = (left - allowed, now)
        if len(self._buckets) > _CLIENTS:
            # Whoever asked longest ago has the fullest bucket: little is forgotten.
            self._buckets.popitem(last=False)
        return 0 if allowed else math.ceil((1 - left) / self._per_second)
