"""Who learns from which rows, and who is judged on which."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from mlplatform.spec._base import ColumnName, Declared
from mlplatform.spec.by_kind import ByKind
from mlplatform.spec.folds import FoldsInTime, FoldsOfGroups, GroupFolds, RollingOriginFolds, TimeFolds
from mlplatform.spec.span import LONGEST_DAYS, WholeDays, WholeDaysOrNone

__all__ = ["Split", "SplitByGroup", "SplitByTime"]


class SplitByTime(Declared):
    """Time-ordered: train | gap | tune | gap | out-of-time test, all days counted back from `as_of`.

    The gap is the label delay: a model that is scored on day d could have used only labels known by then.
    The test window ends `label_delay_days` before `as_of`, so that all of its labels have arrived.
    """

    kind: Literal["time"] = "time"
    """Learn from the past, be judged on what came after; the default."""
    label_delay_days: WholeDaysOrNone
    """Days until a label is known, and the length of each gap. Rows whose label came later are left out; more than 5 %
    of a part stop the training."""
    train_days: WholeDays
    """Days that models are fitted on."""
    tune_days: WholeDays
    """Days for early stopping and calibration."""
    test_days: WholeDays
    """Days that no model has seen; candidates and champion are compared on them."""
    cross_validation: FoldsInTime = TimeFolds()
    """Folds of the train part, for the search."""

    @property
    def span_days(self) -> int:
        """Days from the first training row to `as_of`: three parts and three gaps."""
        return self.train_days + self.tune_days + self.test_days + 3 * self.label_delay_days

    @property
    def delay_days(self) -> int:
        """Days until a label is known."""
        return self.label_delay_days

    @property
    def group(self) -> str | None:
        """Rows count as independent of each other."""
        return None

    @property
    def keys(self) -> list[str]:
        """Columns of the features that name groups."""
        folds = self.cross_validation
        return [folds.key] if isinstance(folds, GroupFolds) and folds.key else []

    @model_validator(mode="after")
    def _a_calendar_holds_it(self) -> "SplitByTime":
        if self.span_days > LONGEST_DAYS:
            raise ValueError(
                f"the three parts and their gaps take {self.span_days} days together; {LONGEST_DAYS} is the most"
            )
        return self

    @model_validator(mode="after")
    def _folds_are_possible(self) -> "SplitByTime":
        declared = self.cross_validation
        if isinstance(declared, GroupFolds) and declared.key is None:
            raise ValueError("cross_validation of kind group needs `key`, the column that names the group")
        needed = declared.folds * self.test_days + self.label_delay_days
        if isinstance(declared, RollingOriginFolds) and self.train_days <= needed:
            raise ValueError(
                f"{declared.folds} folds of test_days {self.test_days} and a gap of label_delay_days "
                f"{self.label_delay_days} leave nothing of train_days {self.train_days} to learn from; raise it above "
                f"{needed} or declare fewer folds"
            )
        return self


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
    cross_validation: FoldsOfGroups = GroupFolds()
    """Folds of the train part, for the search."""
    seed: int = 7
    """Another seed deals the groups anew, and a champion of the old seed can no longer be judged fairly."""

    @property
    def delay_days(self) -> int:
        """Nothing here goes by it."""
        return 0

    @property
    def group(self) -> str | None:
        """Column whose rows of one value belong together."""
        return self.key

    @property
    def keys(self) -> list[str]:
        """Columns of the features that name groups."""
        return [self.key]

    @model_validator(mode="after")
    def _something_is_left_to_learn_from(self) -> "SplitByGroup":
        if self.tune_share + self.test_share >= 1:
            raise ValueError(
                f"tune_share {self.tune_share} and test_share {self.test_share} leave no group to train on; "
                "together they must stay below 1"
            )
        return self

    @model_validator(mode="after")
    def _folds_are_of_the_same_groups(self) -> "SplitByGroup":
        declared = self.cross_validation
        if isinstance(declared, GroupFolds) and declared.key not in (None, self.key):
            raise ValueError(
                f"cross_validation names the key {declared.key}, the split {self.key}: rows of one {self.key} would be "
                "learned from and validated on; leave the key of cross_validation out"
            )
        return self


_BY_TIME_UNLESS_SAID = ByKind(default="time")
Split = Annotated[
    SplitByTime | SplitByGroup,
    Field(discriminator="kind"),
    _BY_TIME_UNLESS_SAID,
    BeforeValidator(_BY_TIME_UNLESS_SAID.named),
]
