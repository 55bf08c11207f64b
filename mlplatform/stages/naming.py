"""How the nodes of every use case are named, grouped and described, so that all graphs read the same way."""

from collections.abc import Sequence
from typing import Any, TypedDict

import dagster as dg

from mlplatform.spec import Declaration

__all__ = ["AssetAttributes", "asset_attributes", "asset_key", "check_result", "check_spec"]


class AssetAttributes(TypedDict):
    """What every stage's asset has in common."""

    key: dg.AssetKey
    group_name: str
    description: str
    owners: Sequence[str]
    kinds: set[str]
    tags: dict[str, str]
    code_version: str


def asset_key(uc: Declaration, stage: str) -> dg.AssetKey:
    """[use case, stage]."""
    return dg.AssetKey([uc.spec.name, stage])


def asset_attributes(
    uc: Declaration, stage: str, description: str, kinds: set[str], area: str, version: str
) -> AssetAttributes:
    """Key, group, owners and tags of a stage. `area`: data, model, serving or monitoring; `version`: of its code."""
    return AssetAttributes(
        key=asset_key(uc, stage),
        group_name=uc.spec.name,
        description=description,
        owners=uc.spec.owners,
        kinds=kinds,
        tags={"area": area},
        code_version=version,
    )


def check_spec(uc: Declaration, stage: str, name: str, description: str) -> dg.AssetCheckSpec:
    """A blocking check: what comes after it in the run waits for it and stops when it fails."""
    return dg.AssetCheckSpec(name, asset=asset_key(uc, stage), description=description, blocking=True)


def check_result(name: str, passed: bool, metadata: dict[str, Any]) -> dg.AssetCheckResult:
    """The outcome of a blocking check; only severity ERROR blocks."""
    return dg.AssetCheckResult(check_name=name, passed=passed, severity=dg.AssetCheckSeverity.ERROR, metadata=metadata)
