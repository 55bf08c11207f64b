"""Which declared remedy comes next for a failure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from mlplatform.spec import Rule

__all__ = ["Failure", "Planned", "next_remedy", "rule_key"]

RUN = "run"
_FAMILIES = ("raw", "candidate")
_LONGEST_BACKOFF = timedelta(days=1)


@dataclass(frozen=True)
class Failure:
    """What failed: a check of a stage, the stages of a step, or the run as a whole (no stage)."""

    stages: tuple[str, ...] = ()
    check: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Failure":
        """The reverse of `str`, for what the ledger holds."""
        stages, _, check = text.partition(".")
        return cls(() if stages == RUN else tuple(stages.split(", ")), check or None)

    def __str__(self) -> str:
        stages = ", ".join(self.stages) or RUN
        return f"{stages}.{self.check}" if self.check else stages


@dataclass(frozen=True)
class Planned:
    """An attempt at a remedy: the `attempt`-th of `rule.attempts`, not before `wait` has passed."""

    rule: Rule
    attempt: int
    wait: timedelta


def next_remedy(rules: Sequence[Rule], failure: Failure, spent: Mapping[str, int]) -> Planned | None:
    """The first rule that fits and has attempts left; None when there is none (any more).

    `spent` counts the attempts made for this problem by `rule_key`. The wait doubles from attempt to attempt, up to a
    day. Whatever fails in which order, a problem sees at most the sum of all rules' attempts.
    """
    for rule in rules:
        attempt = spent.get(rule_key(rule), 0) + 1
        if _fits(rule.when, failure) and attempt <= rule.attempts:
            return Planned(rule, attempt, _backoff(rule.backoff_seconds, attempt))
    return None


def rule_key(rule: Rule) -> str:
    """A rule's name in the ledger."""
    return f"{rule.when}: {rule.remedy}"


def _fits(when: str, failure: Failure) -> bool:
    """`run` is for failures that no check explains: what a check refused comes again if it is only tried again."""
    if when == RUN:
        return failure.check is None
    stage, _, check = when.partition(".")
    if check:
        return check == failure.check and _is_stage(stage, failure)
    return when == failure.check or _is_stage(when, failure)


def _is_stage(name: str, failure: Failure) -> bool:
    family = (f"{name}_",) if name in _FAMILIES else ()
    return any(stage == name or stage.startswith(family) for stage in failure.stages)


def _backoff(first: float, attempt: int) -> timedelta:
    # The exponent is bounded too: a float has no 2**2000.
    return min(_LONGEST_BACKOFF, timedelta(seconds=min(first * 2.0 ** min(attempt - 1, 40), 1e9)))
