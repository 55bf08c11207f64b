"""What the steps of the ledger add up to: problems, and where each of them stands."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from mlplatform.healing.ledger import Outcome, Step
from mlplatform.healing.plan import Failure, Planned, next_remedy, rule_key
from mlplatform.spec import Rule

__all__ = ["Problem", "opening", "problems"]

_CLOSED = ("succeeded", "resolved")


@dataclass(frozen=True)
class Problem:
    """A failure and all that was done about it so far, in order."""

    steps: tuple[Step, ...]

    @property
    def id(self) -> str:
        """The same in every step."""
        return self.last.problem

    @property
    def last(self) -> Step:
        """Where it stands."""
        return self.steps[-1]

    @property
    def open(self) -> bool:
        """Whether it is still wrong: also what was given up, until a run makes it good."""
        return self.last.outcome not in _CLOSED

    @property
    def healing(self) -> bool:
        """Whether an attempt is due or under way."""
        return self.last.outcome in ("waiting", "started", "failed")

    @property
    def spent(self) -> Counter[str]:
        """Attempts by rule."""
        return Counter(step.rule for step in self.steps if step.outcome == "started")

    def due(self, now: datetime) -> bool:
        """Whether the planned attempt may start."""
        return self.last.outcome == "waiting" and self.last.due_at is not None and self.last.due_at <= now

    def step(self, outcome: Outcome, at: datetime, **changed: object) -> Step:
        """The next step: like the last but for what changed."""
        values = {**vars(self.last), "number": self.last.number + 1, "at": at, "outcome": outcome, "due_at": None}
        return Step(**{**values, "detail": "", **changed})

    def plus(self, *steps: Step) -> "Problem":
        """The problem with further steps."""
        return Problem((*self.steps, *steps))

    def after_failure(self, rules: Sequence[Rule], failure: Failure, event_id: int, at: datetime, detail: str) -> Step:
        """What follows a failed attempt: the next remedy, or giving up."""
        told = {"event_id": event_id, "failed": str(failure), "detail": detail}
        planned = next_remedy(rules, failure, self.spent)
        if planned is None:
            return self.step("gave up", at, **told)
        return self.step("waiting", at, **told, **_plan(planned, at))

    def __str__(self) -> str:
        last = self.last
        tried = f" ({last.remedy} {last.attempt} of {last.of})" if last.of else ""
        due = f", due at {last.due_at:%Y-%m-%d %H:%M:%S} UTC" if last.outcome == "waiting" and last.due_at else ""
        what = "" if last.failed == "run" else f"{last.failed} in "
        return f"{what}run {last.problem[:8]}: {last.outcome}{tried}{due}"


def problems(steps: Iterable[Step]) -> list[Problem]:
    """All problems, oldest first."""
    found: dict[str, list[Step]] = {}
    for step in steps:
        found.setdefault(step.problem, []).append(step)
    return [Problem(tuple(sorted(each, key=lambda step: step.number))) for each in found.values()]


def opening(
    rules: Sequence[Rule], failure: Failure, *, problem: str, event_id: int, run_id: str, at: datetime, detail: str
) -> Step:
    """The first step of a problem: which remedy comes when; `alerted` when none is declared for it."""
    planned = next_remedy(rules, failure, {})
    first = Step(problem, 1, event_id, at, str(failure), "", "none", 0, 0, "alerted", run_id, None, detail)
    return Problem((first,)).step("waiting", at, number=1, detail=detail, **_plan(planned, at)) if planned else first


def _plan(planned: Planned, at: datetime) -> dict[str, object]:
    rule = planned.rule
    return {
        "rule": rule_key(rule),
        "remedy": rule.remedy,
        "attempt": planned.attempt,
        "of": rule.attempts,
        "due_at": at + planned.wait,
    }
