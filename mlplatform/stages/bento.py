"""`bento`: the champion packaged with its contract, feature SQL, reference sample and a manifest of hashes."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.resources.lake import LakeResource
from mlplatform.resources.tracking import Registered, Tracking
from mlplatform.spec import Declaration
from mlplatform.stages.code_version import code_version
from mlplatform.stages.naming import asset_attributes, asset_key
from mlplatform.stages.trained import TRAINED_ON

if TYPE_CHECKING:
    import pandas as pd

    from mlplatform.serving.build import BuiltBento

__all__ = ["REFERENCE_FILE", "bento_asset"]

REFERENCE_FILE = "reference.parquet"

_DESCRIPTION = (
    "The champion as a Bento: model, contract, reference sample, importance, and a manifest of SHA-256 hashes."
)


def bento_asset(uc: Declaration) -> dg.AssetsDefinition:
    """Package whatever version carries the champion alias; packaging it again gives the same bento."""

    version = code_version("serving", "ml", "stages/bento.py")

    @dg.asset(
        **asset_attributes(uc, "bento", _DESCRIPTION, {"bentoml"}, "serving", version),
        deps=[asset_key(uc, "champion")],
    )
    def bento(context: dg.AssetExecutionContext, lake: LakeResource, tracking: Tracking) -> dg.MaterializeResult[Any]:
        champion = tracking.champion(uc.spec.name)
        if champion is None:
            raise dg.Failure(f"{uc.spec.name} has no champion yet: no candidate has passed the gates")
        built = _build(uc, champion, tracking, _reference(uc, lake, champion))
        context.log.info(f"{built.tag} at {built.path}")
        return dg.MaterializeResult(
            metadata={
                "bento": built.tag,
                "model_version": champion.version,
                "path": dg.MetadataValue.path(str(built.path)),
                "bytes": sum(p.stat().st_size for p in built.path.rglob("*") if p.is_file()),
                "serve": f"mlplatform serve {uc.spec.name}",
                "files": dg.MetadataValue.json(_manifest_files(built)),
            }
        )

    return bento


def _build(uc: Declaration, champion: Registered, tracking: Tracking, reference: "pd.DataFrame") -> "BuiltBento":
    from mlplatform.serving.build import build_bento
    from mlplatform.serving.bundle import write_manifest

    with tempfile.TemporaryDirectory(prefix="mlplatform-bundle-") as made:
        bundle = Path(made) / "bundle"
        shutil.copytree(tracking.model_folder(champion.run_id), bundle)
        reference.to_parquet(bundle / REFERENCE_FILE, index=False)
        facts = {"mlflow_run_id": champion.run_id, TRAINED_ON: champion.tags[TRAINED_ON]}
        write_manifest(bundle, uc.spec.name, champion.version, facts)
        return build_bento(bundle, uc.spec.name, champion.version, {"use_case": uc.spec.name})


def _reference(uc: Declaration, lake: LakeResource, champion: Registered) -> "pd.DataFrame":
    """Training rows of the champion's own snapshot that drift is measured against: the same ones each time."""
    columns, keys = ", ".join(uc.spec.training.features), ", ".join(uc.spec.entity_keys)
    with lake.open().read(int(champion.tags[TRAINED_ON])) as con:
        return con.execute(
            f"SELECT {columns} FROM {uc.spec.name}.training_set WHERE part IN ('train', 'tune') "
            f"ORDER BY hash({keys}), {keys} LIMIT {uc.spec.drift.sample_rows}"
        ).df()


def _manifest_files(built: "BuiltBento") -> dict[str, Any]:
    from mlplatform.serving.bundle import MANIFEST

    files: dict[str, Any] = json.loads((built.bundle / MANIFEST).read_text())["files"]
    return files
