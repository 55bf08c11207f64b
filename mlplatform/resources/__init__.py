"""Thin Dagster resources over the lake, MLflow and dbt. Heavy imports live inside methods."""

from typing import Any

from mlplatform.resources.dbt import dbt_resource
from mlplatform.resources.lake import LakeIOManager, LakeResource
from mlplatform.resources.tracking import Tracking

__all__ = ["LakeIOManager", "LakeResource", "Tracking", "shared_resources"]


def shared_resources() -> dict[str, Any]:
    """One set for all use cases, by the names that the stages ask for."""
    return {
        "lake": LakeResource(),
        "lake_io": LakeIOManager(),
        "tracking": Tracking(),
        "dbt": dbt_resource(),
    }
