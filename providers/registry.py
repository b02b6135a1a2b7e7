"""Who can do what: the literal table of providers, their aliases, operations, price keys and lanes.

Real vendor names live in code only; rows, answers and logs hold the alias and a model key. This file
is the only map between them. To add a vendor see adapters/README.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from django.utils.module_loading import import_string

from providers import secrets
from providers.base import Provider


@dataclass(frozen=True)
class Offer:
    """One operation of one provider: its model keys, the usual one first, each with the key of its price.

    A door with a price list of its own charges by that instead.
    """

    prices: Mapping[str, str]

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(self.prices)


@dataclass(frozen=True)
class Vendor:
    """alias: what customers and rows see. names: accepted spellings. adapter: empty while there is none.

    lane: shared by all operations; `lanes` names those that the vendor counts apart. key: whose key it uses, when
    another vendor's.
    """

    alias: str
    names: tuple[str, ...]
    adapter: str = ""
    offers: Mapping[str, Offer] = field(default_factory=dict)
    lane: str = ""
    lanes: Mapping[str, str] = field(default_factory=dict)
    key: str = ""


VENDORS: tuple[Vendor, ...] = (
    Vendor(
        "provider_a",
        ("stability", "stabilityai"),
        adapter="providers.adapters.stability.Stability",
        offers={
            "image-inpaint": Offer({"main": "image_inpaint"}),
            "image-to-image": Offer({"main": "image_to_image"}),
            "image-to-model": Offer({"main": "image_to_3d", "point-aware": "image_to_3d"}),
            "pose-to-image": Offer({"main": "pose_generation"}),
            "remove-background": Offer({"main": "remove_background"}),
            "replace-background": Offer({"main": "pose_background_change"}),
            "search-and-recolor": Offer({"main": "search_recolor"}),
            "sketch-to-image": Offer({"main": "sketch_to_image"}),
            "structure-to-image": Offer({"main": "image_to_image"}),
            "text-to-image": Offer(
                {"main": "text_to_image_core", "ultra": "text_to_image_ultra", "sd3": "text_to_image_core"}
            ),
            "upscale": Offer({"main": "upscale"}),
        },
        lane="provider_a",
    ),
    Vendor(
        "provider_b",
        ("recraft",),
        adapter="providers.adapters.recraft.Recraft",
        offers={
            "image-inpaint": Offer({"main": "image_inpaint"}),
            "image-to-image": Offer({"main": "image_to_image"}),
            "remove-background": Offer({"main": "remove_background"}),
            "replace-background": Offer({"main": "pose_background_change"}),
            "text-to-image": Offer({"main": "text_to_image_v3", "v2": "text_to_image_v2"}),
            "upscale": Offer({"main": "upscale"}),
        },
        lane="provider_b",
    ),
    Vendor(
        "provider_c",
        ("tripo", "tripoai"),
        adapter="providers.adapters.tripo.Tripo",
        offers={
            "image-to-model": Offer({"main": "image_to_model_single"}),
            "multiview-to-model": Offer({"main": "image_to_model_multiview"}),
            "refine-model": Offer({"main": "refine_model"}),
            "text-to-model": Offer({"main": "text_to_model"}),
        },
        lane="provider_c",
        lanes={"refine-model": "provider_c_refine"},
    ),
    Vendor(
        "provider_d",
        ("openai",),
        adapter="providers.adapters.openai.OpenAI",
        offers={
            "image-inpaint": Offer({"main": "image_inpaint"}),
            "image-to-image": Offer({"main": "image_to_image"}),
            "text-to-image": Offer({"main": "text_to_image_standard"}),
        },
        lane="provider_d",
    ),
    Vendor(
        "provider_e",
        ("replicate",),
        adapter="providers.adapters.replicate.Replicate",
        offers={
            "image-inpaint": Offer({"main": "image_inpaint"}),
            "image-to-image": Offer({"main": "image_to_image", "fallback": "image_to_image"}),
            "pose-to-image": Offer({"main": "pose_generation"}),
            "segment": Offer({"main": "pose_background_change"}),
            "text-to-image": Offer(
                {"main": "text_to_image_pro", "fast": "text_to_image_pro", "fallback": "text_to_image_pro"}
            ),
        },
        lane="provider_e",
    ),
    # The same account as its neighbour, so they share adapter, key and lane.
    Vendor(
        "provider_f",
        ("flux",),
        adapter="providers.adapters.replicate.Replicate",
        offers={
            "image-to-image": Offer({"main": "image_to_image", "fallback": "image_to_image"}),
            "text-to-image": Offer(
                {"main": "text_to_image_pro", "fast": "text_to_image_pro", "fallback": "text_to_image_pro"}
            ),
        },
        lane="provider_e",
        key="replicate",
    ),
    Vendor(
        "provider_g",
        ("huggingface",),
        adapter="providers.adapters.huggingface.HuggingFace",
        offers={
            "image-to-image": Offer({"main": "image_to_image"}),
            "text-to-image": Offer({"main": "pose_generation"}),
        },
        lane="provider_g",
    ),
    Vendor(
        "provider_h",
        ("openrouter",),
        adapter="providers.adapters.openrouter.OpenRouter",
        offers={"verify-image": Offer({"main": "story_image"})},
        lane="provider_h",
    ),
)
INTERNAL = "internal"

_BY_ALIAS = {vendor.alias: vendor for vendor in VENDORS}
_ALIAS_BY_NAME = {name: vendor.alias for vendor in VENDORS for name in (*vendor.names, vendor.alias)}


def alias_of(name_or_alias: str) -> str | None:
    """The alias behind a real name or an alias, in any case; None when nobody goes by it."""
    return _ALIAS_BY_NAME.get(name_or_alias.strip().lower())


def real_name(alias: str) -> str:
    """The vendor's name, for staff and settings only. Raises KeyError for an unknown alias."""
    return INTERNAL if alias == INTERNAL else _BY_ALIAS[alias].names[0]


