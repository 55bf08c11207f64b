"""When a model is trained again: which evidence calls for it, and what must hold besides."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from mlplatform.spec._base import Declared
from mlplatform.spec.by_kind import ByKind
from mlplatform.spec.span import Days, DaysOrNone, Seconds

__all__ = [
    "AnyPolicy",
    "CombinedPolicy",
    "DriftPolicy",
    "DriftSignal",
    "NeverPolicy",
    "PerformancePolicy",
    "PerformanceSignal",
    "Policy",
    "SchedulePolicy",
]

Share = Annotated[float, Field(ge=0, le=1)]


class _Signal(Declared):
    """N of the M latest windows, the latest among them."""

    windows: PositiveInt
    """M: how many of the latest windows are looked at."""
    windows_required: PositiveInt
    """N: how many of them must speak for a training, the latest among them."""

    @model_validator(mode="after")
    def _required_windows_exist(self) -> "_Signal":
        if self.windows_required > self.windows:
            raise ValueError(
                f"windows_required is {self.windows_required}, but only windows: {self.windows} are looked at; "
                "such a policy would never retrain"
            )
        return self


class DriftSignal(_Signal):
    """Drift that is heavy and lasts."""

    min_drift_importance: Share = 0.1
    """Share of the model's importance that lies in drifted columns of a window in drift."""
    windows: PositiveInt = 3
    """M: how many of the latest windows are looked at."""
    windows_required: PositiveInt = 2
    """N: how many of them must be in drift, the latest among them."""


class PerformanceSignal(_Signal):
    """Predictions that are worse than the model was when it was promoted, by more than chance explains."""

    max_drop: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Allowed drop of the metric from what the model reached on its test rows. A window is below when the upper edge
    of its interval is."""
    drop: Literal["relative", "absolute"] = "relative"
    """`relative`: `max_drop` is a share of what the model reached; `absolute`: in the unit of the metric."""
    windows: PositiveInt = 3
    """M: how many of the latest mature windows are looked at."""
    windows_required: PositiveInt = 1
    """N: how many of them must be below, the latest among them."""

    def limit(self, expected: float) -> float:
        """The least value of the metric that is no drop; `expected` may be negative."""
        allowed = self.max_drop * abs(expected) if self.drop == "relative" else self.max_drop
        return expected - allowed


class _Policy(Declared):
    """What must hold whatever called for the training."""

    min_new_labelled_rows: Annotated[int, Field(ge=0)] = 1000
    """Rows whose label became known since the champion's training set was frozen."""
    cool_down_days: DaysOrNone = 7
    """Logical days between two retrainings."""
    budget_seconds: Seconds = 1800
    """A retraining that is expected to take longer (as the last one did) is blocked, not started."""
    attempts: PositiveInt = 3
    """How often the training of one decision is started, by healing too, before it waits for a person."""

    @property
    def on_drift(self) -> DriftSignal | None:
        """The drift that calls for a training; None: none does."""
        return None

    @property
    def on_performance(self) -> PerformanceSignal | None:
        """The loss of performance that calls for a training; None: none does."""
        return None

    @property
    def overrules_drift(self) -> bool:
        """Whether labels that show no drop beyond chance silence the drift of their windows."""
        return False

    @property
    def largest_age_days(self) -> float | None:
        """Days after the last training at which another is due whatever was measured; None: none is."""
        return None


class NeverPolicy(_Policy):
    """Decisions are made and recorded, and always say wait."""

    kind: Literal["never"]
    """For a model that people train."""


class SchedulePolicy(_Policy):
    """By the calendar of the data, whatever was measured."""

    kind: Literal["schedule"]
    """Age of the model."""
    every_days: Days
    """Logical days from one training to the next."""
    cool_down_days: DaysOrNone = 0
    """Logical days between two retrainings; `every_days` says it already."""

    @property
    def largest_age_days(self) -> float:
        """`every_days`."""
        return self.every_days


class DriftPolicy(DriftSignal, _Policy):
    """Drift alone never retrains unless it is heavy, lasting and there is news to learn."""

    kind: Literal["drift"]
    """Of the features, weighed by importance."""

    @property
    def on_drift(self) -> DriftSignal:
        """Its own fields."""
        return self


class PerformancePolicy(PerformanceSignal, _Policy):
    """Measured on the labels of served predictions; windows whose labels are still coming do not count."""

    kind: Literal["performance"]
    """Of the served predictions."""

    @property
    def on_performance(self) -> PerformanceSignal:
        """Its own fields."""
        return self


class CombinedPolicy(_Policy):
    """Performance, which counts but waits for labels, or drift until labels have come, or age; whichever is first."""

    kind: Literal["combined"] = "combined"
    """All of them."""
    drift: DriftSignal = DriftSignal()
    """The drift that calls for a training."""
    performance: PerformanceSignal = PerformanceSignal()
    """The loss of performance that does."""
    labels_overrule_drift: bool = True
    """Where labels have come, they decide: drift counts only in windows behind the latest mature one, as long as that
    one is not below."""
    max_age_days: Days | None = 42
    """So many days after the last training the next is due, whatever was measured: a model that is as good as when it
    was promoted may still be worse than a new one would be. `null`: never for its age."""

    @property
    def on_drift(self) -> DriftSignal:
        """`drift`."""
        return self.drift

    @property
    def on_performance(self) -> PerformanceSignal:
        """`performance`."""
        return self.performance

    @property
    def overrules_drift(self) -> bool:
        """`labels_overrule_drift`."""
        return self.labels_overrule_drift

    @property
    def largest_age_days(self) -> float | None:
        """`max_age_days`."""
        return self.max_age_days


_COMBINED_UNLESS_SAID = ByKind(default="combined")
AnyPolicy = NeverPolicy | SchedulePolicy | DriftPolicy | PerformancePolicy | CombinedPolicy
Policy = Annotated[
    AnyPolicy,
    Field(discriminator="kind"),
    _COMBINED_UNLESS_SAID,
    BeforeValidator(_COMBINED_UNLESS_SAID.named),
]
"""As it stands in a declaration; one that names no kind is `combined`."""
