"""The providers' keys: where they come from, and how they are kept out of what people read.

A backend answers `key(provider) -> str | None`. In simulated mode the keys are fixed and worthless,
whatever the environment holds, so that a stray key can spend nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from django.conf import settings

# What the simulator accepts. The second must look like a token of its vendor: official clients route by it.
SIMULATOR_KEYS = {
    "huggingface": "hf_simulator",
    "openai": "sk-simulator",
    "openrouter": "sk-or-simulator",
    "recraft": "recraft-simulator",
    "replicate": "r8_simulator",
    "replicate-webhook": "whsec_d29ydGggbm90aGluZyBvdXRzaWRlIHRoaXMgbWFjaGluZQ==",
    "stability": "sk-stability-simulator",
    "tripo": "tsk_simulator",
    "tripo-webhook": "whsec_simulator",
}

_BEARER = re.compile(r"(?i)\b(bearer|key|token)\s+[\w.~+/=-]{8,}")
_KEY_SHAPED = re.compile(r"\b(sk-|hf_|r8_|tsk_|whsec_)[\w-]{6,}")
_QUERY = re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]+")


class MissingKey(Exception):
    """Real mode without this provider's key: the provider is off. The text names the variable."""


def _from_environment(provider: str) -> str | None:
    return settings.PROVIDER_KEYS.get(provider) or None


_BACKENDS: dict[str, Callable[[str], str | None]] = {
    "env": _from_environment,
}


def key(provider: str) -> str:
    """The provider's key. Raises MissingKey. Never log or store what it returns."""
    found = _look_up(provider)
    if not found:
        raise MissingKey(f"{provider.upper()}_API_KEY is not set")
    return found


def has_key(provider: str) -> bool:
    return bool(_look_up(provider))


def _look_up(provider: str) -> str | None:
    if settings.PROVIDERS_MODE == "simulated":
        return SIMULATOR_KEYS.get(provider)
    return _BACKENDS[settings.SECRETS_BACKEND](provider)


def redact(text: str, limit: int = 500) -> str:
    """Cut keys, tokens and the query strings of links (signatures) out of a text for staff."""
    for value in {*settings.PROVIDER_KEYS.values(), *SIMULATOR_KEYS.values()}:
        if value:
            text = text.replace(value, "***")
    text = _BEARER.sub(r"\1 ***", text)
    text = _KEY_SHAPED.sub(r"\1***", text)
    text = _QUERY.sub(r"\1?***", text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
