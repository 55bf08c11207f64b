"""How models are trained and compared: split, candidates, tuning, costs, gates."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, model_validator

from mlplatform.spec._base import ColumnName, Declared
from mlplatform.spec.by_kind import ByKind
from mlplatform.spec.cleaning import CleaningPolicy, policies_by_column
from mlplatform.spec.folds import FoldsInTime, FoldsOfGroups, GroupFolds, RollingOriginFolds, TimeFolds

__all__ = [
    "Candidate",
    "Costs",
    "EnsembleCandidate",
    "Gates",
    "KerasCandidate",
    "LightGBMCandidate",
    "SearchedCandidate",
    "SklearnCandidate",
    "Split",
    "SplitByGroup",
    "SplitByTime",
    "TorchCandidate",
    "Training",
    "Tuning",
]

Share = Annotated[float, Field(ge=0, le=1)]


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
    cross_validation: FoldsInTime = TimeFolds()
    """Folds of the train part, for the search."""

    @property
    def span_days(self) -> int:
        """Days from the first training row to `as_of`: three parts and three gaps."""
        return self.train_days + self.tune_days + self.test_days + 3 * self.label_delay_days

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


class Tuning(Declared):
    """The budget of the search; whichever of the two ends first."""

    trials: Annotated[int, Field(ge=0)] = 20
    """Most trials; 0 keeps the defaults."""
    seconds: PositiveFloat = 120
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
    calibration: Literal["sigmoid", "isotonic", "none"] = "sigmoid"
    """How scores become probabilities, fitted on the tune part."""
    seed: int = 7
    """Of the training itself."""


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

    @model_validator(mode="after")
    def _directions_do_not_conflict(self) -> "LightGBMCandidate":
        if both := sorted(set(self.increasing) & set(self.decreasing)):
            raise ValueError(f"{', '.join(both)}: both increasing and decreasing; leave one")
        return self


class SklearnCandidate(_Tuned):
    """Three models of scikit-learn; stored as ONNX."""

    kind: Literal["sklearn"]
    """scikit-learn."""
    model: Literal["logistic", "random_forest", "hist_gradient_boosting"]
    """`logistic`: a linear model. `random_forest`: trees that vote. `hist_gradient_boosting`: trees that correct each
    other, and stop on the tune rows."""


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


class KerasCandidate(_NetworkCandidate):
    """A neural network on tables (Keras on TensorFlow, extra `keras`); stored as ONNX."""

    kind: Literal["keras"]
    """Keras."""


class EnsembleCandidate(_AnyCandidate):
    """A weighted blend of other candidates' log-odds; stored as their folders and the weights."""

    kind: Literal["ensemble"]
    """A blend."""
    of: list[str] = []
    """Names of two or more candidates to blend; by default all that are no ensembles."""


SearchedCandidate = LightGBMCandidate | SklearnCandidate | TorchCandidate | KerasCandidate
"""Those that learn from rows, within the budget of a search."""

Candidate = Annotated[SearchedCandidate | EnsembleCandidate, Field(discriminator="kind"), ByKind()]


class Costs(Declared):
    """What a wrong decision costs, in any one unit; the threshold follows from the ratio (Elkan, 2001)."""

    false_positive: PositiveFloat
    """A negative that is decided positive."""
    false_negative: PositiveFloat
    """A positive that is missed."""


class Gates(Declared):
    """What a model must show on the test rows before it may serve."""

    metric: Literal["average_precision", "auc"] = "average_precision"
    """What models are compared by."""
    floor: Share
    """The metric must reach this."""
    incumbent: Literal["better", "not_worse"] = "not_worse"
    """`better`: the interval of the paired difference lies above 0. `not_worse`: above -`margin`."""
    margin: Share = 0.02
    """How much worse than the incumbent `not_worse` still allows."""
    max_calibration_error: Share = 0.05
    """Expected calibration error, 10 equal-mass bins."""
    slices: list[ColumnName] = []
    """Columns of the features; the metric is taken in each of their groups."""
    slice_floor: Share = 0.0
    """The metric must reach this in each slice."""
    slice_min_positives: PositiveInt = 30
    """Smaller groups are shown, not judged."""
    max_latency_ms: PositiveFloat = 20
    """Median time of scoring one row, without the network."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Of the bootstrap intervals."""
    bootstrap_samples: PositiveInt = 200
    """How often the test rows are drawn again."""


