"""What is learned: yes or no, an amount at a horizon, or an order."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, model_validator

from mlplatform.spec._base import ColumnName, Declared
from mlplatform.spec.by_kind import ByKind

__all__ = ["BinaryTask", "Costs", "ForecastTask", "RankingTask", "Task"]

Level = Annotated[float, Field(gt=0, lt=1)]
_MEDIAN = 0.5


class Costs(Declared):
    """What a wrong decision costs, in any one unit; the threshold follows from the ratio (Elkan, 2001)."""

    false_positive: PositiveFloat
    """A negative that is decided positive."""
    false_negative: PositiveFloat
    """A positive that is missed."""


class BinaryTask(Declared):
    """Yes or no: labels are 0 or 1, answers are calibrated probabilities and a decision."""

    kind: Literal["binary"] = "binary"
    """Yes or no."""
    costs: Costs
    """What mistakes cost."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the features that it names."""
        return ()


class ForecastTask(Declared):
    """An amount, some steps ahead: one row for each series, origin (the event time) and horizon; labels are numbers,
    answers are quantiles."""

    kind: Literal["forecast"]
    """An amount, some steps ahead."""
    series: ColumnName
    """Column of the features that names the series."""
    horizon: ColumnName
    """Column of the features: how many steps ahead the row looks."""
    naive: ColumnName
    """Column of the features with the seasonal-naive forecast, such as the last known value of the same weekday: what
    models must beat."""
    scale: ColumnName
    """Column of the features with the mean absolute error of that forecast up to the origin: the unit of MASE."""
    quantiles: Annotated[list[Level], Field(min_length=3)] = [0.1, _MEDIAN, 0.9]
    """Rising levels around the median; the outer two are the interval."""
    anchor: ColumnName | None = None
    """A feature that forecasts start from: models learn the difference to it. Trees cannot follow a level that they
    have not seen."""
    minimum: float | None = None
    """No answer lies below, such as 0 for sales."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the features that it names."""
        return self.series, self.horizon, self.naive, self.scale

    @model_validator(mode="after")
    def _levels_rise_around_the_median(self) -> "ForecastTask":
        if self.quantiles != sorted(set(self.quantiles)) or _MEDIAN not in self.quantiles[1:-1]:
            raise ValueError(f"quantiles {self.quantiles} must rise, with 0.5 among those between the outer two")
        return self


class RankingTask(Declared):
    """An order: one row for each request and candidate; labels are 1 where the candidate was right, else 0; the answer
    is the order of the candidates."""

    kind: Literal["ranking"]
    """An order."""
    query: ColumnName
    """Column of the features that names the request."""
    item: ColumnName
    """Column of the features that names the candidate."""
    k: PositiveInt = 10
    """How many of the first places count."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the features that it names."""
        return self.query, self.item


_BINARY_UNLESS_SAID = ByKind(default="binary")
Task = Annotated[
    BinaryTask | ForecastTask | RankingTask,
    Field(discriminator="kind"),
    _BINARY_UNLESS_SAID,
    BeforeValidator(_BINARY_UNLESS_SAID.named),
]