@cache
def adapter(alias: str) -> Provider:
    """The provider's adapter, one instance per process. Raises LookupError when it has none."""
    vendor = _BY_ALIAS.get(alias)
    if vendor is None or not vendor.adapter:
        raise LookupError(f"{alias} has no adapter")
    made: Provider = import_string(vendor.adapter)()
    made.alias = alias
    return made


def can(alias: str, operation: str) -> bool:
    return alias in _BY_ALIAS and operation in _BY_ALIAS[alias].offers


def is_available(alias: str) -> bool:
    """Has it an adapter and, in real mode, a key? Says nothing of pause and breaker: those are the lane's."""
    vendor = _BY_ALIAS.get(alias)
    return bool(vendor and vendor.adapter and secrets.has_key(vendor.key or vendor.names[0]))


def offer(alias: str, operation: str) -> Offer:
    """Raises KeyError when this provider does not do that."""
    return _BY_ALIAS[alias].offers[operation]


def lane_of(alias: str, operation: str) -> str:
    """The name of the lane in which this operation of this provider waits and runs."""
    if alias in ("", INTERNAL):
        return INTERNAL
    vendor = _BY_ALIAS[alias]
    return vendor.lanes.get(operation, vendor.lane or vendor.alias)


def candidates(operation: str, order: Iterable[str]) -> list[tuple[str, str]]:
    """(alias, model key) of those in `order`, names or aliases, that can do it here. Each once."""
    found: dict[str, str] = {}
    for name in order:
        alias = alias_of(name)
        if alias and alias not in found and can(alias, operation) and is_available(alias):
            found[alias] = offer(alias, operation).models[0]
    return list(found.items())


def table() -> list[tuple[str, str, str, str, str]]:
    """(operation, alias, adapter's method, model key, price key), sorted: what this desk can do, on one screen."""
    return sorted(
        (operation, vendor.alias, adapter(vendor.alias).operations[operation], model, price_key)
        for vendor in VENDORS
        for operation, one in vendor.offers.items()
        for model, price_key in one.prices.items()
    )
