"""Every parameter at both ends of its range and one beyond; and the catalogue against the rest of the house."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from rest_framework.exceptions import ValidationError

from credits.models import Price
from generation.doors.makeit3d import plan, serializers
from generation.doors.makeit3d.catalogue import BY_NAME, OPERATIONS, OURSELVES, Operation, Prompt
from generation.doors.makeit3d.parameters import Count, Earlier, Flag, Number, OneOf, Param, Size, Tier, Whole, Words
from providers import registry

LINK = "https://files.example/a.png"
OFFERS = [(operation, alias) for operation in OPERATIONS for alias in operation.offers]
PARAMS = [(operation, alias, param) for operation, alias in OFFERS for param in operation.offers[alias].params]


def least(operation: Operation, alias: str, **fields: Any) -> dict[str, Any]:
    """The least body that this operation takes at this provider, and these fields."""
    body: dict[str, Any] = {} if alias == OURSELVES else {"provider": alias}
    body |= {"prompt": "A wooden chair"} if operation.prompt is Prompt.REQUIRED else {}
    body |= {one.name: [LINK] if one.most else LINK for one in operation.inputs}
    required = {param.name for param in operation.offers[alias].params if param.required}
    return body | {name: {"select_prompt": "the seat", "max_size_mb": 1}[name] for name in required} | fields


def faults(operation: Operation, body: dict[str, Any]) -> set[str]:
    try:
        serializers.read(operation, body)
    except ValidationError as error:
        return set(error.detail)  # type: ignore[arg-type]
    return set()


def taken(param: Param) -> Iterator[Any]:
    """Values at the ends of what a parameter takes."""
    match param:
        case Size(among=()):
            yield from (f"{param.low}x{param.low}", f"{param.high}x{param.high}", f"{param.low}x{param.high}")
        case OneOf():
            yield from param.among
            yield from param.also
        case Whole():
            yield from (param.low, param.high, float(param.low))
        case Number():
            yield from (param.low, param.high, (param.low + param.high) / 2)
        case Flag():
            yield from (True, False)
        case Words():
            yield from ("x", "x" * param.most, "ü" * param.most)


def beyond(param: Param) -> Iterator[Any]:
    """Values one beyond those ends, and of the wrong type."""
    match param:
        case Size(among=()):
            yield from (
                f"{param.low - 1}x{param.high}",
                f"{param.high}x{param.high + 1}",
                "1024",
                "axb",
                1024,
                "1024X1024",
            )
        case OneOf():
            yield from ("unheard-of", "", ["png"], True, 7, f" {param.among[0]}")
        case Whole():
            yield from (param.low - 1, param.high + 1, param.low + 0.5, str(param.low), True, [param.low], 10**400)
            if param.step > 1:
                yield param.low + 1
        case Number():
            yield math.nextafter(param.low, -math.inf)
            yield math.nextafter(param.high, math.inf)
            yield from (str(param.high), True, [param.high], 10**400, math.inf)
        case Flag():
            yield from ("true", 1, 0, "no", [])
        case Words():
            yield from ("x" * (param.most + 1), 7, True, ["x"])


def named(cases: list[tuple[Operation, str, Param]]) -> list[str]:
    return [f"{operation.name}-{alias}-{param.name}" for operation, alias, param in cases]


# The MakeIt3D contract, section 3, by name: what holds at every operation and provider that takes it.
RANGES = {
    "seed": (0, 4294967294, 0),
    "fidelity": (0, 1, 0.8),
    "strength": (0, 1, 0.2),
    "control_strength": (0, 1, 0.8),
    "safety_tolerance": (0, 6, 2),
    "width": (256, 1440, 1024),
    "height": (256, 1440, 1024),
    "grow_mask": (0, 20, 3),
    "foreground_ratio": (0.1, 2, 1.3),
    "target_count": (100, 20000, 10000),
    "guidance_scale": (1, 10, 6),
    "max_size_mb": (0.1, 20, None),
}


def test_its_ranges_and_defaults_are_those_of_the_contract() -> None:
    found = {
        (param.name, param.low, param.high, param.default)
        for _, _, param in PARAMS
        if isinstance(param, (Whole, Number)) and param.name in RANGES
    }
    assert found == {(name, *told) for name, told in RANGES.items()}


@pytest.mark.parametrize(("operation", "alias", "param"), PARAMS, ids=named(PARAMS))
def test_what_lies_in_its_range_is_taken(operation: Operation, alias: str, param: Param) -> None:
    for value in taken(param):
        wish = serializers.read(operation, least(operation, alias, **{param.name: value}))
        also = param.also if isinstance(param, OneOf) else {}
        said = also.get(value, value) if isinstance(value, str) else value
        assert wish.values[param.name] == said
        assert (param.name in wish.ignored) is (not param.word), "a parameter that no call gets is told"
        assert param.name in wish.given


@pytest.mark.parametrize(("operation", "alias", "param"), PARAMS, ids=named(PARAMS))
def test_what_lies_one_beyond_is_refused_by_name(operation: Operation, alias: str, param: Param) -> None:
    for value in beyond(param):
        body = least(operation, alias, **{param.name: value})
        if param.lenient:
            assert param.name in serializers.read(operation, body).ignored
        else:
            assert faults(operation, body) == {param.name}, repr(value)


@pytest.mark.parametrize(("operation", "alias", "param"), PARAMS, ids=named(PARAMS))
def test_absent_or_null_it_is_its_default(operation: Operation, alias: str, param: Param) -> None:
    body = least(operation, alias)
    if param.required:
        del body[param.name]
        assert faults(operation, body) == faults(operation, {**body, param.name: None}) == {param.name}
        return
    for one in (body, {**body, param.name: None}):
        wish = serializers.read(operation, one)
        assert wish.values.get(param.name) == param.default
        assert wish.given == tuple(name for name in ("select_prompt", "max_size_mb") if name in wish.given)


@pytest.mark.parametrize(("operation", "alias"), OFFERS, ids=[f"{one.name}-{alias}" for one, alias in OFFERS])
def test_the_parameters_of_other_providers_are_ignored_and_named(operation: Operation, alias: str) -> None:
    mine = {param.name for param in operation.offers[alias].params}
    others = [name for name in operation.names if name not in mine]
    wish = serializers.read(operation, least(operation, alias, **dict.fromkeys(others, "whatever"), unheard_of=1))
    assert set(others) <= set(wish.ignored)
    assert "unheard_of" not in wish.ignored
    assert not set(others) & wish.values.keys()


@pytest.mark.parametrize(("operation", "alias"), OFFERS, ids=[f"{one.name}-{alias}" for one, alias in OFFERS])
@pytest.mark.django_db
def test_whatever_is_offered_has_a_provider_and_a_price(operation: Operation, alias: str) -> None:
    """Each tier too, so that nothing on offer is refused as unavailable."""
    tiers = [param for param in operation.offers[alias].params if isinstance(param, Tier)]
    for word in tiers[0].among if tiers else [None]:
        wish = serializers.read(operation, least(operation, alias, **({tiers[0].name: word} if word else {})))
        key, _ = plan.price_of(wish)
        assert Price.objects.filter(operation_key=key, provider__in=[alias, ""], is_active=True).exists()


@pytest.mark.parametrize(
    ("operation", "fields", "key"),
    [
        ("text-to-image", {"provider": "provider_a"}, "text_to_image_core"),
        ("text-to-image", {"provider": "provider_a", "model": "ultra"}, "text_to_image_ultra"),
        ("text-to-image", {"provider": "provider_b"}, "text_to_image_v3"),
        ("text-to-image", {"provider": "provider_b", "model": "v2"}, "text_to_image_v2"),
        ("text-to-image", {"provider": "provider_d"}, "text_to_image_standard"),
        ("text-to-image", {"provider": "provider_d", "quality": "hd"}, "text_to_image_hd"),
        ("text-to-image", {"provider": "provider_e"}, "text_to_image_pro"),
        ("text-to-image", {"provider": "provider_f"}, "text_to_image_pro"),
        ("image-to-image", {"provider": "provider_d", "quality": "hd"}, "image_to_image"),
        ("image-to-model", {"provider": "provider_a"}, "image_to_3d"),
        ("image-to-model", {"provider": "provider_c"}, "image_to_model_single"),
        (
            "image-to-model",
            {"provider": "provider_c", "input_image_asset_urls": [LINK] * 2},
            "image_to_model_multiview",
        ),
        ("image-to-model", {"provider": "provider_c", "input_image_asset_urls": [LINK, None]}, "image_to_model_single"),
        ("image-to-model", {"provider": "provider_a", "input_image_asset_urls": [LINK] * 4}, "image_to_3d"),
        ("text-to-model", {"provider": "provider_c"}, "text_to_model"),
        ("refine-model", {}, "refine_model"),
        ("search-and-recolor", {}, "search_recolor"),
        ("downscale", {}, "downscale"),
    ],
)
def test_each_tier_has_its_own_price_key(operation: str, fields: dict[str, Any], key: str) -> None:
    one = BY_NAME[operation]
    alias = registry.alias_of(fields.get("provider", "")) or one.default or ""
    body = {**least(one, alias), **fields}
    assert plan.price_of(serializers.read(one, body))[0] == key


def test_the_catalogue_is_the_contracts_table() -> None:
    """Which provider does what (section 2), and what each route is called."""
    offers = {operation.name: "".join(sorted(alias[-1] for alias in operation.offers)) for operation in OPERATIONS}
    assert offers == {
        "image-to-image": "abdef",
        "text-to-image": "abdef",
        "sketch-to-image": "a",
        "remove-background": "ab",
        "search-and-recolor": "a",
        "image-inpaint": "b",
        "text-to-model": "c",
        "image-to-model": "ac",
        "refine-model": "c",
        "upscale": "ab",
        "downscale": "l",
    }
    assert {operation.name: operation.per_minute for operation in OPERATIONS} == {
        "image-to-image": 4,
        "text-to-image": 4,
        "sketch-to-image": 30,
        "remove-background": 30,
        "search-and-recolor": 4,
        "image-inpaint": 30,
        "text-to-model": 4,
        "image-to-model": 4,
        "refine-model": 2,
        "upscale": 4,
        "downscale": 30,
    }


def test_no_word_that_the_door_shows_tells_a_vendor() -> None:
    names = {name for vendor in registry.VENDORS for name in vendor.names}
    for _, _, param in PARAMS:
        shown = [
            param.name,
            param.help,
            str(param.default),
            *(map(str, param.among) if isinstance(param, OneOf) else []),
        ]
        assert not [word for word in shown for name in names if name in word.lower()], param


@pytest.mark.parametrize("kind", [Count, Tier, Earlier])
def test_what_the_door_itself_understands_reaches_no_provider(kind: type[Param]) -> None:
    for _, _, param in PARAMS:
        if isinstance(param, kind):
            assert param.inputs("x") == {}
