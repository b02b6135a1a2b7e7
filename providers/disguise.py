"""Texts for rows, without the names of those who sent them: whoever has the database alone learns no vendor.

A vendor's name becomes its alias, the names of models, companies and hosts behind it three stars. What is
left still tells staff what went wrong; the alias leads those who may know to the name.
"""

from __future__ import annotations

import re
from functools import cache

from providers import registry

# Brands, model families and hosts that give a vendor away, beside the names in the registry. In any case.
GIVEAWAYS = (
    r"stable[-_ ]?(?:diffusion|fast|point|image)[\w.-]*",
    r"black[-_ ]?forest[-_ ]?labs",
    r"hugging[-_ ]face",
    r"gpt-[\w.-]+",
    r"dall-?e[\w.-]*",
    r"flux[\w.-]*",
    r"sdxl[\w.-]*",
    r"sd3[\w.-]*",
    r"fal-ai|fal\.(?:ai|run|media)|x-fal[\w-]*",
    r"grounded[-_ ]sam[\w.-]*",
)


def disguise(text: str) -> str:
    """Put aliases and stars in the place of names."""
    text = _names().sub(lambda found: registry.alias_of(found.group(1)) or "***", text)
    return _giveaways().sub("***", text)


@cache
def _names() -> re.Pattern[str]:
    names = sorted((name for vendor in registry.VENDORS for name in vendor.names), key=len, reverse=True)
    return re.compile(rf"({'|'.join(map(re.escape, names))})", re.IGNORECASE)


@cache
def _giveaways() -> re.Pattern[str]:
    return re.compile("|".join(GIVEAWAYS), re.IGNORECASE)
