"""What the end of a run means to the ledger: new problems, attempts that ended, problems that another run solved."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import dagster as dg

from mlplatform.healing.ledger import Step
from mlplatform.healing.plan import Failure
from mlplatform.healing.problem import Problem, opening
from mlplatform.spec import Declaration, Rule
from mlplatform.stages.finished_runs import CheckOutcome, FinishedRun, read_run
from mlplatform.stages.jobs import BY_HAND, ROLLBACK_TAG
from mlplatform.stages.remedies import PROBLEM_TAG
from mlplatform.stages.retrain_decision import DECISION_TAG

__all__ = ["Known", "answer"]

_START, _END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@dataclass(frozen=True)
class Known:
    """All that an answer depends on beside the run."""

    uc: Declaration
    instance: dg.DagsterInstance
    problems: dict[str, Problem]
    now: datetime


def answer(run: FinishedRun, known: Known) -> list[Step]:
    """The steps that follow from one run's end; none if it concerns no problem, old or new."""
    own = known.problems.get(run.run.tags.get(PROBLEM_TAG, ""))
    steps = list(_of_attempt(run, own, known)) if own else list(_of_run(run, known))
    told = {step.problem for step in steps} | ({own.id} if own else set())
    steps += _of_checks(run, own, known)
    for problem in known.problems.values():
        if problem.open and problem.id not in told and _made_good(run, problem, known):
            told.add(problem.id)
            steps.append(problem.step("resolved", known.now, event_id=run.event_id, run_id=run.run.run_id))
    return steps


def _of_attempt(run: FinishedRun, problem: Problem, known: Known) -> Iterator[Step]:
    """A healing run ended. Whatever failed in it, it was this problem's attempt: its rules' attempts are bounded."""
    told = {"event_id": run.event_id, "run_id": run.run.run_id}
    still = _still_failed(run, problem)
    if run.succeeded and still is None:
        yield problem.step("succeeded", known.now, **told, detail=_lifted(run))
        return
    failure, said = (still.failure, still.said) if run.succeeded and still else (run.failure, run.message)
    ended = problem.step("failed", known.now, **told, failed=str(failure), detail=said)
    yield ended
    following = problem.plus(ended).after_failure(
        _rules(run, known, problem), failure, run.event_id, known.now, "every declared attempt was made"
    )
    yield following


def _of_run(run: FinishedRun, known: Known) -> Iterator[Step]:
    if not run.succeeded:
        yield _opened(run, run.run.run_id, run.failure, run.message, known)


def _of_checks(run: FinishedRun, own: Problem | None, known: Known) -> Iterator[Step]:
    """Checks that failed without being what stopped the run: each is a problem until it passes again."""
    explained = {str(run.failure)} if not run.succeeded else set()
    explained |= {own.last.failed, own.steps[0].failed} if own else set()
    latest = {str(check.failure): check for check in run.checks}
    for label, check in latest.items():
        before = _open_check(known, label)
        if check.passed and before is not None and before is not own:
            yield before.step("resolved", known.now, event_id=run.event_id, run_id=run.run.run_id)
        elif not check.passed and before is None and label not in explained:
            yield _opened(run, f"{run.run.run_id}:{label}", check.failure, check.said, known)


def _opened(run: FinishedRun, problem: str, failure: Failure, detail: str, known: Known) -> Step:
    # What a person runs by hand is theirs to run again.
    by_hand = ROLLBACK_TAG not in run.run.tags and any(key.path[-1] in BY_HAND for key in run.steps)
    return opening(
        [] if by_hand else _rules(run, known),
        failure,
        problem=problem,
        event_id=run.event_id,
        run_id=run.run.run_id,
        at=known.now,
        detail=detail,
    )


def _rules(run: FinishedRun, known: Known, problem: Problem | None = None) -> list[Rule]:
    """What is declared; of the training that a decision asked for, no more than the policy's attempts in all."""
    rules = list(known.uc.spec.healing)
    if DECISION_TAG not in run.run.tags:
        return rules
    made = 1 + (sum(problem.spent.values()) if problem else 0)
    allowed = known.uc.spec.policy.attempts
    if made >= allowed:
        return []
    return [rule.model_copy(update={"attempts": min(rule.attempts, allowed - 1)}) for rule in rules]


def _open_check(known: Known, label: str) -> Problem | None:
    """The problem of a check that failed in a green run and has not passed since."""
    found = (p for p in known.problems.values() if p.open and ":" in p.id and p.last.failed == label)
    return next(found, None)


def _still_failed(run: FinishedRun, problem: Problem) -> CheckOutcome | None:
    """A green attempt at a problem of a check has healed nothing if that check failed again."""
    if ":" not in problem.id:
        return None
    of_problem = [check for check in run.checks if str(check.failure) == problem.last.failed]
    return next((check for check in of_problem[-1:] if not check.passed), None)


def _lifted(run: FinishedRun) -> str:
    """What a quarantine let pass."""
    return "; ".join(check.said for check in run.checks if not check.passed)


def _made_good(run: FinishedRun, problem: Problem, known: Known) -> bool:
    """Whether a green run made all that the problem's run had left to do, over at least the same partitions."""
    if not run.succeeded or ":" in problem.id or problem.last.outcome == "started":
        return False
    failed = read_run(known.instance, problem.id)
    return failed is not None and _covers(run, failed)


def _covers(run: FinishedRun, failed: FinishedRun) -> bool:
    if not failed.steps or not set(failed.unfinished) <= run.made:
        return False
    ours, theirs = run.run.tags, failed.run.tags
    raw = any(key.path[-1].startswith("raw_") for key in failed.unfinished)
    if not raw or _START not in ours:
        return True
    return _START in theirs and ours[_START] <= theirs[_START] and theirs[_END] <= ours[_END]
