"""What stages that check a contract share: the quarantine table and the evidence shown in the UI."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.lake.tables import merge_rows
from mlplatform.spec import Declaration

if TYPE_CHECKING:
    from mlplatform.contracts.check import Checked

__all__ = ["CONTRACT_CHECK", "Tally", "contract_file", "quarantine", "quarantine_table"]

CONTRACT_CHECK = "contract"


def contract_file(uc: Declaration) -> Path:
    """The Python file with the use case's Pandera models."""
    return uc.folder / f"{uc.spec.contract.module}.py"


def quarantine_table(uc: Declaration) -> str:
    """The lake table that holds the bad rows of all sources and features of a use case."""
    return f"{uc.spec.name}.quarantine"


def quarantine(con: Any, uc: Declaration, checked: "Checked", batch: str, source: str, loaded_at: datetime) -> None:
    """Keep the bad rows of a batch; the same row that comes again is kept once."""
    from mlplatform.contracts.quarantine import QUARANTINE_KEY, quarantine_rows

    if len(checked.bad):
        rows = quarantine_rows(checked.bad, use_case=uc.spec.name, source=source, batch=batch, loaded_at=loaded_at)
        merge_rows(con, quarantine_table(uc), rows, QUARANTINE_KEY)


@dataclass(frozen=True)
class Tally:
    """Rows seen and refused so far, over several batches."""

    good: int = 0
    bad: int = 0
    cases: tuple[tuple[str, str, int, str], ...] = field(default=())

    def plus(self, checked: "Checked") -> "Tally":
        """The tally with one more batch."""
        more = tuple(
            (str(c["column"]), str(c["check"]), int(c["rows"]), str(c["example"]))
            for c in checked.cases.to_dict("records")
        )
        return Tally(self.good + len(checked.good), self.bad + len(checked.bad), self.cases + more)

    def evidence(self, uc: Declaration) -> dict[str, Any]:
        """Numbers and failure cases, as metadata of a check."""
        rows = self.good + self.bad
        numbers: dict[str, Any] = {
            "rows": rows,
            "bad_rows": self.bad,
            "bad_share": self.bad / rows if rows else 0.0,
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
