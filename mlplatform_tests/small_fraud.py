"""The fraud use case, small enough for a test: the same folder, models and stages, fewer customers, a short search."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from mlplatform.components import UseCase
from mlplatform.resources import shared_resources
from mlplatform.spec import Declaration, load_declaration
from mlplatform.spec import UseCase as UseCaseSpec
from mlplatform.stages.jobs import everything_job, range_tags, training_job, use_case_tags

START = date(2018, 4, 1)


def small_fraud(days: int = 100, drift: dict[str, Any] | None = None, **overrides: Any) -> Declaration:
    """400 customers and 800 terminals; a drift like `{"start_day": 77, "kind": "amounts", "size": 3}`."""
    declared = load_declaration("fraud")
    content = declared.spec.model_dump()
    params = {"days": days, "customers": 400, "terminals": 800, "seed": 1}
    content["sources"][0] |= {
        "params": params | ({"drift": drift} if drift else {}),
        "end": _day(days - 1),
        "max_days_per_run": 14,
    }
    content["drift"] |= {"sample_rows": 1000}
    content["leakage"] |= {"rows": 5}
    training = content["training"]
    training["split"] |= {"cross_validation": {"folds": 2}}
    for candidate in training["candidates"]:
        if candidate["kind"] != "ensemble":
            candidate["tuning"] |= {"trials": 1, "seconds": 5}
        if candidate["kind"] == "lightgbm":
            candidate["rounds"] = 60
    # What is tested is that gates are asked, not how well a model of a toy world does.
    training["gates"] |= {"floor": 0.1, "slice_floor": 0.0, "margin": 0.5, "max_calibration_error": 0.3}
    return Declaration(UseCaseSpec.model_validate(content | overrides), declared.folder)


def _day(number: int) -> str:
    return (START + timedelta(days=number)).isoformat()


@dataclass
class Platform:
    """Definitions of one declaration on one Dagster instance, driven as the command line and the daemon drive them."""

    declaration: Declaration
    instance: dg.DagsterInstance

    def __post_init__(self) -> None:
        self.definitions = dg.Definitions.merge(
            UseCase(self.declaration).build_defs(dg.ComponentTree.for_test().load_context),
            dg.Definitions(resources=shared_resources(), executor=dg.in_process_executor),
        )
        self._cursors: dict[str, str | None] = {}

    def run(
        self, stages: Sequence[str] = (), days: int | None = None, first_day: int = 0, raise_on_error: bool = False
    ) -> dg.ExecuteInProcessResult:
        """Materialise some stages (default: all) over the source's days `first_day` to `days` (default: all it has)."""
        tags = use_case_tags(self.declaration)
        if days is not None:
            tags |= range_tags(self.declaration, START + timedelta(days=first_day), START + timedelta(days=days))
        name = self.declaration.spec.name
        return self.launch(
            everything_job(self.declaration),
            tags,
            [dg.AssetKey([name, stage]) for stage in stages] or None,
            raise_on_error,
        )

    def launch(
        self,
        job: str,
        tags: dict[str, str],
        keys: list[dg.AssetKey] | None = None,
        raise_on_error: bool = False,
        config: dict[str, Any] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """One run, here and now."""
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            run_id=str(uuid.uuid4()),
            tags=tags,
            run_config=config,
            asset_selection=keys,
            raise_on_error=raise_on_error,
        )

    def tick(self, sensor: str) -> "Tick":
        """Evaluate a sensor as the daemon does, with its cursor."""
        definition = self.definitions.resolve_sensor_def(sensor)
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self._cursors.get(sensor),
            repository_def=self.definitions.get_repository_def(),
        )
        data = definition.evaluate_tick(context)
        self._cursors[sensor] = data.cursor
        for event in data.asset_events:
            self.instance.report_runless_asset_event(event)
        return Tick(list(data.run_requests or []), data.skip_message or "")

    def start(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Run what a sensor asked for."""
        job = request.job_name or training_job(self.declaration)
        return self.launch(
            job, dict(request.tags), list(request.asset_selection or []) or None, config=request.run_config or None
        )

    def metadata(self, stage: str) -> dict[str, Any]:
        """Values of the latest materialisation of a stage."""
        event = self.instance.get_latest_materialization_event(dg.AssetKey([self.declaration.spec.name, stage]))
        assert event is not None
        assert event.asset_materialization is not None
        return {name: value.value for name, value in event.asset_materialization.metadata.items()}


@dataclass(frozen=True)
class Tick:
    """What one evaluation of a sensor asked for, or why it asked for nothing."""

    requests: list[dg.RunRequest]
    skipped: str


def failed_checks(result: dg.ExecuteInProcessResult) -> set[str]:
    """Names of the checks that did not pass."""
    return {e.check_name for e in result.get_asset_check_evaluations() if not e.passed}


def dagster_home(path: Path) -> dg.DagsterInstance:
    """A real instance on disk, as `mlplatform setup` prepares it."""
    return dg.DagsterInstance.from_config(str(path))
