"""dbt's part of the graph: staging, spine and features of one use case, in one dbt invocation per run."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from mlplatform.errors import SpecError
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import describe_table
from mlplatform.resources.dbt import manifest
from mlplatform.resources.dbt_project import DBT_PROJECT, dbt_project
from mlplatform.resources.lake import LakeResource, table_metadata, table_of
from mlplatform.spec import Declaration, SplitByTime
from mlplatform.stages.naming import asset_key

__all__ = ["dbt_assets"]


def dbt_assets(uc: Declaration) -> dg.AssetsDefinition:
    """The models of a use case (dbt_project/models/<name>, or `models` in its folder), their tests as asset checks.

    Raises:
        SpecError: dbt and the declaration disagree on the label delay, or a feature is no column of dbt's.
    """
    _require_one_label_delay(uc)
    # Importing it loads dbt's own classes (2.5 s): only where definitions are really built, and before the manifest is
    # asked for, which may still be on its way.
    from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings
    from dagster_dbt import dbt_assets as dbt_assets_of

    parsed = manifest(Home.current())
    _require_features(uc, parsed)

    class Translator(DagsterDbtTranslator):
        def get_asset_spec(self, manifest: Any, unique_id: str, project: Any) -> dg.AssetSpec:
            spec = super().get_asset_spec(manifest, unique_id, project)
            if unique_id.startswith("source."):
                return spec
            return spec.replace_attributes(
                group_name=uc.spec.name, owners=uc.spec.owners, kinds={"dbt", "duckdb"}, tags={"area": "data"}
            )

    @dbt_assets_of(
        manifest=parsed,
        select=f"fqn:*.{uc.spec.name}.*",
        name=f"{uc.spec.name}_dbt",
        dagster_dbt_translator=Translator(DagsterDbtTranslatorSettings(enable_asset_checks=True)),
    )
    def models(context: dg.AssetExecutionContext, dbt: dg.ResourceParam[Any], lake: LakeResource) -> Iterator[Any]:
        opened = lake.open()
        invocation = dbt.cli(["build"], context=context)
        compiled = _compiled_files(uc, invocation.target_path)
        for event in invocation.stream():
            yield _with_table(event, context, opened, compiled)
        # A build of some models leaves the others uncompiled.
        if asset_key(uc, "features") in context.selected_asset_keys:
            _keep_feature_query(uc, invocation.target_path / "manifest.json")

    return models


def _require_one_label_delay(uc: Declaration) -> None:
    """Staging dates the labels that come without a date, a split by time leaves gaps: with two, labels would leak."""
    split = uc.spec.training.split
    if not isinstance(split, SplitByTime):
        return
    path, name = DBT_PROJECT / "dbt_project.yml", f"{uc.spec.name}_label_delay_days"
    in_dbt = yaml.safe_load(path.read_text(encoding="utf-8")).get("vars", {}).get(name)
    declared = split.label_delay_days
    if in_dbt is not None and in_dbt != declared:
        raise SpecError(
            f"{path} says {name}: {in_dbt}, {uc.folder / 'defs.yaml'} says split.label_delay_days: {declared}; "
            "make them equal"
        )


def _require_features(uc: Declaration, parsed: Path) -> None:
    """A misspelt feature should fail when the graph is built, not after an hour of it."""
    models = json.loads(parsed.read_text(encoding="utf-8"))["nodes"].values()
    name = f"{uc.spec.name}_features"
    columns = next((list(model["columns"]) for model in models if model["name"] == name), [])
    training = uc.spec.training
    serving = uc.spec.serving
    declared = [*training.features, *training.gates.slices, *training.split.keys, *training.task.columns]
    declared += [*serving.lookup, *serving.show]
    # A model that documents no columns says nothing of which there are.
    unknown = sorted(set(declared) - set(columns)) if columns else []
    if unknown:
        raise SpecError(
            f"{uc.folder / 'defs.yaml'} names {', '.join(unknown)}, which dbt's {name} does not describe "
            f"(its YAML beside the SQL); it has {', '.join(columns)}"
        )


def _keep_feature_query(uc: Declaration, manifest_file: Path) -> None:
    """Keep the compiled feature SQL, for the leakage check and the bento; `dbt parse` compiles nothing."""
    from mlplatform.lake.feature_query import FeatureQuery

    FeatureQuery.from_manifest(manifest_file, uc.spec.name).save(Home.current().feature_query(uc.spec.name))


def _with_table(event: Any, context: dg.AssetExecutionContext, lake: Lake, compiled: Mapping[str, Path]) -> Any:
    """Add what the lake knows of a finished model's table: rows, columns, bytes, snapshot; and column lineage."""
    if not isinstance(event, dg.Output):
        return event
    key = context.asset_key_for_output(event.output_name)
    table = table_metadata(describe_table(lake, table_of(key)))
    # A model in Python has no text that columns could be traced through.
    if (compiled_sql := compiled.get(table_of(key))) is not None:
        parents = context.assets_def.asset_deps[key]
        traced = _column_lineage(compiled_sql.read_text(encoding="utf-8"), lake, parents)
        table |= {"dagster/column_lineage": traced}
    return event.with_metadata({**event.metadata, **table})


def _column_lineage(sql: str, lake: Lake, parents: Iterable[dg.AssetKey]) -> dg.TableColumnLineage:
    from mlplatform.lake.column_lineage import trace_columns

    keys = {table_of(key): key for key in parents}
    traced = trace_columns(sql, {table: list(describe_table(lake, table).columns) for table in keys})
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(keys[table], name) for table, name in sorted(sources)]
            for column, sources in traced.items()
        }
    )


def _compiled_files(uc: Declaration, target: Path) -> dict[str, Path]:
    """Where dbt writes the compiled text of each model in SQL, by the model's table."""
    folder = target / "compiled" / "mlplatform" / "models" / uc.spec.name
    prefix = f"{uc.spec.name}_"
    return {
        f"{uc.spec.name}.{path.stem.removeprefix(prefix)}": folder / path.name
        for path in (dbt_project(Home.current()) / "models" / uc.spec.name).glob("*.sql")
    }
