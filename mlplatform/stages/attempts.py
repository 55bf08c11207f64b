"""Who tries again: the healing sensor alone. The sensors that ask for work ask once and then look here."""

from dataclasses import dataclass

import dagster as dg

from mlplatform.healing.ledger import read_steps
from mlplatform.healing.problem import problems
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.spec import Declaration
from mlplatform.stages.remedies import PROBLEM_TAG

__all__ = ["Tried", "healing_under_way", "tried"]

_DIED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def healing_under_way(uc: Declaration) -> bool:
    """Whether an attempt at any failure is due or running: what it will make, nobody else should."""
    return any(problem.healing for problem in problems(read_steps(Lake.at(Home.current()), uc.spec.name)))


@dataclass(frozen=True)
class Tried:
    """Work that has failed before, and how its healing stands."""

    text: str
    over: bool
    """Whether nothing more will be tried by itself."""


def tried(instance: dg.DagsterInstance, uc: Declaration, tags: dict[str, str]) -> Tried | None:
    """How it went with the work of these tags, if a run of it has failed or was cancelled; None: ask for it."""
    died = instance.get_runs(dg.RunsFilter(tags=tags, statuses=_DIED), limit=1)
    if not died:
        return None
    identity = died[0].tags.get(PROBLEM_TAG, died[0].run_id)
    found = {problem.id: problem for problem in problems(read_steps(Lake.at(Home.current()), uc.spec.name))}
    if identity not in found:
        return Tried(f"run {identity[:8]} failed; {uc.spec.name}_healing has not looked at it yet", over=False)
    problem = found[identity]
    return Tried(str(problem), over=not problem.healing)
