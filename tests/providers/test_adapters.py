"""Both adapters against the simulator: what they send, what they make of the answer."""

from __future__ import annotations

import hashlib
import io
from decimal import Decimal
from typing import Any

import pytest
from PIL import Image

from providers import registry
from providers.adapters.huggingface import HuggingFace
from providers.adapters.openai import OpenAI
from providers.base import Made, Pending
from providers.errors import ModelGone, OurKeyRefused, Refused
from tests.providers.make import close, follow, make, make_call, make_picture, make_png, opened
from tests.simulator import Remote


@pytest.fixture
def hf_inference(settings: Any) -> None:
    settings.HUGGINGFACE = {**settings.HUGGINGFACE, "ROUTE": "hf-inference"}


def test_openai_makes_one_picture_of_the_nearest_size(simulator: Remote) -> None:
    made = OpenAI().run(make_call(width=1000, height=500, quality="low", seed=4, negative_prompt="fog"))
    assert isinstance(made, Made)
    assert opened(made).size == (992, 496)
    assert made.files[0].content_type == "image/png"
    assert made.model == "main"
    assert made.seed is None
    [sent] = simulator.calls("openai")
    assert sent["fields"] == {
        "model": "gpt-image-2",
        "prompt": "a lighthouse on a cliff at dawn",
        "size": "992x496",
        "quality": "low",
        "output_format": "png",
        "n": 1,
    }


@pytest.mark.parametrize(
    ("asked", "told"),
    [("standard", "medium"), ("hd", "high"), ("low", "low"), ("auto", "auto"), ("superb", "medium"), (None, "medium")],
)
def test_openai_is_told_todays_word_for_a_quality(simulator: Remote, asked: Any, told: str) -> None:
    make(OpenAI(), make_call(quality=asked))
    assert simulator.calls("openai")[0]["fields"]["quality"] == told


@pytest.mark.parametrize(
    ("model", "asked", "size"),
    [
        ("gpt-image-2", (1792, 1024), "1792x1024"),
        ("gpt-image-2", (1024, 1792), "1024x1792"),
        ("gpt-image-1.5", (1792, 1024), "1536x1024"),
        ("gpt-image-1.5", (1024, 1792), "1024x1536"),
    ],
)
def test_openai_takes_the_nearest_size_of_its_model(
    simulator: Remote, settings: Any, model: str, asked: tuple[int, int], size: str
) -> None:
    settings.OPENAI = {**settings.OPENAI, "MODELS": {"main": model}}
    call = make_call(width=asked[0], height=asked[1])
    assert OpenAI().generation(call).json["size"] == size


def test_openai_leaves_out_and_names_what_it_does_not_know(simulator: Remote) -> None:
    made = make(OpenAI(), make_call(style="vivid", seed=9, negative_prompt="fog", n=None, guidance=0.5))
    assert made.extra["ignored"] == ("guidance", "negative_prompt", "seed", "style")
    assert make(OpenAI(), make_call(seed=0)).extra["ignored"] == ()


@pytest.mark.parametrize(
    ("inputs", "format", "mode"),
    [
        ({"background": "transparent"}, "PNG", "RGBA"),
        ({"background": "transparent", "output_format": "webp"}, "WEBP", "RGBA"),
        ({"background": "transparent", "output_format": "jpeg"}, "PNG", "RGBA"),  # JPEG has no place for it
        ({"background": "opaque", "output_format": "jpeg"}, "JPEG", "RGB"),
        ({"background": "glass"}, "PNG", "RGB"),
    ],
)
def test_openai_is_asked_for_a_ground_and_a_format_that_go_together(
    simulator: Remote, inputs: dict[str, Any], format: str, mode: str
) -> None:
    image = make_picture(OpenAI(), make_call(**inputs))
    assert (image.format, image.mode) == (format, mode)


def test_an_edit_without_a_wish_keeps_the_shape_of_its_picture(simulator: Remote) -> None:
    call = make_call("image-to-image", images=[make_png(90, 160)], width=None, height=None)
    assert make_picture(OpenAI(), call).size == (768, 1360)


