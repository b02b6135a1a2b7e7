"""Where one is in the console, in the words of its menu: the list, the row's page and the menu call a thing alike."""

from __future__ import annotations

from typing import Any

from django import template

register = template.Library()


@register.simple_tag(takes_context=True)
def way_here(context: template.Context) -> list[dict[str, str]]:
    """The steps to this page, each with words and a link: group of the menu, entry, the row as it calls itself."""
    steps: list[dict[str, str]] = []
    for group in context.get("sidebar_navigation") or []:
        for entry in group["items"]:
            if entry["active"] and group["title"]:
                outer = [] if group["title"] == entry["title"] else [_step(group["title"])]
                steps = [*outer, _step(entry["title"], entry["link"])]
    row = context.get("original") or context.get("object")
    is_room = bool(steps and context.get("opts"))
    own = str(row or ("" if is_room else context.get("title") or ""))
    return steps + ([_step(own)] if own and own not in [step["words"] for step in steps] else [])


def _step(words: str, link: Any = "") -> dict[str, str]:
    return {"words": words, "link": str(link)}
