"""What is done when a run or a check fails."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from mlplatform.spec._base import Declared
from mlplatform.spec.span import Days, SecondsOrNone

__all__ = ["DEFAULT_RULES", "Remedy", "Rule"]

Remedy = Literal["retry", "refetch", "quarantine", "last_good", "freeze"]


class Rule(Declared):
    """A remedy for a failure. Rules are asked in their order; one whose attempts are spent makes way for the next that
    fits; when none is left, the platform gives up and says so."""

    when: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?$")]
    """What failed: `run` (a step or the whole run, and no check), a stage (`features`; `raw` and `candidate` mean all
    of them), a check (`contract`), or both (`raw.contract`)."""
    remedy: Remedy
    """`retry`: run again what the failed run did not finish. `refetch`: read the run's partitions from the source
    again, and everything up to what failed and after it. `quarantine`: run again with a larger tolerance, bad rows go
    to quarantine. `last_good`: put back the tables that the failed step wrote as they were when their checks last
    passed, and go on. `freeze`: the champion stays, retraining is paused."""
    attempts: PositiveInt = 3
    """How often the remedy is tried for one failure."""
    backoff_seconds: SecondsOrNone = 30
    """Before the first attempt; doubled before each further one. By the clock on the wall."""
    max_bad_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """Of `quarantine` only (then 0.2 if left out): the largest share of bad rows that it accepts."""
    days: Days | None = None
    """Of `freeze` only: how long, in the data's time; left out, until `mlplatform resume`."""

    @model_validator(mode="after")
    def _limits_belong_to_their_remedy(self) -> "Rule":
        for name, remedy in (("max_bad_share", "quarantine"), ("days", "freeze")):
            if getattr(self, name) is not None and self.remedy != remedy:
                raise ValueError(f"`{name}` belongs to `remedy: {remedy}`, not to `{self.remedy}`; leave it out")
        return self

    @property
    def tolerance(self) -> float:
        """The share of bad rows that a quarantine accepts."""
        return 0.2 if self.max_bad_share is None else self.max_bad_share


DEFAULT_RULES = (
    Rule(when="raw.contract", remedy="refetch", attempts=2, backoff_seconds=60),
    Rule(when="raw.contract", remedy="quarantine", attempts=1, backoff_seconds=0, max_bad_share=0.2),
    Rule(when="run", remedy="retry", attempts=3, backoff_seconds=30),
)
"""A batch that breaks the contract may have been read half-written; if it comes so again, its good rows are taken."""
