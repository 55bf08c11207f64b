"""`mlplatform score`: a table of any size scored by the live model, as a run."""

from mlplatform.cli.run import run_job
from mlplatform.spec import load_declaration

__all__ = ["score_table"]


def score_table(name: str, table: str, start: str, end: str) -> bool:
    """Run the job; True when the scores are in the lake.

    Raises:
        SpecError: there is no such use case.
    """
    from mlplatform.stages.batch_scores import batch_scores_job
    from mlplatform.stages.jobs import use_case_tags

    uc = load_declaration(name)
    config = {"ops": {f"{name}__batch_scores": {"config": {"table": table, "start": start, "end": end}}}}
    return run_job(uc, batch_scores_job(uc), lambda: use_case_tags(uc), config=config)
