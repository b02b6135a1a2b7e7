"""Takes the pictures: every page of the table, wide and on a phone, light and dark, as small WebP files."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tests.browser.watching import sign_in
from tests.chromium import launched

SIZES = {"wide": (1440, 900), "phone": (390, 844)}
SCHEMES = ("light", "dark")
# What a list of a thousand rows says, its first ones say; all pictures together stay under 12 MB.
TALLEST = {"wide": 1000, "phone": 1400}
QUALITY = 50

# Pictures below the fold are loaded, letters are drawn, and nothing moves any more.
SETTLED = """async () => {
  for (const image of document.images) image.loading = "eager";
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
  await document.fonts.ready;
  document.documentElement.scrollTop = 0;
}"""
# The console looks once, when it is loaded, at what the system likes.
SCHEME_OF_THE_CONSOLE = (
    """scheme => document.querySelector("html[x-data]")?.classList.toggle("dark", scheme === "dark")"""
)
SCROLLS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass(frozen=True)
class Shot:
    """One page as one person sees it, whose name and password are the same; empty for a visitor.

    home: where that person comes to by signing in.
    """

    name: str
    person: str
    address: str
    home: str


def take(shots: list[Shot], base: str, folder: Path) -> list[str]:
    """Write `name-scheme-size.webp` for each shot into the folder; returns what looked wrong to a machine."""
    faults: list[str] = []
    with launched() as browser:
        known = _signed_in(browser, shots, base)
        for size in SIZES:
            for person in dict.fromkeys(shot.person for shot in shots):
                page = _page(browser, base, size, known.get(person))
                for shot in [shot for shot in shots if shot.person == person]:
                    faults += [f"{shot.name}, {size}: {fault}" for fault in _take(page, shot, size, folder)]
                page.context.close()
    return faults


def _page(browser: Any, base: str, size: str, memory: Any) -> Any:
    is_phone = size == "phone"
    context = browser.new_context(
        base_url=base, reduced_motion="reduce", is_mobile=is_phone, has_touch=is_phone, storage_state=memory
    )
    return context.new_page()


def _take(page: Any, shot: Shot, size: str, folder: Path) -> list[str]:
    """Take one page in all schemes. The window grows with the page: what sticks to its edge belongs at the end."""
    width, height = SIZES[size]
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=SCHEMES[0])
    page.goto(shot.address)
    page.evaluate(SETTLED)
    tall = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": width, "height": max(height, min(tall, TALLEST[size]))})
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        page.evaluate(SCHEME_OF_THE_CONSOLE, scheme)
        body = page.screenshot(animations="disabled")
        with Image.open(io.BytesIO(body)) as picture:
            picture.convert("RGB").save(folder / f"{shot.name}-{scheme}-{size}.webp", "WEBP", quality=QUALITY, method=4)
    over = page.evaluate(SCROLLS)
    return [f"scrolls sideways by {over} pixels"] if over > 0 else []


def _signed_in(browser: Any, shots: list[Shot], base: str) -> Mapping[str, Any]:
    """Sign everybody in by the form; returns the browser's memory of each."""
    known = {}
    for person, home in {shot.person: shot.home for shot in shots if shot.person}.items():
        context = browser.new_context(base_url=base)
        sign_in(context.new_page(), person, to=home)
        known[person] = context.storage_state()
        context.close()
    return known
