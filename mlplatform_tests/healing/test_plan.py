from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mlplatform.healing.plan import Failure, next_remedy
from mlplatform.healing.problem import Problem, opening
from mlplatform.spec import DEFAULT_RULES, Rule

NOON = datetime(2024, 1, 1, 12)
NAMES = st.sampled_from(["run", "raw", "raw_orders", "features", "contract", "raw.contract", "features.leakage"])
RULES = st.lists(
    st.builds(
        Rule,
        when=NAMES,
        remedy=st.sampled_from(["retry", "refetch", "last_good"]),
        attempts=st.integers(1, 4),
        backoff_seconds=st.floats(0, 1e6),
    ),
    max_size=5,
    unique_by=lambda rule: (rule.when, rule.remedy),
)
FAILURES = st.builds(
    Failure,
    stages=st.sampled_from([(), ("raw_orders",), ("features",), ("features", "spine")]),
    check=st.sampled_from([None, "contract", "leakage"]),
)


@pytest.mark.parametrize(
    ("when", "failure", "fits"),
    [
        ("run", Failure(), True),
        ("run", Failure(("features",)), True),
        ("run", Failure(("features",), "leakage"), False),
        ("raw", Failure(("raw_orders",)), True),
        ("raw", Failure(("raw_orders",), "contract"), True),
        ("raw", Failure(("rawhide",)), False),
        ("raw_orders", Failure(("raw_orders",), "contract"), True),
        ("raw.contract", Failure(("raw_orders",), "contract"), True),
        ("raw.contract", Failure(("raw_orders",)), False),
        ("raw.contract", Failure(("training_set",), "contract"), False),
        ("contract", Failure(("training_set",), "contract"), True),
        ("spine", Failure(("features", "spine")), True),
    ],
)
def test_a_rule_fits_a_run_a_stage_a_check_or_both(when: str, failure: Failure, fits: bool) -> None:
    rule = Rule(when=when, remedy="retry")
    assert (next_remedy([rule], failure, {}) is not None) == fits


def test_waits_double_and_end_at_a_day() -> None:
    rule = Rule(when="run", remedy="retry", attempts=5000, backoff_seconds=30)
    waits = [next_remedy([rule], Failure(), {"run: retry": spent}) for spent in (0, 1, 2, 20, 4999)]
    assert [planned.wait.total_seconds() for planned in waits if planned] == [30, 60, 120, 86400, 86400]


def test_a_batch_that_breaks_the_contract_is_read_again_twice_then_quarantined_then_given_up() -> None:
    assert remedies(list(DEFAULT_RULES), [Failure(("raw_orders",), "contract")] * 9) == [
        "refetch",
        "refetch",
        "quarantine",
    ]


def test_a_failed_run_is_tried_three_times_more() -> None:
    assert remedies(list(DEFAULT_RULES), [Failure(("features",))] * 9) == ["retry"] * 3


@given(RULES, FAILURES, st.lists(FAILURES, min_size=30, max_size=30))
def test_whatever_fails_in_whichever_order_attempts_are_bounded_by_what_is_declared(
    rules: list[Rule], first: Failure, later: list[Failure]
) -> None:
    made = remedies(rules, [first, *later])
    assert len(made) <= sum(rule.attempts for rule in rules)
    for rule in rules:
        allowed = sum(each.attempts for each in rules if each.remedy == rule.remedy)
        assert made.count(rule.remedy) <= allowed


@given(FAILURES)
def test_a_failure_is_read_back_from_the_ledger_as_it_was(failure: Failure) -> None:
    assert Failure.parse(str(failure)) == failure


@given(RULES, FAILURES)
def test_a_planned_attempt_is_due_when_its_wait_is_over_and_not_before(rules: list[Rule], failure: Failure) -> None:
    step = opening(rules, failure, problem="r", event_id=1, run_id="r", at=NOON, detail="")
    problem = Problem((step,))
    if step.outcome == "alerted":
        assert next_remedy(rules, failure, {}) is None
        return
    assert step.due_at is not None
    assert problem.due(step.due_at)
    assert not problem.due(step.due_at - timedelta(microseconds=1))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"when": "run", "remedy": "retry", "max_bad_share": 0.5}, "belongs to `remedy: quarantine`"),
        ({"when": "run", "remedy": "retry", "days": 3}, "belongs to `remedy: freeze`"),
        ({"when": "run", "remedy": "pray"}, "'retry', 'refetch', 'quarantine', 'last_good' or 'freeze'"),
        ({"when": "a.b.c", "remedy": "retry"}, "pattern"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Rule.model_validate(given)


def remedies(rules: list[Rule], failures: list[Failure]) -> list[str]:
    """The remedies that a problem sees whose every attempt fails, in their order."""
    problem = Problem((opening(rules, failures[0], problem="r", event_id=0, run_id="r", at=NOON, detail=""),))
    made = []
    for number, failure in enumerate(failures[1:], start=1):
        if problem.last.outcome != "waiting":
            break
        made.append(problem.last.remedy)
        problem = problem.plus(problem.step("started", NOON))
        problem = problem.plus(problem.step("failed", NOON, failed=str(failure)))
        problem = problem.plus(problem.after_failure(rules, failure, number, NOON, ""))
    return made
