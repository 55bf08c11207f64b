"""One file per node of a use case's graph, same names; each exports a function that builds it."""

from mlplatform.stages.batch_scores import batch_scores_asset
from mlplatform.stages.bento import bento_asset
from mlplatform.stages.candidate import candidate_asset
from mlplatform.stages.challenger_log import challenger_log_asset
from mlplatform.stages.challenger_report import challenger_report_asset
from mlplatform.stages.champion import champion_asset
from mlplatform.stages.dbt import dbt_assets
from mlplatform.stages.deployment import deployment_asset
from mlplatform.stages.drift_report import drift_report_asset
from mlplatform.stages.healing import healing_sensor, ledger_asset
from mlplatform.stages.healing_rules import require_known_rules
from mlplatform.stages.jobs import jobs
from mlplatform.stages.leakage import leakage_check
from mlplatform.stages.model_card import model_card_asset
from mlplatform.stages.new_data import new_data_sensor
from mlplatform.stages.outcomes import outcomes_asset
from mlplatform.stages.performance_report import performance_report_asset
from mlplatform.stages.policy_backtest import policy_backtest_asset
from mlplatform.stages.prediction_log import prediction_log_asset
from mlplatform.stages.raw import raw_asset
from mlplatform.stages.retrain import retrain_sensor
from mlplatform.stages.retrain_decision import retrain_decision_asset
from mlplatform.stages.rollback import rollback_asset
from mlplatform.stages.skew_report import skew_report_asset
from mlplatform.stages.skew_schedule import skew_schedule
from mlplatform.stages.succession import succession_asset, succession_sensor
from mlplatform.stages.training_set import training_set_asset
from mlplatform.stages.watchdog import watchdog_sensor

__all__ = [
    "batch_scores_asset",
    "bento_asset",
    "candidate_asset",
    "challenger_log_asset",
    "challenger_report_asset",
    "champion_asset",
    "dbt_assets",
    "deployment_asset",
    "drift_report_asset",
    "healing_sensor",
    "jobs",
    "leakage_check",
    "ledger_asset",
    "model_card_asset",
    "new_data_sensor",
    "outcomes_asset",
    "performance_report_asset",
    "policy_backtest_asset",
    "prediction_log_asset",
    "raw_asset",
    "require_known_rules",
    "retrain_decision_asset",
    "retrain_sensor",
    "rollback_asset",
    "skew_report_asset",
    "skew_schedule",
    "succession_asset",
    "succession_sensor",
    "training_set_asset",
    "watchdog_sensor",
]
