"""Rules of healing that name what the graph does not have are refused when it is built, not when they are needed."""

from collections.abc import Sequence

import dagster as dg

from mlplatform.errors import SpecError
from mlplatform.spec import Declaration

__all__ = ["require_known_rules"]


def require_known_rules(
    uc: Declaration, assets: Sequence[dg.AssetsDefinition], checks: Sequence[dg.AssetChecksDefinition]
) -> None:
    """Every `when` names a stage or check of this use case.

    Raises:
        SpecError: one does not; lists what there is.
    """
    keys = {key for asset in assets for key in asset.keys}
    found = [spec.key for each in (*assets, *checks) for spec in each.check_specs]
    stages = {key.path[-1] for key in keys} | {"raw", "candidate", "run"}
    names = {key.name for key in found}
    pairs = {f"{stage}.{key.name}" for key in found for stage in _stages_of(key.asset_key.path[-1])}
    unknown = [rule.when for rule in uc.spec.healing if rule.when not in stages | names | pairs]
    if unknown:
        short = sorted(name for name in names if name.count("_") < 2)
        raise SpecError(
            f"{uc.folder / 'defs.yaml'}: healing has no stage or check {', '.join(unknown)}; stages: "
            f"{', '.join(sorted(stages))}; checks, among others: {', '.join(short)}"
        )


def _stages_of(stage: str) -> tuple[str, ...]:
    """A stage and the family that it belongs to."""
    family = stage.partition("_")[0]
    return (stage, family) if family in ("raw", "candidate") else (stage,)
