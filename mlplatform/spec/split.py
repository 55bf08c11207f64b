"""Who learns from which rows, and who is judged on which."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from mlplatform.spec._base import ColumnName, Declared
from mlplatform.spec.by_kind import ByKind

__all__ = ["Split", "SplitByGroup", "SplitByTime"]


class SplitByTime(Declared):
    """Time-ordered: train | gap | tune | gap | out-of-time test, all days counted back from `as_of`.

    The gap is the label delay: a model that is scored on day d could have used only labels known by then.
    The test window ends `label_delay_days` before `as_of`, so that all of its labels have arrived.
    """

    kind: Literal["time"] = "time"
    """Learn from the past, be judged on what came after; the default."""
    label_delay_days: Annotated[int, Field(ge=0)]
    """Days until a label is known, and the length of each gap."""
    train_days: PositiveInt
    """Days that models are fitted on."""
    tune_days: PositiveInt
    """Days for early stopping and calibration."""
    test_days: PositiveInt
    """Days that no model has seen; candidates and champion are compared on them."""
    folds: Annotated[int, Field(ge=2, le=20)] = 3
    """Time-ordered cross-validation folds inside the train window, for the search."""

    @property
    def span_days(self) -> int:
        """Days from the first training row to `as_of`: three parts and three gaps."""
        return self.train_days + self.tune_days + self.test_days + 3 * self.label_delay_days

    @property
    def group(self) -> str | None:
        """Rows count as independent of each other."""
        return None


class SplitByGroup(Declared):
    """By a hash of a key, such as the person: all rows of one group lie in one part, at whatever time they happened.

    For labels that take years, where no training set could end before the test begins. The part of a group depends on
    its key, the seed and the shares alone: new rows and new groups move nobody.
    """

    kind: Literal["group"]
    """Learn from some groups, be judged on others."""
    key: ColumnName
    """Column of the features that names the group."""
    tune_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the groups for early stopping and calibration."""
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the groups that no model has seen; the rest is for training."""
    folds: Annotated[int, Field(ge=2, le=20)] = 3
    """Cross-validation folds of the training groups, for the search."""
    seed: int = 7
    """Another seed deals the groups anew, and a champion of the old seed can no longer be judged fairly."""

    @property
    def group(self) -> str | None:
        """Column whose rows of one value belong together."""
        return self.key

    @model_validator(mode="after")
    def _something_is_left_to_learn_from(self) -> "SplitByGroup":
        if self.tune_share + self.test_share >= 1:
            raise ValueError(
                f"tune_share {self.tune_share} and test_share {self.test_share} leave no group to train on; "
                "together they must stay below 1"
            )
        return self


_BY_TIME_UNLESS_SAID = ByKind(default="time")
Split = Annotated[
    SplitByTime | SplitByGroup,
    Field(discriminator="kind"),
    _BY_TIME_UNLESS_SAID,
    BeforeValidator(_BY_TIME_UNLESS_SAID.named),
]
