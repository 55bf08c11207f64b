"""Definitions that a real daemon loads: the small fraud use case with a drift, on a timeline of 182 days.

The first 45 days are left alone: features look back so far, and would drift only because the world is young. Days
49-111 train the first champion. Four weeks follow as before; from day 140 everybody spends three times as much. Nothing
keeps the policy from training at any decision, no cool-down, no want of labels.
"""

import dagster as dg

from mlplatform.components import UseCase
from mlplatform.resources import shared_resources
from mlplatform.spec import Declaration
from mlplatform_tests.small_fraud import small_fraud

TRAINED_UNTIL, DRIFT_FROM, DAYS = 112, 140, 182
DRIFT = {"start_day": DRIFT_FROM, "kind": "amounts", "size": 3.0}


def definitions(declared: Declaration) -> dg.Definitions:
    """Of one declaration, with the real resources."""
    return dg.Definitions.merge(
        UseCase(declared).build_defs(dg.ComponentTree.for_test().load_context),
        dg.Definitions(resources=shared_resources(), executor=dg.in_process_executor),
    )


declaration = small_fraud(
    days=DAYS, drift=DRIFT, policy={"kind": "drift", "cool_down_days": 0, "min_new_labelled_rows": 100}
)
defs = definitions(declaration)