def test_openai_costs_what_its_usage_says(simulator: Remote) -> None:
    made = make(OpenAI(), make_call(prompt="x" * 40, quality="medium"))
    assert made.cost_usd == 10 * Decimal("0.000005") + 1056 * Decimal("0.00003")


@pytest.mark.parametrize(
    ("usage", "quality", "cost"),
    [
        (None, "high", "0.19"),
        ({"output_tokens": "many"}, "auto", "0.07"),
        ({"input_tokens": 100, "output_tokens": 1000}, "low", "0.0305"),
        ({"input_tokens": 100, "output_tokens": 0, "input_tokens_details": {"image_tokens": 100}}, "low", "0.0008"),
    ],
)
def test_openai_costs_the_estimate_without_usable_usage(usage: Any, quality: str, cost: str) -> None:
    assert OpenAI()._cost(usage, quality) == Decimal(cost)


def test_token_rates_are_those_of_the_day(settings: Any) -> None:
    settings.OPENAI = {
        **settings.OPENAI,
        "TOKEN_RATES_USD": {"2020-01-01": ("1", "1", "1"), "2999-01-01": ("9", "9", "9")},
    }
    assert OpenAI()._cost({"input_tokens": 0, "output_tokens": 1_000_000}, "low") == Decimal(1)


def test_a_model_of_the_first_generation_gets_one_of_its_three_sizes(simulator: Remote, settings: Any) -> None:
    settings.OPENAI = {**settings.OPENAI, "MODELS": {"main": "gpt-image-1"}}
    assert make_picture(OpenAI(), make_call(width=900, height=1600)).size == (1024, 1536)


def test_an_edit_sends_its_pictures_with_their_media_types(simulator: Remote) -> None:
    pictures = [make_png(), make_png(32, 32)]
    assert make_picture(OpenAI(), make_call("image-to-image", images=pictures)).size == (256, 256)
    [sent] = simulator.calls("openai", "edits")
    assert [(file["role"], file["width"]) for file in sent["files"]] == [("image", 64), ("image", 32)]
    assert sent["fields"]["n"] == 1
    assert sent["fields"]["size"] == "256x256"


def test_a_mask_is_turned_around_and_made_as_large_as_the_picture(simulator: Remote) -> None:
    """White on the left half: only there may the picture change."""
    mask = Image.new("L", (32, 32), "black")
    mask.paste(255, (0, 0, 16, 32))
    out = io.BytesIO()
    mask.save(out, "PNG")
    call = make_call("image-inpaint", images=[make_png(128, 128, "red")], mask=out.getvalue())
    image = make_picture(OpenAI(), call).convert("RGB")
    assert image.getpixel((200, 10)) == (255, 0, 0)
    assert image.getpixel((20, 10)) != (255, 0, 0)
    [sent] = simulator.calls("openai", "edits")
    assert sent["files"][1] == {**sent["files"][1], "role": "mask", "mode": "RGBA", "width": 128, "height": 128}


@pytest.mark.parametrize(
    ("operation", "inputs"),
    [
        ("text-to-image", {"prompt": ""}),
        ("image-to-image", {"images": []}),
        ("image-to-image", {"images": [b"GIF89a"]}),
        ("image-to-image", {"images": [make_png()] * 17}),
        ("image-inpaint", {"images": [make_png()]}),
        ("image-inpaint", {"images": [make_png()], "mask": b"no picture"}),
    ],
)
def test_unusable_inputs_are_refused_before_anything_is_sent(
    simulator: Remote, operation: str, inputs: dict[str, Any]
) -> None:
    with pytest.raises(Refused):
        OpenAI().run(make_call(operation, **inputs))
    assert simulator.calls() == []


