"""When a new champion is taken back without asking."""

from typing import Annotated

from pydantic import Field, PositiveInt

from mlplatform.spec._base import Declared
from mlplatform.spec.span import Days, DaysOrNone

__all__ = ["Rollback"]


class Rollback(Declared):
    """A champion is fresh for some days after its promotion; if it then does clearly worse than the version before it,
    on the same served examples, that one comes back."""

    automatic: bool = True
    """False: the comparison is made and shown, and nothing follows from it."""
    fresh_days: Days = 28
    """Days of the data's time after a promotion in which the champion is compared with its predecessor."""
    false_alarms: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Chance that a champion which is as good as its predecessor is taken back, for its labels or before they are
    there, over all comparisons of its fresh days together."""
    min_labelled: PositiveInt = 500
    """Labelled served examples below which labels give no verdict; and served ones below which estimates give none."""
    estimate_guard: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Before labels are there: a champion whose own scores surely promise this share less than it was promoted by is
    taken back, if its predecessor's scores on the same examples do not and surely promise more. 1: never."""
    pause_days: DaysOrNone = 14
    """Days without retraining after it."""
