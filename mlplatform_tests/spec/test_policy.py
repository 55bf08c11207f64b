import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mlplatform.spec.policy import AnyPolicy, PerformanceSignal, Policy

POLICY: TypeAdapter[AnyPolicy] = TypeAdapter(Policy)


@pytest.mark.parametrize(
    ("written", "drift", "performance", "age"),
    [
        ({"kind": "never"}, False, False, None),
        ({"kind": "schedule", "every_days": 7}, False, False, 7),
        ({"kind": "drift"}, True, False, None),
        ({"kind": "performance"}, False, True, None),
        ({"kind": "combined"}, True, True, 42),
        ({"kind": "combined", "max_age_days": 60}, True, True, 60),
        ({"cool_down_days": 14}, True, True, 42),
        ({"kind": "combined", "max_age_days": None}, True, True, None),
    ],
)
def test_each_kind_says_which_evidence_it_goes_by(
    written: dict[str, object], drift: bool, performance: bool, age: float | None
) -> None:
    policy = POLICY.validate_python(written)
    assert (policy.on_drift is not None, policy.on_performance is not None) == (drift, performance)
    assert policy.largest_age_days == age


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"kind": "drift", "windows": 2, "windows_required": 3}, "such a policy would never retrain"),
        ({"kind": "performance", "windows": 1, "windows_required": 2}, "such a policy would never retrain"),
        ({"kind": "combined", "drift": {"windows": 1, "windows_required": 2}}, "such a policy would never retrain"),
        ({"kind": "schedule"}, "every_days"),
        ({"kind": "schedule", "every_days": 7, "windows": 3}, "windows"),
        ({"kind": "never", "min_drift_importance": 0.1}, "min_drift_importance"),
        ({"kind": "performance", "max_drop": 1.0}, "less than 1"),
        ({"kind": "sometimes"}, "'never', 'schedule', 'drift', 'performance', 'combined'"),
    ],
)
def test_what_no_policy_can_mean_is_refused(written: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        POLICY.validate_python(written)


@given(expected=st.floats(-1, 1), drop=st.floats(0, 0.99))
def test_a_drop_is_never_a_rise_whatever_the_sign_of_the_metric(expected: float, drop: float) -> None:
    for kind in ("relative", "absolute"):
        signal = PerformanceSignal.model_validate({"max_drop": drop, "drop": kind})
        assert signal.limit(expected) <= expected
