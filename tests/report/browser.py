"""A real headless Chromium over a page of the report; skipped, saying why, where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    (p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None
)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome (make browser)"
)
DRAWN = "html[data-charts=drawn]"


@dataclass
class Seen:
    """What an open page did: faults on its console, addresses that it asked for."""

    page: Any
    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def opened(path: Path, *, charts: bool = True, **context: Any) -> Iterator[Seen]:
    """The page of a file, with its charts drawn."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **context})
            seen = Seen(page)
            page.on(
                "console",
                lambda m: m.type in ("error", "warning") and seen.faults.append(m.text),
            )
            page.on("pageerror", lambda e: seen.faults.append(str(e)))
            page.on("dialog", lambda d: (seen.faults.append("dialog"), d.dismiss()))
            page.on("request", lambda r: seen.requests.append(r.url))
            page.goto(path.resolve().as_uri())
            if charts:
                page.wait_for_selector(DRAWN, state="attached", timeout=30_000)
            yield seen
        finally:
            browser.close()
