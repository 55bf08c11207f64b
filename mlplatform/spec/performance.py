"""How served predictions are judged when their labels arrive."""

from typing import Annotated

from pydantic import Field, PositiveInt

from mlplatform.spec._base import Declared
from mlplatform.spec.span import WindowDays

__all__ = ["Performance"]


class Performance(Declared):
    """Windows of predictions by event time; a window is mature when its labels had time to come and most came."""

    window_days: WindowDays = 7
    """Length of a window."""
    min_labelled: PositiveInt = 200
    """Labelled predictions below which a window has no verdict."""
    min_coverage: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Share of a window's predictions whose label is known below which it stays provisional."""
