"""The same graph under Dagster's default executor: a fresh process for each step, as many at once as cores."""

import sys

import dagster as dg

from mlplatform.cli.setup import prepare_home
from mlplatform.definitions import defs
from mlplatform.home import Home

JOB = "fraud_everything"


def everything() -> dg.JobDefinition:
    """The job of all assets; each step's process builds it anew."""
    usual = dg.Definitions(executor=dg.multi_or_in_process_executor)
    parts = dg.Definitions.merge(_without_executor(defs()), usual)
    return parts.resolve_job_def(JOB)


def _without_executor(definitions: dg.Definitions) -> dg.Definitions:
    return dg.Definitions(
        assets=definitions.assets,
        asset_checks=definitions.asset_checks,
        jobs=definitions.jobs,
        sensors=definitions.sensors,
        resources=definitions.resources,
    )


def main() -> None:
    home = Home.current()
    prepare_home(home)
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        job = dg.reconstructable(everything)
        sys.exit(0 if dg.execute_job(job, instance).success else 1)


if __name__ == "__main__":
    # Steps import this module by its name, so the job must not come from `__main__`.
    from benchmarks._overhead_default import main as run

    run()
