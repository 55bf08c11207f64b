"""`mlplatform rollback`: an earlier version live again, and retraining paused, as one run."""

from mlplatform.cli.pause import duration
from mlplatform.cli.reason import require_reason
from mlplatform.cli.run import run_job
from mlplatform.errors import SpecError
from mlplatform.home import Home
from mlplatform.spec import load_declaration

__all__ = ["rollback_use_case"]


def rollback_use_case(name: str, to: int | None, reason: str, pause: str) -> bool:
    """Run the rollback job; True when the earlier version is deployed. `pause`: `7d`, `12h`, or `0` for none.

    Raises:
        SpecError: there is no such use case, no reason, nothing of it is deployed, or `pause` is no time span.
    """
    from mlplatform.stages.jobs import use_case_tags
    from mlplatform.stages.rollback import rollback_config, rollback_job

    require_reason(reason)
    uc = load_declaration(name)
    days = duration(pause, "--pause").total_seconds() / 86400 if pause != "0" else 0.0
    if not Home.current().deployment(name).exists():
        raise SpecError(f"nothing of {name} is deployed: there is nothing to go back from")
    config = rollback_config(uc, reason, to or 0, days)
    # A bad model is worse than a disk that is nearly full, and this writes little.
    return run_job(uc, rollback_job(uc), lambda: use_case_tags(uc), config=config, urgent=True)
