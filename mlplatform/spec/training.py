"""How models are trained and compared: task, split, candidates, gates."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from mlplatform.spec._base import ColumnName, Declared, one_of
from mlplatform.spec.candidate import Candidate, EnsembleCandidate, LightGBMCandidate, TorchCandidate
from mlplatform.spec.cleaning import CleaningPolicy, NumericCleaning, policies_by_column
from mlplatform.spec.folds import StratifiedFolds
from mlplatform.spec.split import Split
from mlplatform.spec.task import ForecastTask, Task

__all__ = ["Gates", "Metric", "Training"]

Share = Annotated[float, Field(ge=0, le=1)]
Metric = Literal["average_precision", "auc", "log_skill", "accuracy", "skill", "quantile_skill", "ndcg", "recall"]

# The first of each is what is meant where nothing is said.
_METRICS: dict[str, tuple[Metric, ...]] = {
    "binary": ("average_precision", "auc"),
    "multiclass": ("log_skill", "accuracy"),
    "regression": ("skill", "quantile_skill"),
    "forecast": ("skill", "quantile_skill"),
    "ranking": ("ndcg", "recall"),
}
_CALIBRATIONS = {
    **dict.fromkeys(("binary", "multiclass"), ("sigmoid", "isotonic", "none")),
    **dict.fromkeys(("regression", "forecast"), ("conformal", "none")),
    "ranking": ("none",),
}


class Gates(Declared):
    """What a model must show on the test rows before it may serve."""

    metric: Annotated[Metric | None, one_of(Metric)] = None
    """What models are compared by; higher is better. Binary: `average_precision` (default) or `auc`.
    Multiclass: `log_skill` (default), one less the log loss as a share of that of the classes' shares, or `accuracy`.
    Forecast and regression: `skill` (default), one less the absolute error as a share of the naive answer's (the
    seasonal-naive forecast; the median of the same rows), or `quantile_skill`, the same by the pinball loss of all
    quantiles. Ranking: `ndcg` (default) or `recall`, of the first `k` places."""
    floor: Share
    """The metric must reach this."""
    incumbent: Literal["better", "not_worse"] = "not_worse"
    """`better`: the interval of the paired difference lies above 0. `not_worse`: above -`margin`."""
    margin: Share = 0.02
    """How much worse than the incumbent `not_worse` still allows."""
    max_calibration_error: Share = 0.05
    """Binary: expected calibration error, 10 equal-mass bins; multiclass: the same of the likeliest class. Forecast and
    regression: how far the share of rows inside the interval
    may lie from the declared one. Ranking: nothing, its scores mean nothing but an order."""
    slices: list[ColumnName] = []
    """Columns of the features; the metric is taken in each of their groups."""
    slice_floor: Share = 0.0
    """The metric must reach this in each slice."""
    slice_min_positives: PositiveInt = 30
    """Groups with fewer positives (of a forecast: rows) are shown, not judged."""
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

    task: Task
    """What is learned: `binary`, `multiclass`, `regression`, `forecast` or `ranking`."""
    label: ColumnName = "label"
    """Column of the spine with the label: 0 or 1, the number of a class, or an amount."""
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
    gates: Gates
    """What a model must show."""

    refit: bool = False
    """Learn again from train and tune together, for as long as the first fit learned, before the test part judges it: a
    model that is one part fresher. Calibration stays that of the first fit, which had not seen the tune rows. For kinds
    `lightgbm` and `sklearn` without `hist_gradient_boosting`."""

    @property
    def metric(self) -> Metric:
        """What models are compared by, declared or the task's own."""
        return self.gates.metric or _METRICS[self.task.kind][0]

    def calibration(self, candidate: Candidate) -> str:
        """The kind of calibration of a candidate, declared or the task's own."""
        return candidate.calibration or _CALIBRATIONS[self.task.kind][0]

    @model_validator(mode="after")
    def _the_task_knows_metric_and_candidates(self) -> "Training":
        task = self.task.kind
        if self.metric not in _METRICS[task]:
            raise ValueError(f"gates.metric is {self.metric}; allowed for a {task} task: {', '.join(_METRICS[task])}")
        for candidate in self.candidates:
            if (given := self.calibration(candidate)) not in _CALIBRATIONS[task]:
                allowed = ", ".join(_CALIBRATIONS[task])
                raise ValueError(f"calibration of {candidate.name} is {given}; allowed for a {task} task: {allowed}")
            if refused := candidate.refuses(task):
                raise ValueError(f"candidate {candidate.name}: {refused}")
        return self

    @model_validator(mode="after")
    def _what_is_ignored_or_embedded_is_there(self) -> "Training":
        for candidate in self.candidates:
            if unknown := sorted(set(candidate.ignore) - set(self.features)):
                raise ValueError(
                    f"{candidate.name} ignores {', '.join(unknown)}; allowed are features: {', '.join(self.features)}"
                )
            if set(candidate.ignore) >= set(self.features):
                raise ValueError(f"{candidate.name} ignores every feature; leave it one")
            if candidate.ignore and isinstance(candidate, EnsembleCandidate):
                raise ValueError(f"{candidate.name} blends what its members see; let them ignore features")
            seen = [name for name in self.categorical if name not in candidate.ignore]
            embedded = candidate.embed if isinstance(candidate, TorchCandidate) else []
            if embedded and set(self.features) <= {*embedded, *candidate.ignore}:
                raise ValueError(f"{candidate.name} embeds every feature that it sees; leave its network one")
            if unknown := sorted(set(embedded) - set(seen)):
                raise ValueError(
                    f"{candidate.name} embeds {', '.join(unknown)}; allowed are categorical features that it does not "
                    f"ignore: {', '.join(seen) or 'none'}"
                )
        return self

    @model_validator(mode="after")
    def _all_can_be_fitted_again(self) -> "Training":
        unable = [candidate.name for candidate in self.candidates if not candidate.can_refit]
        if self.refit and unable:
            raise ValueError(
                f"refit is declared, but {', '.join(unable)} cannot learn again without watching the tune rows; "
                "allowed are kind lightgbm and kind sklearn with model logistic, random_forest or ridge"
            )
        return self

    @model_validator(mode="after")
    def _the_anchor_is_a_feature(self) -> "Training":
        anchor = self.task.anchor if isinstance(self.task, ForecastTask) else None
        if anchor is not None and (anchor not in self.features or anchor in self.categorical):
            raise ValueError(f"task.anchor is {anchor}, which is no amount among the features; add it to `features`")
        for candidate in self.candidates:
            if anchor in candidate.ignore:
                raise ValueError(f"{candidate.name} ignores {anchor}, which task.anchor lets forecasts start from")
        return self

    @model_validator(mode="after")
    def _categorical_names_features(self) -> "Training":
        if unknown := sorted(set(self.categorical) - set(self.features)):
            raise ValueError(
                f"categorical names {', '.join(unknown)}; allowed are features: {', '.join(self.features)}"
            )
        return self

    @model_validator(mode="after")
    def _cleaning_names_features(self) -> "Training":
        policies = policies_by_column(self.cleaning, self.features, self.categorical)
        anchor = policies.get(str(self.task.anchor)) if isinstance(self.task, ForecastTask) else None
        if isinstance(anchor, NumericCleaning) and anchor.scale != "none":
            raise ValueError(
                f"cleaning scales the anchor of the task, {self.task.anchor}, which must keep the unit of the label; "  # type: ignore[union-attr]
                "give it a policy without `scale`"
            )
        means = {name for name, policy in policies.items() if policy.kind == "target"}
        if means and self.task.kind == "multiclass":
            raise ValueError(
                f"cleaning of kind target gives {', '.join(sorted(means))} mean labels, but numbers of classes have no "
                "mean; use kind categorical"
            )
        for candidate in self.candidates:
            if isinstance(candidate, TorchCandidate) and (lost := sorted(means & set(candidate.embed))):
                raise ValueError(
                    f"{candidate.name} embeds {', '.join(lost)}, which cleaning turns into mean labels; leave out one"
                )
        return self

    @model_validator(mode="after")
    def _folds_suit_the_labels(self) -> "Training":
        if isinstance(self.split.cross_validation, StratifiedFolds) and self.task.kind not in ("binary", "ranking"):
            raise ValueError(
                f"stratified folds need labels 0 and 1, which a {self.task.kind} task has not; say kind group"
            )
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
