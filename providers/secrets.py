"""The providers' keys: where they come from, and how they are kept out of what people read.

Each backend is the only source while it is chosen: a key that Secrets Manager does not give is not looked for
in the environment. In simulated mode the keys are fixed and worthless, whatever the environment holds, so that
a stray key can spend nothing.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, NoReturn, Protocol

from django.conf import settings

if TYPE_CHECKING:
    from providers.secrets_manager import Vault

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
_HOOK = re.compile(r"(/hooks/[\w-]+/)[\w-]+")  # the token of a webhook's address
_QUERY = re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]+")


class MissingKey(Exception):
    """Real mode without this provider's key: the provider is off. The text names the variable or the secret."""


class SecretsUnavailable(MissingKey):
    """The key is in a vault that does not give it now."""

    code = "SECRETS_UNAVAILABLE"


class Source(Protocol):
    """Where keys come from. `key` may ask the network; `has` does so at most once in a process's life."""

    def key(self, provider: str) -> str: ...

    def has(self, provider: str) -> bool: ...


class _Simulator:
    def key(self, provider: str) -> str:
        return SIMULATOR_KEYS.get(provider) or _missing(f"{provider} has no key on the simulator")

    def has(self, provider: str) -> bool:
        return provider in SIMULATOR_KEYS


class _Environment:
    def key(self, provider: str) -> str:
        return settings.PROVIDER_KEYS.get(provider) or _missing(f"{_variable(provider)} is not set")

    def has(self, provider: str) -> bool:
        return bool(settings.PROVIDER_KEYS.get(provider))


class _SecretsManager:
    """boto3 takes a second to import and tens of megabytes: only who keeps keys there pays for it."""

    def key(self, provider: str) -> str:
        from providers.secrets_manager import Unreadable

        name = settings.SECRET_NAMES.get(provider) or _missing(f"no secret is named for {provider}")
        try:
            return _vault().value(name)
        except Unreadable as error:
            raise SecretsUnavailable(f"{SecretsUnavailable.code}: {error}") from error

    def has(self, provider: str) -> bool:
        return provider in settings.SECRET_NAMES and _vault().has(settings.SECRET_NAMES[provider])


_SOURCES: dict[str, Source] = {"env": _Environment(), "aws": _SecretsManager()}


SHORTEST = 8  # hiding a shorter one would hide ordinary words
# What was handed out in this process, for whoever has to hide it: of a vault also what was replaced there since.
_handed_out: set[str] = set()


def key(provider: str) -> str:
    """The provider's key. Raises MissingKey. Never log or store what it returns."""
    value = _source().key(provider)
    if len(value) >= SHORTEST:
        _handed_out.add(value)
    return value


def known() -> list[str]:
    """Every secret value that this process may have used, the longest first."""
    found = {*tuple(_handed_out), *settings.PROVIDER_KEYS.values(), *SIMULATOR_KEYS.values()}
    return sorted((value for value in found if len(value) >= SHORTEST), key=len, reverse=True)


def has_key(provider: str) -> bool:
    return _source().has(provider)


def source_of(provider: str) -> str:
    """Where a key is looked for, for staff: the variable's name, or the secret's."""
    from_vault = settings.SECRETS_BACKEND == "aws"
    return f"The secret {settings.SECRET_NAMES.get(provider)}" if from_vault else _variable(provider)


def read_ahead() -> None:
    """Read the keys of a vault beside the caller, so that nobody waits for the first one in a transaction."""
    if settings.PROVIDERS_MODE == "real" and settings.SECRETS_BACKEND == "aws":
        for provider in settings.SECRET_NAMES:
            threading.Thread(target=has_key, args=(provider,), name="secrets", daemon=True).start()


def _source() -> Source:
    return _Simulator() if settings.PROVIDERS_MODE == "simulated" else _SOURCES[settings.SECRETS_BACKEND]


def _vault() -> Vault:
    from providers.secrets_manager import vault

    return vault()


def _variable(provider: str) -> str:
    return provider.upper().replace("-", "_") + ("_SECRET" if provider.endswith("-webhook") else "_API_KEY")


def _missing(why: str) -> NoReturn:
    raise MissingKey(why)


def redact(text: str, limit: int = 500) -> str:
    """Cut keys, tokens and the query strings of links (signatures) out of a text for staff."""
    for value in known():
        text = text.replace(value, "***")
    text = _BEARER.sub(r"\1 ***", text)
    text = _KEY_SHAPED.sub(r"\1***", text)
    text = _HOOK.sub(r"\1***", text)
    text = _QUERY.sub(r"\1?***", text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
