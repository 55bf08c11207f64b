"""Definitions that a real daemon loads: the small fraud use case with a drift, on a timeline of 140 days.

Days 0-69 train the first champion. From day 84 everybody spends three times as much. The policy may train again from
day 105 on.
"""

import dagster as dg

from mlplatform.components import UseCase
from mlplatform.resources import shared_resources
from mlplatform_tests.small_fraud import small_fraud

TRAINED_UNTIL, DRIFT_FROM, DAYS = 70, 84, 140

declaration = small_fraud(
    days=DAYS,
    drift={"start_day": DRIFT_FROM, "kind": "amounts", "size": 3.0},
    policy={"kind": "drift", "cool_down_days": 35},
)
defs = dg.Definitions.merge(
    UseCase(declaration).build_defs(dg.ComponentTree.for_test().load_context),
    dg.Definitions(resources=shared_resources(), executor=dg.in_process_executor),
)
