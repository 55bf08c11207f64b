"""Cleaning as declared policies. What they need to know of the rows is learned from training rows only."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from mlplatform.spec._base import ColumnName, Declared
from mlplatform.spec.by_kind import ByKind

__all__ = [
    "CategoricalCleaning",
    "CleaningPolicy",
    "NumericCleaning",
    "TargetEncoding",
    "describe_cleaning",
    "policies_by_column",
]

Quantile = Annotated[float, Field(ge=0, le=1)]


class _Policy(Declared):
    columns: list[ColumnName] = []
    """Which features; by default all of this kind that no other policy names."""


class NumericCleaning(_Policy):
    """For features that hold amounts; in this order: capped, filled, scaled."""

    kind: Literal["numeric"]
    """Amounts."""
    cap: tuple[Quantile, Quantile] | None = None
    """Two quantiles of the training rows: values beyond them become them, such as `[0.001, 0.999]`."""
    missing: Literal["keep", "median", "mean"] | float = "keep"
    """What a missing value becomes: `keep` leaves it to the model, `median` and `mean` are those of the training rows,
    a number is that number."""
    scale: Literal["none", "standard", "robust"] = "none"
    """`standard`: less the mean, over the standard deviation. `robust`: less the median, over the distance of the
    quartiles. A constant feature becomes 0."""

    @model_validator(mode="after")
    def _quantiles_are_in_order(self) -> "NumericCleaning":
        if self.cap and self.cap[0] >= self.cap[1]:
            raise ValueError(f"cap {list(self.cap)} must name a lower and a higher quantile, such as [0.001, 0.999]")
        return self


class CategoricalCleaning(_Policy):
    """For features that hold categories. A category that training did not see counts as missing."""

    kind: Literal["categorical"]
    """Categories."""
    rare_below: PositiveInt = 1
    """A category with fewer training rows than this counts as missing, so that models learn from the rare ones what to
    do with those that are new; rows count by their weight."""
    missing: Literal["keep", "category"] = "keep"
    """`keep` leaves missing values to the model, `category` makes them one category more."""


class TargetEncoding(_Policy):
    """A category becomes the mean label of its training rows, drawn towards that of all rows where it has few.

    Method: Micci-Barreca, 2001, "A preprocessing scheme for high-cardinality categorical attributes". A training row
    sees the means of other rows only (of five parts the other four; all rows of a group lie in one part), so its own
    label is not in what a model learns from it.
    """

    kind: Literal["target"]
    """Categories to mean labels."""
    columns: Annotated[list[ColumnName], Field(min_length=1)]
    """Which of the `categorical` features."""
    smoothing: PositiveFloat = 20
    """How many rows with the mean label of all rows are added to each category; an unseen category has only these."""


CleaningPolicy = Annotated[
    NumericCleaning | CategoricalCleaning | TargetEncoding, Field(discriminator="kind"), ByKind()
]


def policies_by_column(
    cleaning: Sequence[CleaningPolicy], features: Sequence[str], categorical: Sequence[str]
) -> dict[str, CleaningPolicy]:
    """The policy of each feature that has one, in the order of `features`.

    Raises ValueError when a policy names a column that it cannot clean, or when two would clean the same.
    """
    named: dict[str, CleaningPolicy] = {}
    for policy in cleaning:
        allowed = _cleaned_by(policy, features, categorical)
        if unknown := [name for name in policy.columns if name not in allowed]:
            raise ValueError(
                f"a cleaning policy of kind {policy.kind} names {', '.join(unknown)}; "
                f"allowed are {_kind_of_columns(policy)}: {', '.join(allowed) or 'there are none'}"
            )
        if twice := [name for name in policy.columns if name in named or policy.columns.count(name) > 1]:
            raise ValueError(f"cleaning names {', '.join(dict.fromkeys(twice))} twice; leave one")
        named |= dict.fromkeys(policy.columns, policy)
    for kind, policy in _defaults(cleaning).items():
        rest = [name for name in _cleaned_by(policy, features, categorical) if name not in named]
        if not rest:
            raise ValueError(
                f"the cleaning policy of kind {kind} without `columns` finds no feature to clean; delete it"
            )
        named |= dict.fromkeys(rest, policy)
    return {name: named[name] for name in features if name in named}


def describe_cleaning(policies: Mapping[str, CleaningPolicy]) -> str:
    """One line for people, such as `amount, rate: cap 0.001 to 0.999; channel: rare below 20`."""
    lines: dict[str, list[str]] = {}
    for name, policy in policies.items():
        if words := ", ".join(_words(policy)):
            lines.setdefault(words, []).append(name)
    return "; ".join(f"{', '.join(names)}: {words}" for words, names in lines.items()) or "values as they come"


def _defaults(cleaning: Sequence[CleaningPolicy]) -> dict[str, CleaningPolicy]:
    """Those that name no columns, by kind."""
    found: dict[str, CleaningPolicy] = {}
    for policy in cleaning:
        if policy.columns:
            continue
        if policy.kind in found:
            raise ValueError(f"two cleaning policies of kind {policy.kind} name no `columns`; name those of one")
        found[policy.kind] = policy
    return found


def _cleaned_by(policy: CleaningPolicy, features: Sequence[str], categorical: Sequence[str]) -> list[str]:
    return [name for name in features if (name in categorical) != (policy.kind == "numeric")]


def _kind_of_columns(policy: CleaningPolicy) -> str:
    return "the features that are not categorical" if policy.kind == "numeric" else "the categorical features"


def _words(policy: CleaningPolicy) -> Iterator[str]:
    if isinstance(policy, TargetEncoding):
        yield f"mean label, smoothing {policy.smoothing:g}"
        return
    if isinstance(policy, NumericCleaning) and policy.cap:
        yield f"cap {policy.cap[0]:g} to {policy.cap[1]:g}"
    if isinstance(policy, CategoricalCleaning) and policy.rare_below > 1:
        yield f"rare below {policy.rare_below}"
    if policy.missing != "keep":
        yield f"missing {policy.missing}"
    if isinstance(policy, NumericCleaning) and policy.scale != "none":
        yield f"scale {policy.scale}"
