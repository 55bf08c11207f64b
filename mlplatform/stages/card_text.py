"""The text of a version's model card, from what MLflow kept of its training and its comparison."""

import json
from typing import Any

from mlplatform.errors import ArtifactError
from mlplatform.resources.tracking import Registered, Tracking
from mlplatform.spec import Declaration
from mlplatform.stages.champion import COMPARISON_FILE
from mlplatform.stages.trained import DATASET_FILE, IMPORTANCE_FILE

__all__ = ["card_if_compared", "card_text"]


def card_text(uc: Declaration, version: Registered, tracking: Tracking) -> str:
    """Markdown; the same version gives the same text.

    Raises:
        ArtifactError: the version was never compared, or its run lost a file.
    """
    from mlplatform.ml.card import CardFacts, model_card

    if "candidate" not in version.tags:
        raise ArtifactError(f"v{version.version} of {uc.spec.name} was registered by hand: no comparison has judged it")
    recorded = tracking.client().get_run(version.run_id).data

    def kept(name: str) -> Any:
        return json.loads(tracking.artifact(version.run_id, name).read_text(encoding="utf-8"))

    facts = CardFacts(
        version=version.version,
        run_id=version.run_id,
        candidate=version.tags["candidate"],
        params=recorded.params,
        metrics={name: value for name, value in recorded.metrics.items() if name.startswith("test_")},
        dataset=kept(DATASET_FILE),
        importance=json.loads((tracking.model_folder(version.run_id) / IMPORTANCE_FILE).read_text(encoding="utf-8")),
        comparison=kept(COMPARISON_FILE),
    )
    return model_card(uc.spec, facts)


def card_if_compared(uc: Declaration, version: Registered, tracking: Tracking) -> str:
    """The same, or nothing: a challenger may be packaged before any comparison has judged it."""
    try:
        return card_text(uc, version, tracking)
    except ArtifactError:
        return ""
