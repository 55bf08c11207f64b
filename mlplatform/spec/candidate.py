"""The models that compete: what each kind needs to be told, and the budget of its search."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt, model_validator

from mlplatform.spec._base import ColumnName, Declared, one_of
from mlplatform.spec.by_kind import ByKind
from mlplatform.spec.span import Seconds

__all__ = [
    "Candidate",
    "EnsembleCandidate",
    "KerasCandidate",
    "LightGBMCandidate",
    "SearchedCandidate",
    "SklearnCandidate",
    "TorchCandidate",
    "Tuning",
]


_Calibration = Literal["sigmoid", "isotonic", "conformal", "none"]


class Tuning(Declared):
    """The budget of the search; whichever of the two ends first."""

    trials: Annotated[int, Field(ge=0)] = 20
    """Most trials; 0 keeps the defaults."""
    seconds: Seconds = 120
    """Most seconds."""
    seed: int = 7
    """Of the search."""
    pruning: bool = True
    """Give a trial up when its mean over the folds so far lies below the median of the trials that saw all of them."""
    warm_start: bool = True
    """Try the champion's parameters right after the defaults, where the champion is of the same kind."""


class _AnyCandidate(Declared):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    """The asset is `candidate_<name>`."""
    ignore: list[ColumnName] = []
    """Features that this candidate does not see, though others do."""
    calibration: Annotated[_Calibration | None, one_of(_Calibration)] = None
    """What is fitted on the tune part, so that answers come true. Probabilities: `sigmoid` (default) or `isotonic`.
    Forecasts: `conformal` (default), which widens the interval until it covers what it should. Or `none`."""
    seed: int = 7
    """Of the training itself."""

    @property
    def can_refit(self) -> bool:
        """Whether it can learn from more rows without any to stop by."""
        return False

    def refuses(self, task: str) -> str | None:
        """Why this candidate cannot learn a task of a kind; None where it can."""
        del task
        return None


class _Tuned(_AnyCandidate):
    tuning: Tuning = Tuning()
    """The search for its parameters."""
    params: dict[str, float | int | str | bool] = {}
    """Fixed parameters; the search leaves them alone."""


class LightGBMCandidate(_Tuned):
    """Gradient-boosted trees; stored as LightGBM text."""

    kind: Literal["lightgbm"]
    """Trees."""
    rounds: PositiveInt = 500
    """Most trees."""
    early_stopping_rounds: PositiveInt = 30
    """Training ends when this many more trees did not help."""
    increasing: list[str] = []
    """Features that can only raise the score as they grow, whatever the rows seem to say; not categorical."""
    decreasing: list[str] = []
    """Features that can only lower it."""

    @property
    def can_refit(self) -> bool:
        """As many trees as the first time."""
        return True

    @model_validator(mode="after")
    def _directions_do_not_conflict(self) -> "LightGBMCandidate":
        if both := sorted(set(self.increasing) & set(self.decreasing)):
            raise ValueError(f"{', '.join(both)}: both increasing and decreasing; leave one")
        return self


class SklearnCandidate(_Tuned):
    """Models of scikit-learn; stored as ONNX. An order is learned row by row, as if it were a class."""

    kind: Literal["sklearn"]
    """scikit-learn."""
    model: Literal["logistic", "random_forest", "hist_gradient_boosting", "ridge"]
    """`logistic`: a linear model. `random_forest`: trees that vote. `hist_gradient_boosting`: trees that correct each
    other, and stop on the tune rows. `ridge`: a linear model of an amount."""

    @property
    def can_refit(self) -> bool:
        """Those that never stop early."""
        return self.model != "hist_gradient_boosting"

    def refuses(self, task: str) -> str | None:
        """`logistic` and `random_forest` know classes alone, `ridge` amounts."""
        able = self._AMOUNTS if task in ("forecast", "regression") else self._CLASSES
        return (
            None if self.model in able else f"model {self.model} cannot learn a {task} task; allowed: {', '.join(able)}"
        )

    _AMOUNTS: ClassVar = ("ridge", "hist_gradient_boosting")
    _CLASSES: ClassVar = ("logistic", "random_forest", "hist_gradient_boosting")


class _NetworkCandidate(_Tuned):
    hidden: Annotated[list[PositiveInt], Field(min_length=1)] = [64, 32]
    """Width of each hidden layer."""
    epochs: PositiveInt = 60
    """Most passes over the training rows."""
    early_stopping_epochs: PositiveInt = 8
    """Training ends when this many more passes did not help on the tune rows."""
    batch_size: PositiveInt = 512
    """Rows of one step."""


class TorchCandidate(_NetworkCandidate):
    """A neural network on tables (PyTorch, extra `torch`); stored as ONNX."""

    kind: Literal["torch"]
    """PyTorch."""
    embed: list[ColumnName] = []
    """Categorical features whose categories get a vector each, such as the person and the movie: the products of each
    pair of them are added to the network's score, which sees the other features."""
    embedding_width: PositiveInt = 16
    """Numbers in each of these vectors."""


class KerasCandidate(_NetworkCandidate):
    """A neural network on tables (Keras on TensorFlow, extra `keras`); stored as ONNX."""

    kind: Literal["keras"]
    """Keras."""


class EnsembleCandidate(_AnyCandidate):
    """A weighted blend of other candidates' answers (of probabilities, their log-odds); stored as their folders and the
    weights."""

    kind: Literal["ensemble"]
    """A blend."""

    def refuses(self, task: str) -> str | None:
        """Probabilities of several classes are not blended yet."""
        return "an ensemble cannot blend a multiclass task" if task == "multiclass" else None

    of: list[str] = []
    """Names of two or more candidates to blend; by default all that are no ensembles."""


SearchedCandidate = LightGBMCandidate | SklearnCandidate | TorchCandidate | KerasCandidate
"""Those that learn from rows, within the budget of a search."""

Candidate = Annotated[SearchedCandidate | EnsembleCandidate, Field(discriminator="kind"), ByKind()]
