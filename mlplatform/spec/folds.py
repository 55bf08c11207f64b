"""Cross-validation: the folds of the train part in which the search compares parameters."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from mlplatform.spec._base import ColumnName, Declared
from mlplatform.spec.by_kind import ByKind

__all__ = ["FoldsInTime", "FoldsOfGroups", "GroupFolds", "RollingOriginFolds", "StratifiedFolds", "TimeFolds"]


class _Folds(Declared):
    folds: Annotated[int, Field(ge=2, le=20)] = 3
    """How many."""


class TimeFolds(_Folds):
    """The train part less one gap is cut into `folds` + 1 equal stretches: each but the first is validated on, by what
    was learned from all before it and one gap; the default where the split is by time."""

    kind: Literal["time"] = "time"
    """Growing windows, equal stretches."""


class RollingOriginFolds(_Folds):
    """The last `folds` stretches of the train part, each as long as the test part, are validated on, by what was
    learned from all before each and one gap: as the test part will judge the final model.

    As in Tashman, 2000, "Out-of-sample tests of forecasting accuracy". Learns from more rows than `time` does.
    """

    kind: Literal["rolling_origin"]
    """Growing windows, stretches like the test part."""


class GroupFolds(_Folds):
    """Groups are dealt to equal shares by a hash of their key; each share is validated on once, by what was learned
    from the others; the default where the split is by group.

    In a split by time it asks how a model does on groups that it has not seen. Order in time counts for nothing then.
    """

    kind: Literal["group"] = "group"
    """No group is learned from and validated on."""
    key: ColumnName | None = None
    """Column of the features that names the group; that of the split where the split is by group."""


class StratifiedFolds(_Folds):
    """Like `group`, but groups with a positive and groups without are dealt in turn, so that each fold has as many of
    either as the others: for few positives. Only where the split is by group and labels are 0 and 1.

    Not in a split by time: rows of all times would be shuffled, and a model would be validated on rows older than those
    that it learned from, beside their neighbours. Where each row is a group of its own, shares of rows are equal.
    """

    kind: Literal["stratified"]
    """Equal shares of positives."""


_TIME, _GROUP = ByKind(default="time"), ByKind(default="group")
FoldsInTime = Annotated[
    TimeFolds | RollingOriginFolds | GroupFolds, Field(discriminator="kind"), _TIME, BeforeValidator(_TIME.named)
]
"""Those of a split by time."""
FoldsOfGroups = Annotated[
    GroupFolds | StratifiedFolds, Field(discriminator="kind"), _GROUP, BeforeValidator(_GROUP.named)
]
"""Those of a split by group."""
