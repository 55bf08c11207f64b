"""`model_card`: what the champion is, learned from, showed and cannot do, as one page for people."""

from pathlib import Path
from typing import Any

import dagster as dg

from mlplatform.home import Home
from mlplatform.resources.lake import LakeResource
from mlplatform.resources.tracking import Tracking
from mlplatform.spec import Declaration
from mlplatform.stages.alias import champion_lock, settled_champion
from mlplatform.stages.card_text import card_text
from mlplatform.stages.code_version import code_version
from mlplatform.stages.naming import asset_attributes, asset_key
from mlplatform.stages.pictures import picture

__all__ = ["card_file", "model_card_asset"]

_DESCRIPTION = "The champion's card: purpose, data, figures with intervals, groups, gates, limits."
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }}
table {{ border-collapse: collapse; margin: 1rem 0 }}
td, th {{ border-bottom: 1px solid #ddd; padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top }}
h2 {{ margin-top: 2rem; font-size: 1.15rem }}
code {{ overflow-wrap: anywhere }}
img {{ width: 100%; max-width: 22rem }}
</style></head><body>
{body}
<p>{pictures}</p>
</body></html>
"""


def card_file(use_case: str, version: int) -> Path:
    """Where the card of a version lies, among the pages that `mlplatform up` serves."""
    return Home.current().reports / use_case / f"model-card-v{version}.html"


def model_card_asset(uc: Declaration) -> dg.AssetsDefinition:
    """Write the card of the version that carries the champion alias."""
    version = code_version("ml/card.py", "stages/card_text.py", "stages/model_card.py", declared=uc.spec)

    @dg.asset(
        **asset_attributes(uc, "model_card", _DESCRIPTION, {"mlflow"}, "model", version),
        deps=[asset_key(uc, "champion"), asset_key(uc, "rollback")],
    )
    def model_card(
        context: dg.AssetExecutionContext, lake: LakeResource, tracking: Tracking
    ) -> dg.MaterializeResult[Any]:
        from mlplatform.ml.task_plots import CARD_PICTURES

        with champion_lock(uc):
            champion = settled_champion(uc, lake.open(), tracking)
        if champion is None:
            raise dg.Failure(f"{uc.spec.name} has no champion yet: no candidate has passed the gates")
        text = card_text(uc, champion, tracking)
        shown = CARD_PICTURES[uc.spec.training.task.kind]
        drawn = {name: tracking.artifact(champion.run_id, f"{name}.png").read_bytes() for name in shown}
        page = card_file(uc.spec.name, champion.version)
        _write_page(page, f"{uc.spec.name} v{champion.version}", text, drawn)
        home = Home.current()
        context.log.info(f"card of v{champion.version} at {page}")
        return dg.MaterializeResult(
            metadata={
                "card": dg.MetadataValue.md(text),
                "page": dg.MetadataValue.url(f"{home.reports_url}/{page.relative_to(home.reports).as_posix()}"),
                "page_file": dg.MetadataValue.path(str(page)),
                shown[0]: picture(drawn[shown[0]], shown[0].replace("_", " ")),
                "model_version": champion.version,
            }
        )

    return model_card


def _write_page(path: Path, title: str, text: str, pictures: dict[str, bytes]) -> None:
    """Written beside its place and moved, so that nobody reads half a page."""
    import base64
    from html import escape

    from markdown import markdown

    shown = "\n".join(
        f'<img alt="{escape(name)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        for name, png in pictures.items()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    body = markdown(text, extensions=["tables"])
    unfinished.write_text(_PAGE.format(title=escape(title), body=body, pictures=shown), encoding="utf-8")
    unfinished.replace(path)
