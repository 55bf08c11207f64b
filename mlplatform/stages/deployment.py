"""`deployment`: which bento is live. A pointer that running services follow, and its history in the lake."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.errors import ArtifactError
from mlplatform.home import Home
from mlplatform.lake.tables import append_rows, describe_table
from mlplatform.resources.lake import LakeResource, recorded_metadata, table_metadata
from mlplatform.spec import Declaration
from mlplatform.stages.code_version import code_version
from mlplatform.stages.naming import asset_attributes, asset_key
from mlplatform.stages.served_check import refused, served_result, served_spec

if TYPE_CHECKING:
    from mlplatform.serving.pointer import Pointer

__all__ = ["current_deployment", "deployment_asset", "deployment_table"]

_DESCRIPTION = (
    "Which bento is live, since when, and what was live before. Running services follow it without a restart."
)


def deployment_table(uc: Declaration) -> str:
    """The lake table with one row per deployment."""
    return f"{uc.spec.name}.deployment"


def current_deployment(uc: Declaration) -> "Pointer | None":
    """What is live now, if anything."""
    from mlplatform.serving.pointer import read_pointer

    path = Home.current().deployment(uc.spec.name)
    return read_pointer(path) if path.exists() else None


def deployment_asset(uc: Declaration) -> dg.AssetsDefinition:
    """Verify the packaged bundle, move the pointer, and write the history. The same bento again changes nothing."""
    version = code_version("serving", "stages/deployment.py", "stages/served_check.py")

    @dg.asset(
        **asset_attributes(uc, "deployment", _DESCRIPTION, {"bentoml", "duckdb"}, "serving", version),
        deps=[asset_key(uc, "bento")],
        check_specs=[served_spec(uc)],
    )
    def deployment(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[Any]:
        from mlplatform.serving.bundle import verify_bundle
        from mlplatform.serving.pointer import write_pointer

        packaged = recorded_metadata(context.instance, asset_key(uc, "bento"), context.run_id)
        if "bento" not in packaged:
            raise ArtifactError(f"{uc.spec.name} has no packaged bento; materialise {uc.spec.name}/bento first")
        before = current_deployment(uc)
        pointer = _pointer(uc, packaged)
        verify_bundle(Path(pointer.path))
        moved = before is None or replace(before, deployed_at=pointer.deployed_at) != pointer
        file = Home.current().deployment(uc.spec.name)
        if moved:
            # History first: a crash between the two leaves a row that the next run repeats, never a live model
            # that no row tells of.
            _remember(uc, lake, pointer, before, context.run_id)
        if moved or refused(file):
            # Also of the same bento: it may have been mended since, and services try again only what is written again.
            write_pointer(file, pointer)
        if _end_challenge(file, pointer):
            context.log.info(f"v{pointer.version} challenges no more: it is champion")
        context.log.info(f"{pointer.bento} is deployed" + ("" if moved else " already"))
        yield dg.MaterializeResult(
            metadata=_metadata(uc, lake, current_deployment(uc) or pointer, before, moved),
            check_results=[served_result(uc, file)],
        )

    return deployment


def _end_challenge(file: Path, live: "Pointer") -> bool:
    """Of a version that is champion now. Left there, it would answer a share again once the champion is another one."""
    from mlplatform.serving.challenger import challenger_file, read_challenger

    challenge = challenger_file(file)
    try:
        over = challenge.exists() and read_challenger(challenge).version == live.version
    except ArtifactError:
        return False  # services say that it names no challenger
    if over:
        challenge.unlink(missing_ok=True)
    return over


def _pointer(uc: Declaration, packaged: Any) -> "Pointer":
    from mlplatform.serving.pointer import Pointer

    return Pointer(
        use_case=uc.spec.name,
        bento=str(packaged["bento"]),
        version=str(packaged["model_version"]),
        path=str(Path(packaged["path"]) / "src" / "bundle"),
        deployed_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _remember(uc: Declaration, lake: LakeResource, pointer: "Pointer", before: "Pointer | None", run_id: str) -> None:
    import pandas as pd

    row = pd.DataFrame(
        {
            "deployed_at": [pd.Timestamp(pointer.deployed_at).tz_localize(None)],
            "bento": [pointer.bento],
            "model_version": [int(pointer.version)],
            "replaced": pd.Series([before.bento if before else None], dtype="string"),
            "dagster_run": [run_id],
        }
    )
    lake.open().commit(lambda con: append_rows(con, deployment_table(uc), row), f"deploy {pointer.bento}")


def _metadata(
    uc: Declaration, lake: LakeResource, pointer: "Pointer", before: "Pointer | None", moved: bool
) -> dict[str, Any]:
    return {
        **table_metadata(describe_table(lake.open(), deployment_table(uc))),
        "live": pointer.bento,
        "model_version": int(pointer.version),
        "since": pointer.deployed_at,
        "replaced": before.bento if before and moved else "nothing",
        "changed": moved,
    }
