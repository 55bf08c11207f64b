"""Labels that came too late for their part of the training set."""

import pandas as pd
import pytest

from mlplatform.errors import TrainingError
from mlplatform.spec import Declaration
from mlplatform.stages.training_set import LATE, _with_parts
from mlplatform_tests.small_fraud import small_fraud

AS_OF = pd.Timestamp("2018-07-01")


def labelled(uc: Declaration, corrected: int) -> pd.DataFrame:
    """A transaction an hour, each known after a week but the first `corrected`, which are known at the end."""
    split = uc.spec.training.split
    at = pd.date_range(AS_OF - pd.Timedelta(days=split.train_days + split.tune_days + 60), AS_OF, freq="h")
    rows = pd.DataFrame({"transaction_id": range(len(at)), uc.spec.event_time: at, uc.spec.training.label: False})
    rows[uc.spec.label_known_at] = rows[uc.spec.event_time] + pd.Timedelta(days=split.label_delay_days)
    train = rows.index[_with_parts(uc, rows, AS_OF)["part"] == "train"]
    rows.loc[train[:corrected], uc.spec.label_known_at] = AS_OF
    return rows


def test_a_few_labels_that_came_late_or_were_corrected_belong_to_no_part() -> None:
    uc = small_fraud()
    parts = _with_parts(uc, labelled(uc, corrected=5), AS_OF)["part"]
    assert (parts == LATE).sum() == 5
    assert {"train", "tune", "test"} <= set(parts)


def test_many_late_labels_say_that_labels_take_longer_than_is_declared() -> None:
    uc = small_fraud()
    rows = labelled(uc, corrected=0)
    train = (_with_parts(uc, rows, AS_OF)["part"] == "train").sum()
    with pytest.raises(TrainingError, match=r"raise split\.label_delay_days to the longest delay"):
        _with_parts(uc, labelled(uc, corrected=train // 10), AS_OF)
