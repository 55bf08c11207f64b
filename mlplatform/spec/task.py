"""What is learned: yes or no, one of several classes, an amount, an amount at a horizon, or an order."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, model_validator

from mlplatform.spec._base import ColumnName, Declared
from mlplatform.spec.by_kind import ByKind

__all__ = ["BinaryTask", "Costs", "ForecastTask", "MulticlassTask", "RankingTask", "RegressionTask", "Task"]

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


class MulticlassTask(Declared):
    """One of several classes: labels are 0, 1, 2, ... in the order of `classes`; answers are a calibrated probability
    of each, and the likeliest."""

    kind: Literal["multiclass"]
    """One of several classes."""
    classes: Annotated[list[str], Field(min_length=2, max_length=100)]
    """What labels 0, 1, 2, ... are called."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the features that it names."""
        return ()

    @model_validator(mode="after")
    def _classes_differ(self) -> "MulticlassTask":
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes {self.classes} names one twice; labels 0, 1, 2, ... need a name each")
        return self


class RegressionTask(Declared):
    """An amount: labels are numbers, answers are quantiles. One that lies ahead in time, of a series, is a forecast."""

    kind: Literal["regression"]
    """An amount."""
    quantiles: Annotated[list[Level], Field(min_length=3)] = [0.1, _MEDIAN, 0.9]
    """Rising levels around the median; the outer two are the interval."""
    minimum: float | None = None
    """No answer lies below, such as 0 for a price."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the features that it names."""
        return ()

    @model_validator(mode="after")
    def _levels_rise_around_the_median(self) -> "RegressionTask":
        _require_levels(self.quantiles)
        return self


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
        _require_levels(self.quantiles)
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


def _require_levels(quantiles: list[float]) -> None:
    if quantiles != sorted(set(quantiles)) or _MEDIAN not in quantiles[1:-1]:
        raise ValueError(f"quantiles {quantiles} must rise, with 0.5 among those between the outer two")


_BINARY_UNLESS_SAID = ByKind(default="binary")
Task = Annotated[
    BinaryTask | MulticlassTask | RegressionTask | ForecastTask | RankingTask,
    Field(discriminator="kind"),
    _BINARY_UNLESS_SAID,
    BeforeValidator(_BINARY_UNLESS_SAID.named),
]