def test_the_queue_parks_reports_progress_and_delivers(simulator: Remote) -> None:
    simulator.settings(delay_s=0.6)
    adapter, call = HuggingFace(), make_call(seed=7, steps=20, guidance=4.0)
    parked = adapter.run(call)
    assert isinstance(parked, Pending)
    assert parked.progress is None
    seen, state = [], adapter.poll(parked.remote_id, call)
    while isinstance(state, Pending):
        seen.append(state.progress or 0)
        state = adapter.poll(state.remote_id, call)
    assert opened(state).size == (256, 256)
    assert state.seed == 7
    assert state.cost_usd == Decimal(256 * 256) / 1_000_000 * Decimal("0.025")
    assert seen == sorted(seen)
    assert len(set(seen)) > 2
    assert max(seen) < 100
    [submit] = simulator.calls("huggingface", "submit")
    assert submit["fields"] == {
        "prompt": "a lighthouse on a cliff at dawn",
        "image_size": {"width": 256, "height": 256},
        "num_images": 1,
        "output_format": "png",
        "num_inference_steps": 20,
        "guidance_scale": 4.0,
        "seed": 7,
    }


def test_the_key_does_not_follow_a_result_link(simulator: Remote) -> None:
    make(HuggingFace(), make_call())
    assert [call["authorized"] for call in simulator.calls("huggingface", "submit")] == [True]
    assert [call["authorized"] for call in simulator.calls("huggingface", "download")] == [False]


def test_cancelling_confirms_only_what_had_not_begun(simulator: Remote) -> None:
    simulator.settings(delay_s=60)
    parked = HuggingFace().run(make_call())
    assert isinstance(parked, Pending)
    assert HuggingFace().cancel(parked.remote_id) is True
    assert HuggingFace().cancel(parked.remote_id) is False, "it has ended"


def test_cancelling_what_is_done_or_unknown_confirms_nothing(simulator: Remote) -> None:
    call = make_call()
    parked = HuggingFace().run(call)
    assert isinstance(parked, Pending)
    close(follow(HuggingFace(), call, parked))
    assert HuggingFace().cancel(parked.remote_id) is False


@pytest.mark.usefixtures("hf_inference")
def test_the_other_route_answers_with_bytes(simulator: Remote) -> None:
    made = HuggingFace().run(make_call(negative_prompt="people", seed=3))
    assert isinstance(made, Made)
    assert made.files[0].sha256 == hashlib.sha256(made.files[0].body.read()).hexdigest()
    assert opened(made).size == (256, 256)
    [sent] = simulator.calls("huggingface", "text-to-image")
    assert sent["path"].endswith("/hf-inference/models/black-forest-labs/FLUX.1-dev")
    assert sent["fields"]["parameters"] == {"seed": 3, "width": 256, "height": 256, "negative_prompt": "people"}


def test_the_queue_edits_pictures(simulator: Remote) -> None:
    call = make_call("image-to-image", images=[make_png(320, 200, "red"), make_png()], seed=5, strength=0.3, steps=28)
    made = follow(HuggingFace(), call, HuggingFace().run(call))
    assert opened(made).size == (256, 256)
    assert made.cost_usd == Decimal(256 * 256) / 1_000_000 * Decimal("0.015")
    assert made.extra["ignored"] == ("steps", "strength"), "each editor has a range of its own"
    [submit] = simulator.calls("huggingface", "submit")
    assert submit["path"].endswith("/fal-ai/flux-2/klein/9b/edit")
    assert len(submit["fields"]["image_urls"]) == 2
    assert {name: submit["fields"][name] for name in ("prompt", "seed", "image_size", "num_images")} == {
        "prompt": "a lighthouse on a cliff at dawn",
        "seed": 5,
        "image_size": {"width": 256, "height": 256},
        "num_images": 1,
    }


def test_an_edit_without_a_size_takes_the_pictures(simulator: Remote) -> None:
    call = make_call("image-to-image", images=[make_png(321, 200, "red")], width=None, height=None)
    assert make_picture(HuggingFace(), call).size == (320, 192)


