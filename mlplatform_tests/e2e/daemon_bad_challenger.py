"""The same world a fortnight on, with a declaration that somebody spoiled: what it trains is a single tree.

It trains at every decision, and the gate beside the incumbent is the one that fraud ships with.
"""

from mlplatform.spec import Declaration, UseCase
from mlplatform_tests.e2e.daemon_platform import DAYS as BEFORE
from mlplatform_tests.e2e.daemon_platform import DRIFT, definitions
from mlplatform_tests.small_fraud import small_fraud

DAYS = BEFORE + 14


def spoiled(declared: Declaration) -> Declaration:
    """One candidate, of one tree."""
    content = declared.spec.model_dump()
    (lightgbm,) = (each for each in content["training"]["candidates"] if each["kind"] == "lightgbm")
    content["training"]["candidates"] = [lightgbm | {"rounds": 1}]
    content["training"]["gates"] |= {"margin": 0.02}
    return Declaration(UseCase.model_validate(content), declared.folder)


declaration = spoiled(small_fraud(days=DAYS, drift=DRIFT, policy={"kind": "schedule", "every_days": 1}))
defs = definitions(declaration)