class _Unique(Declared):
    candidates: Annotated[list[Candidate], Field(min_length=1)]
    """The models that compete."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> "_Unique":
        names = [c.name for c in self.candidates]
        if len(names) != len(set(names)):
            raise ValueError(f"two candidates share a name: {', '.join(names)}; give each its own")
        return self

    @model_validator(mode="after")
    def _ensembles_have_members(self) -> "_Unique":
        plain = [c.name for c in self.candidates if not isinstance(c, EnsembleCandidate)]
        for candidate in self.candidates:
            if not isinstance(candidate, EnsembleCandidate):
                continue
            members = candidate.of or plain
            if unknown := sorted(set(members) - set(plain)):
                raise ValueError(
                    f"{candidate.name} blends {', '.join(unknown)}; allowed are the candidates that are no "
                    f"ensembles: {', '.join(plain) or 'none'}"
                )
            if len(members) < 2 or len(set(members)) < len(members):
                raise ValueError(
                    f"{candidate.name} blends {', '.join(members) or 'nothing'}; name two or more candidates, each once"
                )
        return self

    def members_of(self, ensemble: EnsembleCandidate) -> list[str]:
        """Names of the candidates that an ensemble blends, in the order of the declaration."""
        plain = [c.name for c in self.candidates if not isinstance(c, EnsembleCandidate)]
        return [name for name in plain if not ensemble.of or name in ensemble.of]


class Training(_Unique):
    """Everything between the training set and the champion."""

    label: ColumnName = "label"
    """Column of the spine with the label, 0 or 1."""
    weight: ColumnName | None = None
    """Column of the spine: how many examples a row stands for, such as one over the chance that its label became known
    at all (inverse-probability-of-censoring weights). Models, calibration and figures count each row so often."""
    features: Annotated[list[ColumnName], Field(min_length=1)]
    """Feature columns the models see, in this order."""
    categorical: list[ColumnName] = []
    """Those of `features` that hold categories, not amounts."""
    cleaning: list[CleaningPolicy] = []
    """What happens to values before a model sees them; what that needs to know is learned from training rows only, in
    each fold of the search anew. Left out, values come to the models as they are."""
    split: Split
    """Who learns from which rows, and who is judged on which."""
    costs: Costs
    """What mistakes cost."""
    gates: Gates
    """What a model must show."""

    @model_validator(mode="after")
    def _categorical_names_features(self) -> "Training":
        if unknown := sorted(set(self.categorical) - set(self.features)):
            raise ValueError(
                f"categorical names {', '.join(unknown)}; allowed are features: {', '.join(self.features)}"
            )
        return self

    @model_validator(mode="after")
    def _cleaning_names_features(self) -> "Training":
        policies_by_column(self.cleaning, self.features, self.categorical)
        return self

    @property
    def policies(self) -> dict[str, CleaningPolicy]:
        """The cleaning policy of each feature that has one."""
        return policies_by_column(self.cleaning, self.features, self.categorical)

    @model_validator(mode="after")
    def _directions_name_features(self) -> "Training":
        ordered = set(self.features) - set(self.categorical)
        for candidate in self.candidates:
            if isinstance(candidate, LightGBMCandidate):
                named = {*candidate.increasing, *candidate.decreasing}
                if unknown := sorted(named - ordered):
                    raise ValueError(
                        f"directions of {candidate.name} name {', '.join(unknown)}; "
                        f"allowed are the features that are not categorical: {', '.join(sorted(ordered))}"
                    )
        return self
