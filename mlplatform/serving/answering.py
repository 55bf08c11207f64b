"""What one loaded model says to one parsed request, by features or by key."""

from collections.abc import Sequence
from dataclasses import asdict
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from mlplatform.errors import ArtifactError
from mlplatform.serving.laps import lap
from mlplatform.serving.presence import in_turn
from mlplatform.serving.request import Parsed, RefusedError
from mlplatform.serving.rows import MAX_PROBLEMS, Problem
from mlplatform.serving.scoring import Answered, Live

__all__ = ["INLINE_ROWS", "answer", "answered_rows", "answered_without_asking", "is_by_key", "read_rows", "refuse_rows"]

INLINE_ROWS = 16
"""Beyond this many rows scoring leaves the event loop: short requests must not wait behind long ones."""


async def answer(live: Live, request: Parsed) -> Answered:
    """The answer that goes out.

    Raises RefusedError if the request is not one for this model, GoneError if its client did not wait until it was
    begun, and as `Live.score` does.
    """
    if is_by_key(live, request):
        # Some hundred rows are scored for one request, beside the event loop.
        found = await in_turn(live.look_up, request.rows[0], request.explain)
        if isinstance(found, str):
            raise RefusedError(422, found)
        return found
    matrix = read_rows(live, request)
    if len(request.rows) <= INLINE_ROWS:
        return answered_rows(request, live.score(request.rows, matrix, request.explain))
    # Reasons take twenty times what scores do; whoever wants none must not wait behind them.
    long = request.explain is True
    return answered_rows(request, await in_turn(live.score, request.rows, matrix, request.explain, long=long))


def answered_without_asking(live: Live, request: Parsed) -> Answered:
    """The same, blocking, of a request that another model has answered already.

    Raises ArtifactError if this one cannot.
    """
    if is_by_key(live, request):
        found = live.look_up(request.rows[0], request.explain)
        if isinstance(found, str):
            raise ArtifactError(found)
        return found
    matrix, problems = live.reader.read(request.rows)
    if problems:
        raise ArtifactError(f"its contract refuses what the champion's takes: {problems[0]}")
    return answered_rows(request, live.score(request.rows, matrix, request.explain))


def is_by_key(live: Live, request: Parsed) -> bool:
    """Whether a request names a key instead of features."""
    lookup = live.bundle.lookup
    return request.single and lookup is not None and lookup.speaks_of(request.rows[0], live.bundle.model.features)


def read_rows(live: Live, request: Parsed) -> npt.NDArray[np.float64]:
    """The matrix, float64[n, f]; raises RefusedError with all that is wrong."""
    began = perf_counter()
    matrix, problems = live.reader.read(request.rows)
    lap("parse", began)
    if problems:
        raise refuse_rows(problems)
    return matrix


def answered_rows(request: Parsed, predictions: Sequence[dict[str, Any]]) -> Answered:
    """One object in, one prediction out; rows in, a list out."""
    content = predictions[0] if request.single else {"predictions": predictions}
    return Answered(content, request.rows, request.rows, predictions)


def refuse_rows(problems: list[Problem], noun: str = "rows", status: int = 422) -> RefusedError:
    """What a client gets for rows that break the rules: all that is wrong with them."""
    count = f"{MAX_PROBLEMS} or more" if len(problems) == MAX_PROBLEMS else str(len(problems))
    what = "problem" if count == "1" else "problems"
    return RefusedError(status, f"{count} {what} in the {noun}", problems=[asdict(problem) for problem in problems])
