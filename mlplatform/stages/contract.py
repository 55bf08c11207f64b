"""What stages that check a contract share: the quarantine table and the evidence shown in the UI."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.lake.tables import merge_rows
from mlplatform.spec import Declaration
from mlplatform.stages.naming import check_result

if TYPE_CHECKING:
    from mlplatform.contracts.check import Checked

__all__ = [
    "CONTRACT_CHECK",
    "TOLERANCE_TAG",
    "Tally",
    "contract_file",
    "contract_result",
    "quarantine",
    "quarantine_table",
    "tolerance",
]

CONTRACT_CHECK = "contract"
TOLERANCE_TAG = "mlplatform/max_bad_share"
"""Tag of a run whose contract checks accept a larger share of bad rows than declared: the remedy `quarantine`."""


def contract_file(uc: Declaration) -> Path:
    """The Python file with the use case's Pandera models."""
    return uc.folder / f"{uc.spec.contract.module}.py"


def tolerance(context: dg.AssetExecutionContext, uc: Declaration) -> float:
    """The share of bad rows that this run accepts: the declared one, or a larger one that healing lifted it to."""
    declared = uc.spec.contract.max_bad_share
    return max(declared, float(context.run.tags.get(TOLERANCE_TAG, declared)))


def contract_result(uc: Declaration, tally: "Tally", allowed: float) -> dg.AssetCheckResult:
    """The outcome of a contract check that lets the run go on.

    Rows that only a lifted tolerance let pass are no pass: the check fails as a warning, which stops nothing and is
    seen by everybody.
    """
    evidence = tally.evidence(uc)
    if evidence["worst_batch_bad_share"] <= uc.spec.contract.max_bad_share:
        return check_result(CONTRACT_CHECK, passed=True, metadata=evidence)
    return dg.AssetCheckResult(
        check_name=CONTRACT_CHECK,
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{tally.bad} bad rows are in quarantine; for this run {allowed:.1%} of a batch may be bad",
        metadata={**evidence, "allowed_bad_share_of_this_run": allowed},
    )


def quarantine_table(uc: Declaration) -> str:
    """The lake table that holds the bad rows of all sources and features of a use case."""
    return f"{uc.spec.name}.quarantine"


def quarantine(con: Any, uc: Declaration, checked: "Checked", batch: str, source: str, loaded_at: datetime) -> None:
    """Keep the bad rows of a batch; the same row that comes again is kept once."""
    from mlplatform.contracts.quarantine import QUARANTINE_KEY, quarantine_rows

    for bad in (checked.bad, checked.unread):
        if bad is not None and len(bad):
            rows = quarantine_rows(bad, use_case=uc.spec.name, source=source, batch=batch, loaded_at=loaded_at)
            merge_rows(con, quarantine_table(uc), rows, QUARANTINE_KEY)


@dataclass(frozen=True)
class Tally:
    """Rows seen and refused so far, over several batches."""

    good: int = 0
    bad: int = 0
    worst: float = 0.0
    """The largest share of bad rows in one batch."""
    cases: tuple[tuple[str, str, int, str], ...] = field(default=())

    def plus(self, checked: "Checked") -> "Tally":
        """The tally with one more batch."""
        more = tuple(
            (str(c["column"]), str(c["check"]), int(c["rows"]), str(c["example"]))
            for c in checked.cases.to_dict("records")
        )
        worst = max(self.worst, checked.bad_share)
        return Tally(self.good + len(checked.good), self.bad + checked.bad_rows, worst, self.cases + more)

    def evidence(self, uc: Declaration) -> dict[str, Any]:
        """Numbers and failure cases, as metadata of a check."""
        rows = self.good + self.bad
        numbers: dict[str, Any] = {
            "rows": rows,
            "bad_rows": self.bad,
            "bad_share": self.bad / rows if rows else 0.0,
            "worst_batch_bad_share": self.worst,
            "allowed_bad_share": uc.spec.contract.max_bad_share,
        }
        if not self.cases:
            return numbers
        records = [
            dg.TableRecord({"column": column, "check": check, "rows": count, "example": example})
            for column, check, count, example in self.cases
        ]
        return numbers | {
            "failure_cases": dg.MetadataValue.table(records),
            "quarantine": f"lake.{quarantine_table(uc)}",
        }
