"""The page at `/`: what is served here and how to call it. The form comes with the rest of the serving work."""

import json
from html import escape

from mlplatform.serving.answers import in_words
from mlplatform.serving.column import describe_allowed
from mlplatform.serving.scoring import Live

__all__ = ["render"]

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }}
pre {{ background: #f4f4f4; padding: 1rem; overflow-x: auto }}
td, th {{ text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top }}
</style></head><body>
<h1>{title}</h1>
<p>Version {version}, bento <code>{bento}</code>. {words}</p>
<pre>curl -s "$URL/predict" -H 'Content-Type: application/json' -d '{example}'</pre>
{about}
<p><a href="openapi.json">OpenAPI</a> · <a href="readyz">readiness</a> · <a href="metrics">metrics</a></p>
<table><tr><th>feature</th><th>allowed</th><th>what it is</th></tr>
{rows}
</table></body></html>
"""


def render(live: Live) -> str:
    """HTML of the page; everything that comes from a bundle is escaped."""
    rows = "\n".join(
        f"<tr><td><code>{escape(rule.name)}</code></td><td>{escape(describe_allowed(rule))}</td>"
        f"<td>{escape(rule.description)}</td></tr>"
        for rule in live.reader.rules
    )
    lookup = live.bundle.lookup
    return PAGE.format(
        title=escape(live.bundle.use_case),
        version=escape(live.bundle.version),
        bento=escape(live.bento),
        words=escape(in_words(live.bundle.model)),
        example=escape(json.dumps(lookup.example() if lookup else live.example())),
        about=_about(live),
        rows=rows,
    )


def _about(live: Live) -> str:
    """What a request may say of itself, where it is kept and not known without."""
    names = sorted(live.bundle.journal.identity.names(frozenset(live.bundle.model.features)))
    if live.bundle.lookup is not None or not live.bundle.journal.enabled or not names:
        return ""
    told = " and ".join(f"<code>{escape(name)}</code>" for name in names)
    return f"<p>Name {told}, too, and the prediction is found again when its label arrives.</p>"
