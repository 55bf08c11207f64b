"""The Content-Security-Policy of a page of the service: what its own text holds may run, and nothing else."""

import base64
import hashlib
import re

__all__ = ["page_policy"]

_SCRIPT = re.compile(r"<script(?:\s[^>]*)?>(.*?)</script>", re.DOTALL | re.IGNORECASE)


def page_policy(html: str) -> str:
    """Scripts only as they stand in `html` (by hash) or from the service; requests only to the service; no frames."""
    hashes = sorted({_hash(script) for script in _SCRIPT.findall(html) if script})
    scripts = " ".join(["'self'", *(f"'sha256-{digest}'" for digest in hashes)])
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
