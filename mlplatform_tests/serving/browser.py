"""A headless Chromium, for tests that look at a page as a person does."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["STRICT", "Guarded", "chromium", "opened"]

STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""The strictest policy that a proxy or the service may set; what breaks it is an error in the console."""
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


class Guarded:
    """The app with STRICT on every answer and, if `key` is given, 401 to requests without it."""

    def __init__(self, app: ASGIApp, key: str = "") -> None:
        self._app, self._key = app, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", STRICT.encode())]
            await send(message)

        open_to_all = scope["type"] != "http" or scope["path"] == "/" or scope["path"].startswith("/static/")
        if (
            not self._key
            or open_to_all
            or dict(scope["headers"]).get(b"authorization") == f"Bearer {self._key}".encode()
        ):
            await self._app(scope, receive, guarded)
            return
        await guarded(
            {"type": "http.response.start", "status": 401, "headers": [(b"content-type", b"application/json")]}
        )
        await send({"type": "http.response.body", "body": b'{"error": "an API key is needed"}'})


@contextmanager
def chromium() -> Iterator[Browser]:
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if found is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=QUIET)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, url: str, width: int = 1280, height: int = 900, scheme: str = "light") -> Iterator[Page]:
    """The page, loaded. Fails at its end if the browser noted an error that is no answer of the service."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
    page, noted = context.new_page(), list[str]()

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and "the server responded with a status of 4" not in message.text:
            noted.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: noted.append(str(error)))
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(url)
    yield page
    context.close()
    assert not noted
    assert {each for each in requested if not each.startswith(url)} == set(), "the page must work offline"
