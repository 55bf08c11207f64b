"""A process that runs one job of the small fraud platform and says which step begins, for a test to kill it.

`python -m mlplatform_tests.e2e.killed_job <job> <run configuration as JSON>`
"""

import json
import sys
from functools import partial

from mlplatform.home import Home
from mlplatform.lake.challenge import unanswered
from mlplatform.stages import challenger_log
from mlplatform.stages.jobs import use_case_tags
from mlplatform_tests.small_fraud import Platform, dagster_home, small_fraud

DAYS, CHUNK = 112, 150
"""CHUNK: requests that are scored in one transaction, so that a kill finds some done and others not."""


def main() -> None:
    """Exit code 1 where the run failed."""
    job, config = sys.argv[1], json.loads(sys.argv[2])
    challenger_log.unanswered = partial(unanswered, chunk=CHUNK)
    with dagster_home(Home.current().dagster) as instance:
        platform = Platform(small_fraud(days=DAYS), instance)
        result = platform.definitions.resolve_job_def(job)
        ended = result.execute_in_process(
            instance=instance,
            tags=use_case_tags(platform.declaration),
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, **config},
            raise_on_error=False,
            run_id=_followed(instance),
        )
    sys.exit(0 if ended.success else 1)


def _followed(instance: object) -> str:
    import uuid

    run_id = str(uuid.uuid4())
    instance.add_event_listener(run_id, _tell)  # type: ignore[attr-defined]
    return run_id


def _tell(entry: object) -> None:
    event = entry.dagster_event  # type: ignore[attr-defined]
    if event is not None and event.event_type_value == "STEP_START":
        sys.stdout.write(f"begins {entry.step_key.removeprefix('fraud__')}\n")  # type: ignore[attr-defined]
        sys.stdout.flush()


if __name__ == "__main__":
    main()