def test_a_heavy_picture_goes_as_a_smaller_one(simulator: Remote, settings: Any) -> None:
    settings.HUGGINGFACE = {**settings.HUGGINGFACE, "INPUT_BYTES": 2000}
    call = make_call("image-to-image", images=[make_png(2000, 1000)], width=None, height=None)
    assert make_picture(HuggingFace(), call).size == (1536, 768)
    assert simulator.calls("huggingface", "submit")[0]["fields"]["image_urls"][0].startswith("data:image/jpeg")


@pytest.mark.usefixtures("hf_inference")
@pytest.mark.parametrize(("sides", "size"), [({"width": None, "height": None}, (64, 48)), ({}, (256, 256))])
def test_the_other_route_edits_with_bytes(simulator: Remote, sides: dict[str, Any], size: tuple[int, int]) -> None:
    call = make_call("image-to-image", images=[make_png(64, 48)], guidance=3.5, steps=8, seed=1, **sides)
    made = HuggingFace().run(call)
    assert isinstance(made, Made)
    assert opened(made).size == size
    assert made.extra["ignored"] == ("seed",)
    [sent] = simulator.calls("huggingface", "image-to-image")
    target = {} if sides else {"target_size": {"width": 256, "height": 256}}
    assert sent["fields"]["parameters"] == {
        "prompt": "a lighthouse on a cliff at dawn", "num_inference_steps": 8, "guidance_scale": 3.5, **target,
    }  # fmt: skip


@pytest.mark.parametrize("route", ["fal-ai", "hf-inference"])
@pytest.mark.parametrize(
    ("operation", "inputs"),
    [
        ("text-to-image", {"prompt": ""}),
        ("image-to-image", {"prompt": "", "images": [make_png()]}),
        ("image-to-image", {"images": []}),
        ("image-to-image", {"images": [make_png()] * 5}),
        ("image-to-image", {"images": [b"GIF89a"]}),
    ],
)
def test_the_router_is_not_asked_with_unusable_inputs(
    simulator: Remote, settings: Any, route: str, operation: str, inputs: dict[str, Any]
) -> None:
    settings.HUGGINGFACE = {**settings.HUGGINGFACE, "ROUTE": route}
    with pytest.raises(Refused):
        HuggingFace().run(make_call(operation, **inputs))
    assert simulator.calls() == []


def test_costs_can_be_billed_to_an_organisation(simulator: Remote, settings: Any) -> None:
    settings.HUGGINGFACE = {**settings.HUGGINGFACE, "BILL_TO": "atelier-org"}
    make(HuggingFace(), make_call())
    assert simulator.calls("huggingface", "submit")[0]["headers"]["x-hf-bill-to"] == "atelier-org"


def test_an_operation_or_model_that_it_lacks_goes_to_the_next_candidate(simulator: Remote) -> None:
    with pytest.raises(ModelGone) as caught:
        HuggingFace().run(make_call("image-to-model"))
    assert caught.value.cannot
    assert not caught.value.retryable
    call = make_call()
    with pytest.raises(ModelGone):
        OpenAI().run(type(call)(call.operation, "fast", call.inputs, 5, "test"))


def test_real_mode_without_a_key_is_our_fault(settings: Any) -> None:
    settings.PROVIDERS_MODE = "real"
    settings.PROVIDER_KEYS = {}
    with pytest.raises(OurKeyRefused) as caught:
        OpenAI().run(make_call())
    assert caught.value.ours


@pytest.mark.parametrize("vendor", [vendor for vendor in registry.VENDORS if vendor.adapter], ids=lambda v: v.alias)
def test_registry_and_adapter_offer_the_same(vendor: registry.Vendor) -> None:
    adapter = registry.adapter(vendor.alias)
    assert adapter.name == (vendor.key or vendor.names[0])
    assert set(adapter.operations) >= set(vendor.offers)
    assert vendor.key or set(adapter.operations) == set(vendor.offers)
    assert all(callable(getattr(adapter, method)) for method in adapter.operations.values())
