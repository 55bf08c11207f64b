"""The one component: a folder with a defs.yaml becomes the asset graph of a use case."""

from pathlib import Path
from typing import Self

import dagster as dg
from pydantic import BaseModel

from mlplatform import stages
from mlplatform.components.scaffolder import UseCaseScaffolder
from mlplatform.spec import Declaration
from mlplatform.spec import UseCase as UseCaseSpec

__all__ = ["UseCase"]


@dg.scaffold_with(UseCaseScaffolder)
class UseCase(dg.Component):
    """One machine-learning use case: ingest, validate, train, compare, package, serve, watch, retrain."""

    def __init__(self, declaration: Declaration) -> None:
        self.declaration = declaration

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The plain pydantic spec: its errors carry file, line and allowed values (`dg check yaml` shows them)."""
        return UseCaseSpec

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """What `dg list components` shows."""
        return dg.ComponentTypeSpec(
            description="One use case, from its sources to a served, watched and retrained model.",
            produces=["asset", "asset_check", "job", "schedule", "sensor"],
        )

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Wrap the validated declaration together with its folder."""
        assert isinstance(attributes, UseCaseSpec)
        return cls(Declaration(attributes, Path(context.path)))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002 - Dagster's signature
        """The graph in the order in which data flows."""
        uc = self.declaration
        jobs = stages.jobs(uc)
        assets = [
            *(stages.raw_asset(uc, source) for source in uc.spec.sources),
            stages.dbt_assets(uc),
            stages.training_set_asset(uc),
            *(stages.candidate_asset(uc, candidate) for candidate in uc.spec.training.candidates),
            stages.champion_asset(uc),
            stages.rollback_asset(uc),
            stages.model_card_asset(uc),
            stages.bento_asset(uc),
            stages.deployment_asset(uc),
            stages.batch_scores_asset(uc),
            stages.prediction_log_asset(uc),
            stages.outcomes_asset(uc),
            stages.skew_report_asset(uc),
            stages.challenger_log_asset(uc),
            stages.challenger_report_asset(uc),
            stages.drift_report_asset(uc),
            stages.performance_report_asset(uc),
            stages.succession_asset(uc),
            stages.retrain_decision_asset(uc),
            stages.policy_backtest_asset(uc),
        ]
        checks = [stages.leakage_check(uc)]
        stages.require_known_rules(uc, assets, checks)
        return dg.Definitions(
            assets=[*assets, stages.ledger_asset(uc)],
            asset_checks=checks,
            jobs=list(jobs.values()),
            schedules=[stages.skew_schedule(uc, jobs)],
            sensors=[
                stages.new_data_sensor(uc, jobs),
                stages.retrain_sensor(uc, jobs),
                stages.succession_sensor(uc, jobs),
                stages.healing_sensor(uc, jobs),
                stages.watchdog_sensor(uc),
            ],
        )
