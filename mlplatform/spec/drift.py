"""How windows are compared with the rows a model was trained on."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from mlplatform.spec._base import Declared
from mlplatform.spec.span import WindowDays

__all__ = ["Drift"]

Share = Annotated[float, Field(ge=0, le=1)]


class Drift(Declared):
    """One fixed test per column, corrected over the columns, and an effect size that must be reached too."""

    window_days: WindowDays = 7
    """Length of a window."""
    numeric_test: Literal["ks"] = "ks"
    """Kolmogorov-Smirnov."""
    categorical_test: Literal["chisquare"] = "chisquare"
    """Chi-square."""
    correction: Literal["holm", "benjamini_hochberg"] = "holm"
    """For testing many columns at once."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """A corrected p-value below this, together with `min_effect`, is drift."""
    min_rows: PositiveInt = 500
    """Below this many rows in either sample there is no verdict."""
    min_effect: Share = 0.1
    """Distance (Kolmogorov-Smirnov, or total variation for categories) below which a difference is not drift."""
    sample_rows: PositiveInt = 5000
    """Rows of the reference sample in the bento; of a window, rows that are scored and that Evidently's page shows. The
    tests of the columns see all rows of a window."""
    explained_rows: PositiveInt = 1000
    """Of these, rows of either sample whose scores are explained; an explanation costs about a hundred scores."""

    @model_validator(mode="after")
    def _samples_are_enough_for_a_verdict(self) -> "Drift":
        for name in ("sample_rows", "explained_rows"):
            if (rows := getattr(self, name)) < self.min_rows:
                raise ValueError(
                    f"{name} is {rows}, but fewer than min_rows ({self.min_rows}) rows give no verdict; raise {name}"
                )
        return self
