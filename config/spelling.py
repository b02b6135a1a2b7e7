"""How facts are spelled for people: what a field is called, money, sizes, data that is kept as JSON.

The one place for that: lists, a row's own page, its events and what staff did all spell alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from django.db import models
from django.utils.html import format_html_join
from django.utils.text import capfirst

# What a table calls a field -> what people call it, where a capital letter is not enough.
HEADINGS = {
    "actor": "By",
    "api_cost_usd": "Provider's price in $",
    "at": "When",
    "cost_usd": "Provider's cost",
    "credits_cost": "Price in credits",
    "described": "What",
    "duration_ms": "Took",
    "favorite_count": "Favourites",
    "lease_until": "Leased until",
    "operation_key": "Operation",
    "operation_name": "Name",
    "owner": "Customer",
    "park_until": "Parked until",
    "pass_no": "Pass",
    "poll_at": "Asked again",
    "public_id": "Item",
    "rating_avg": "Rating",
    "remote_id": "The provider's id",
    "run_after": "Due",
    "seed_used": "Seed",
    "seq": "Number",
    "session_id": "Session",
    "sha256": "SHA-256",
    "size_bytes": "Size",
    "storage_id": "Folder in the store",
    "usage_count": "Used",
    "votes_count": "Votes",
}
# A form's one-time key says nothing to people.
UNSAID = ("form",)


def heading(field: models.Field) -> str:
    """Call a field by its name: `is_public` is Public, `created_at` is Created, for the moment stands beside it."""
    words = HEADINGS.get(field.name) or str(field.verbose_name).removesuffix(" at").removeprefix("is ")
    return str(capfirst(words))


def inside(words: str) -> str:
    """As it stands inside a sentence; what is capitals throughout stays."""
    return words if words[:2].isupper() else words[:1].lower() + words[1:]


def usd(cost: Decimal | None) -> str:
    """What a provider asks: to a hundredth of a cent, so that columns of it stand below one another."""
    return f"${cost:.4f}" if cost else "–"


def size(length_bytes: int) -> str:
    return f"{length_bytes / 1024:,.0f} KB" if length_bytes < 1024**2 else f"{length_bytes / 1024**2:,.1f} MB"


def lasted(length_ms: int) -> str:
    return f"{length_ms} ms" if length_ms < 1000 else f"{length_ms / 1000:.1f} s"


def plainly(text: str) -> str:
    """Of a provider's answer in JSON, its message; the whole stands on the attempt's own page."""
    before, brace, _ = text.partition("{")
    message = (
        re.search(r'"(?:message|detail|error|title)":\s*"((?:[^"\\]|\\.)+)', text[len(before) :]) if brace else None
    )
    return before + message[1].replace('\\"', '"') if message else text


def facts(data: Any) -> Iterator[tuple[str, str]]:
    """Spell names and values of data: `wait_s: 2.391` is wait, 2.4 s."""
    for name, value in data.items() if isinstance(data, Mapping) else [("", data)]:
        if name not in UNSAID:
            yield _fact(str(name), value)


def said(data: Mapping[str, Any]) -> str:
    """In one line, and only what there is: `code TIMEOUT, refunded 2`."""
    shown = {name: value for name, value in data.items() if value not in (None, "", [], {}, False, 0)}
    return ", ".join(" ".join(filter(None, fact)) for fact in facts(shown))


def listed(data: Any) -> str:
    """Below one another, for a row's own page."""
    return format_html_join("", '<span class="console-fact"><span>{}</span> {}</span>', facts(data))


def _fact(name: str, value: Any) -> tuple[str, str]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if name.endswith("_ms"):
            return _words(name[:-3]), lasted(int(value))
        if name.endswith("_s"):
            return _words(name[:-2]), f"{value:.1f} s"
        if name == "progress":
            return name, f"{value} %"
    return _words(name), _value(value)


def _words(name: str) -> str:
    """Take names of programs apart: `ageRange` and `age_range` are age range."""
    return re.sub(r"(?<=[a-z0-9])[A-Z]", lambda capital: f" {capital[0].lower()}", name).replace("_", " ")


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return said(value) or "–"
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value)) or "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value in (None, "") else str(value)
