"""What differs between yes or no, a forecast and an order: how labels are read, answers made and judged.

One module per task; splits, folds, the search, the comparison and the gates know none of them by name.
"""

from typing import assert_never

from mlplatform.ml.tasks.base import Figure, Task
from mlplatform.ml.tasks.binary import Binary
from mlplatform.ml.tasks.forecast import Forecast
from mlplatform.ml.tasks.ranking import Ranking
from mlplatform.spec.task import BinaryTask, ForecastTask, RankingTask
from mlplatform.spec.task import Task as DeclaredTask

__all__ = ["Binary", "Figure", "Forecast", "Ranking", "Task", "task_for"]


def task_for(declared: DeclaredTask) -> Task:
    """The task as it was declared."""
    match declared:
        case BinaryTask():
            return Binary(declared)
        case ForecastTask():
            return Forecast(declared)
        case RankingTask():
            return Ranking(declared)
        case _:
            assert_never(declared)
