"""A headless Chromium, for tests that look at a page as a person does."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["STRICT", "Strict", "chromium", "opened"]

STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""The strictest policy that a proxy or the service may set; what breaks it is an error in the console."""
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


class Strict:
    """The app with STRICT beside whatever policy its answers have: a browser keeps to both."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", STRICT.encode())]
            await send(message)

        await self._app(scope, receive, guarded)


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
def opened(
    browser: Browser, url: str, width: int = 1280, height: int = 900, scheme: str = "light", password: str = ""
) -> Iterator[Page]:
    """The page, loaded, with `password` for a service that asks for one. Fails at its end if the browser noted an error
    that is no answer of the service."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,  # type: ignore[arg-type]
        http_credentials={"username": "anybody", "password": password} if password else None,
    )
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
