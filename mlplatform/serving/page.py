"""The page at `/` and what it is made of. The browser builds its forms from /openapi.json; here is only the frame.

Nothing comes from elsewhere, no script stands in the HTML: `Content-Security-Policy: default-src 'self'` can be set.
"""

import json
from html import escape
from string import Template

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from mlplatform.serving.answers import in_words
from mlplatform.serving.scoring import Live, Slot
from mlplatform.serving.web import WEB

__all__ = ["CARD_PATH", "page_routes", "render"]

CARD_PATH = "/card.md"


def render(live: Live) -> str:
    """HTML of the page; everything that comes from a bundle is escaped."""
    lookup = live.bundle.lookup
    example = json.dumps(lookup.example() if lookup else live.example()).replace("'", "'\\''")
    shown = {
        "title": live.bundle.use_case,
        "version": live.bundle.version,
        "bento": live.bento,
        "words": in_words(live.bundle),
        "example": example,
    }
    template = Template((WEB / "page.html").read_text(encoding="utf-8"))
    return template.substitute({name: escape(text) for name, text in shown.items()})


def page_routes(slot: Slot) -> list[BaseRoute]:
    """Scripts, style and picture below /static, and the model card as Markdown (404 where the bundle has none)."""

    async def card(_: Request) -> Response:
        text = slot.live.bundle.card if slot.live else ""
        return PlainTextResponse(text or "this model has no card", 200 if text else 404, media_type="text/markdown")

    return [Mount("/static", StaticFiles(directory=WEB / "static")), Route(CARD_PATH, card)]
