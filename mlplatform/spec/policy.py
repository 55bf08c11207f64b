"""When a model is trained again."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from mlplatform.spec._base import Declared

__all__ = ["Policy"]

Share = Annotated[float, Field(ge=0, le=1)]


class Policy(Declared):
    """From evidence to a verdict. Drift alone never retrains unless it is heavy, lasting and there is news to learn."""

    kind: Literal["drift", "never"] = "drift"
    """`never`: decisions are made and recorded, and always say wait."""
    min_drift_importance: Share = 0.1
    """Share of the model's importance that lies in drifted columns."""
    windows: PositiveInt = 3
    """M: how many of the latest windows are looked at."""
    windows_required: PositiveInt = 2
    """N: how many of them must be in drift, the latest among them."""
    min_new_labelled_rows: Annotated[int, Field(ge=0)] = 1000
    """Rows whose label became known since the champion's training set was frozen."""
    cool_down_days: Annotated[float, Field(ge=0)] = 7
    """Logical days between two retrainings."""
    budget_seconds: PositiveFloat = 1800
    """A retraining that is expected to take longer (as the last one did) is blocked, not started."""

    @model_validator(mode="after")
    def _required_windows_exist(self) -> "Policy":
        if self.windows_required > self.windows:
            raise ValueError(
                f"windows_required is {self.windows_required}, but only windows: {self.windows} are looked at; "
                "such a policy would never retrain"
            )
        return self
