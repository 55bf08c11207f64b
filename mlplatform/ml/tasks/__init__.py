"""What differs between the tasks, from yes or no to an order: how labels are read, answers made and judged.

One module per task; splits, folds, the search, the comparison and the gates know none of them by name.
"""

from typing import assert_never

from mlplatform.ml.tasks.base import Figure, Task
from mlplatform.ml.tasks.binary import Binary
from mlplatform.ml.tasks.forecast import Forecast
from mlplatform.ml.tasks.multiclass import Multiclass
from mlplatform.ml.tasks.ranking import Ranking
from mlplatform.ml.tasks.regression import Regression
from mlplatform.spec.task import BinaryTask, ForecastTask, MulticlassTask, RankingTask, RegressionTask
from mlplatform.spec.task import Task as DeclaredTask

__all__ = ["Binary", "Figure", "Forecast", "Multiclass", "Ranking", "Regression", "Task", "task_for"]


def task_for(declared: DeclaredTask) -> Task:
    """The task as it was declared."""
    match declared:
        case BinaryTask():
            return Binary(declared)
        case MulticlassTask():
            return Multiclass(declared)
        case RegressionTask():
            return Regression(declared)
        case ForecastTask():
            return Forecast(declared)
        case RankingTask():
            return Ranking(declared)
        case _:
            assert_never(declared)
