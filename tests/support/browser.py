"""A real Chromium, headless, and a page that remembers what went wrong in it and whom it called."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Response, sync_playwright

_FIND = Path(__file__).resolve().parents[2] / "scripts" / "ensure-chromium.sh"
_QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
          "--disable-component-update", "--disable-sync")  # fmt: skip
# Opened at a page's own address, Streamlit looks for its server below that first: 404 is the answer that it expects.
_LOOKED_FOR = re.compile(r"/[\w-]+/_stcore/(health|host-config)$")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The Chromium of this machine; installed first where there is none and that can be done."""
    found = subprocess.run([str(_FIND)], capture_output=True, text=True, timeout=600, check=False)
    assert found.returncode == 0, found.stderr
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found.stdout.strip(), args=list(_QUIET))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Tab:
    """A page with its troubles (errors on the console, exceptions, refused requests) and the hosts that it called."""

    page: Page
    troubles: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def watch(self) -> Tab:
        """Note everything from now on."""
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.troubles.append(f"exception: {error}"))
        self.page.on("response", self._answered)
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        return self

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not _LOOKED_FOR.search(message.location.get("url", "")):
            self.troubles.append(f"console: {message.text} ({message.location.get('url')})")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and not _LOOKED_FOR.search(response.url):
            self.troubles.append(f"{response.status} {response.url}")


@contextmanager
def tab(browser: Browser, *, width: int = 1440, height: int = 900) -> Iterator[Tab]:
    """A new tab of a browser that has never been here."""
    context = browser.new_context(viewport={"width": width, "height": height}, locale="en-US", accept_downloads=True)
    try:
        yield Tab(context.new_page()).watch()
    finally:
        context.close()
