"""The policies that a backtest compares when nobody names others."""

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from mlplatform.errors import SpecError
from mlplatform.spec.policy import AnyPolicy, Policy

__all__ = ["DECLARED", "STANDARD", "standard_policies"]

_POLICY: TypeAdapter[AnyPolicy] = TypeAdapter(Policy)
DECLARED = "declared"
"""The name of the policy of defs.yaml."""
STANDARD: dict[str, dict[str, Any]] = {
    "never": {"kind": "never"},
    "weekly": {"kind": "schedule", "every_days": 7},
    "monthly": {"kind": "schedule", "every_days": 28},
    "drift": {"kind": "drift"},
    "performance": {"kind": "performance"},
    "combined": {"kind": "combined"},
}
_COMPARED = ("never", "weekly", "drift", "performance", "combined")


def standard_policies(declared: AnyPolicy, names: Sequence[str] = ()) -> dict[str, AnyPolicy]:
    """Policies by name, `never` first; by default all kinds, and the declared one where it is none of these.

    What calls for a training is each kind's default; what must hold besides (new rows, cool-down, budget) is as
    declared, so that the policies differ in what they look at alone. `never` is what the others' gain is measured from.

    Raises:
        SpecError: a name means nothing here.
    """
    if unknown := sorted(set(names) - {*STANDARD, DECLARED}):
        raise SpecError(f"there is no policy {', '.join(unknown)}; allowed: {', '.join([*STANDARD, DECLARED])}")
    shared = {name: getattr(declared, name) for name in ("min_new_labelled_rows", "budget_seconds")}
    cool_down = {} if declared.kind == "schedule" else {"cool_down_days": declared.cool_down_days}
    found: dict[str, AnyPolicy] = {}
    for name in dict.fromkeys(["never", *(names or (*_COMPARED, DECLARED))]):
        if name == DECLARED:
            if names or declared not in found.values():
                found[name] = declared
            continue
        written = STANDARD[name]
        waits = {} if written["kind"] == "schedule" else cool_down
        found[name] = _POLICY.validate_python({**written, **shared, **waits})
    return found
