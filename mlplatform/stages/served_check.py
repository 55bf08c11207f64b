"""The check of the deployment: the services that run have taken it up."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.spec import Declaration
from mlplatform.stages.naming import asset_key

if TYPE_CHECKING:
    from mlplatform.serving.pointer import Pointer
    from mlplatform.serving.served import Served

__all__ = ["SERVED_CHECK", "refused", "served_result", "served_spec", "serving_workers"]

SERVED_CHECK = "served"
_DESCRIPTION = "Every worker that runs has taken up what is deployed; none refuses it or is behind."
_SECONDS = 30.0
"""A worker looks once a second, and loads and warms up before it swaps."""
_POLL_SECONDS = 0.25


def served_spec(uc: Declaration) -> dg.AssetCheckSpec:
    """Not blocking: what is deployed is deployed, and the predictions of the bento before go on to be logged."""
    return dg.AssetCheckSpec(SERVED_CHECK, asset=asset_key(uc, "deployment"), description=_DESCRIPTION)


def serving_workers(pointer_file: Path) -> "list[Served]":
    """The workers that follow this pointer and are alive now."""
    from mlplatform.serving.served import read_served

    return read_served(pointer_file, datetime.now(UTC).replace(tzinfo=None))


def refused(pointer_file: Path) -> bool:
    """Whether a running worker has refused what the pointer names."""
    return any(worker.refused for worker in serving_workers(pointer_file))


def served_result(uc: Declaration, pointer_file: Path, seconds: float = _SECONDS) -> dg.AssetCheckResult:
    """Wait for the running workers to look at the pointer; passed where none runs."""
    from mlplatform.serving.pointer import read_pointer

    pointer = read_pointer(pointer_file)
    workers, end = serving_workers(pointer_file), time.monotonic() + seconds
    while any(_pending(worker, pointer) for worker in workers) and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
        workers = serving_workers(pointer_file)
    wrong = [worker for worker in workers if worker.refused or _pending(worker, pointer)]
    return dg.AssetCheckResult(
        check_name=SERVED_CHECK,
        passed=not wrong,
        severity=dg.AssetCheckSeverity.ERROR,
        description=_said(uc, workers, wrong, pointer),
        metadata={"workers": len(workers), "not_followed": len(wrong), **_table(workers)},
    )


def _pending(worker: "Served", pointer: "Pointer") -> bool:
    return worker.looked_at != pointer.deployed_at


def _said(uc: Declaration, workers: "list[Served]", wrong: "list[Served]", pointer: "Pointer") -> str:
    if not workers:
        return f"no service of {uc.spec.name} says that it runs; the next one that starts serves {pointer.bento}"
    if not wrong:
        return f"{len(workers)} of {len(workers)} workers serve {pointer.bento}"
    first = wrong[0]
    why = f"refused {first.refused.bento}: {first.refused.why}" if first.refused else "has not followed in time"
    return f"{len(wrong)} of {len(workers)} workers do not serve {pointer.bento}; one serves {first.bento} and {why}"


def _table(workers: "list[Served]") -> dict[str, Any]:
    rows = [
        dg.TableRecord(
            {
                "host": worker.host,
                "worker": worker.worker,
                "serves": worker.bento,
                "since": worker.since,
                "refused": f"{worker.refused.bento}: {worker.refused.why}" if worker.refused else "",
            }
        )
        for worker in workers
    ]
    return {"by_worker": dg.MetadataValue.table(rows)} if rows else {}
