"""Counts of what one worker was asked and how long it took, in plain dicts: the hot path's half of `metrics.py`."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

from mlplatform.serving.histogram import SECONDS, Histogram
from mlplatform.serving.laps import Lap, Stage

__all__ = ["SCORING", "Traffic", "route_of"]

Key = TypeVar("Key")

SCORING = frozenset({"/predict", "/score", "/predict_rows", "/v2/models/{name}/infer"})
"""Routes that ask a model. Of the others only the number of requests is kept."""
_EXACT = {
    path: path
    for path in (*SCORING, "/", "/metrics", "/readyz", "/livez", "/healthz", "/openapi.json", "/docs.json", "/v2")
}


def route_of(path: str) -> str:
    """A path as a label: paths that anybody can make up are one route, or the number of series had no bound."""
    found = _EXACT.get(path)
    if found is not None:
        return found
    if path.startswith("/v2/"):
        return "/v2/models/{name}/infer" if path.endswith("/infer") else "/v2"
    return "other"


class Traffic:
    """Written on the event loop only; read from any thread."""

    def __init__(self) -> None:
        self.requests: defaultdict[tuple[str, int], int] = defaultdict(int)
        """By route and status."""
        self.seconds: dict[str, Histogram] = {}
        """By route: from the first byte that the app sees to the last that it has sent."""
        self.stages: dict[tuple[str, Stage], Histogram] = {}
        """By route and stage."""

    def count(self, route: str, status: int, seconds: float, laps: Sequence[Lap]) -> None:
        """One request is over."""
        self.requests[route, status] += 1
        if route not in SCORING:
            return
        _observe(self.seconds, route, seconds)
        spent: dict[Stage, float] = {}
        for stage, began, ended in laps:
            spent[stage] = spent.get(stage, 0.0) + ended - began
        for stage, took in spent.items():
            _observe(self.stages, (route, stage), took)


def _observe(histograms: dict[Key, Histogram], key: Key, value: float) -> None:
    histogram = histograms.get(key)
    if histogram is None:
        histogram = histograms[key] = Histogram(SECONDS)
    histogram.observe(value)
