"""Replicate: what the adapter sends, reads and costs, its webhooks, and the vendor's own client on the simulator."""

from __future__ import annotations

import base64
import io
from decimal import Decimal
from typing import Any

import pytest
from PIL import Image

from providers import registry
from providers.adapters.replicate import INLINE_BYTES, Replicate
from providers.adapters.replicate_models import MODELS
from providers.base import Call, Made, Pending
from providers.errors import (
    AnswerLost,
    BadAnswer,
    Misconfigured,
    ModelGone,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    Refused,
    Unavailable,
)
from providers.simulator import replicate_models
from providers.wire import Deadline
from tests.providers.make import close, follow, make, make_call, make_png, opened
from tests.simulator import Remote

SDXL = "stability-ai/sdxl:39ed52f2a78e934b3ba6e2a89f5b1c712de7dfea535525255b1aa35c5565e08b"


def call_of(operation: str = "text-to-image", model: str = "main", **inputs: Any) -> Call:
    made = make_call(operation, **inputs)
    return Call(operation, model, made.inputs, 5.0, "test-1")


def run(operation: str = "text-to-image", model: str = "main", **inputs: Any) -> Made:
    adapter, call = Replicate(), call_of(operation, model, **inputs)
    return follow(adapter, call, adapter.run(call))


def sent(simulator: Remote) -> tuple[str, dict[str, Any]]:
    """The path of the last call and the input that it carried."""
    [*_, last] = simulator.calls("replicate", "submit")
    return last["path"].removeprefix("/replicate/v1/"), last["fields"]["input"]


def noise(width: int, height: int) -> bytes:
    """A picture that no codec can pack, so it is too large to go along."""
    out = io.BytesIO()
    Image.effect_noise((width, height), 90).convert("RGB").save(out, "PNG")
    return out.getvalue()


# --- What it sends -------------------------------------------------------------------------------


def test_an_official_model_is_called_by_name_with_the_nearest_ratio(simulator: Remote) -> None:
    made = run(width=1792, height=1024, steps=60, guidance=4.5, seed=7, negative_prompt="text", style="vivid")
    path, fields = sent(simulator)
    assert path == "models/black-forest-labs/flux-dev/predictions"
    assert fields == {
        "prompt": "a lighthouse on a cliff at dawn",
        "aspect_ratio": "16:9",
        "megapixels": "1",
        "num_outputs": 1,
        "output_format": "png",
        "num_inference_steps": 50,
        "guidance": 4.5,
        "seed": 7,
    }
    assert made.extra == {"ignored": ("negative_prompt", "style")}
    assert (made.seed, made.cost_usd, made.model) == (7, Decimal("0.025"), "main")
    assert opened(made).size == (1344, 768)


def test_a_community_model_is_called_by_its_version_in_pixels(simulator: Remote) -> None:
    made = run(model="fallback", width=1792, height=1024, steps=20, negative_prompt="text, labels")
    path, fields = sent(simulator)
    assert path == "predictions"
    assert simulator.calls("replicate", "submit")[0]["fields"]["version"] == SDXL.partition(":")[2]
    assert fields == {
        "prompt": "a lighthouse on a cliff at dawn",
        "negative_prompt": "text, labels",
        "width": 1792,
        "height": 1024,
        "num_outputs": 1,
        "scheduler": "K_EULER",
        "guidance_scale": 7.5,
        "num_inference_steps": 20,
    }
    assert made.extra == {"ignored": ()}
    assert opened(made).size == (1792, 1024)


@pytest.mark.parametrize(
    ("inputs", "ratio", "megapixels"),
    [
        ({"aspect_ratio": "9:21"}, "9:21", "1"),
        ({"aspect_ratio": "7:5"}, "1:1", "1"),  # a ratio that nobody knows
        ({}, "1:1", "1"),
        ({"width": 64, "height": 64}, "1:1", "0.25"),
        ({"width": 900, "height": 1100}, "4:5", "1"),
        ({"width": 300, "height": 900}, "9:21", "0.25"),
    ],
)
def test_the_nearest_ratio_at_a_whole_or_a_quarter_of_a_megapixel(
    inputs: dict[str, Any], ratio: str, megapixels: str
) -> None:
    fields = MODELS["black-forest-labs/flux-schnell"].fields({"prompt": "x", "steps": 28, **inputs}, has_picture=False)
    assert (fields["aspect_ratio"], fields["megapixels"]) == (ratio, megapixels)
    assert fields["num_inference_steps"] == 4


@pytest.mark.parametrize(
    ("format", "spelt", "kind"),
    [("jpeg", "jpg", "image/jpeg"), ("webp", "webp", "image/webp"), ("tiff", "png", "image/png")],
)
def test_formats_are_spelt_as_the_models_spell_them(simulator: Remote, format: str, spelt: str, kind: str) -> None:
    made = run(model="fast", output_format=format)
    close(made)
    assert made.files[0].content_type == kind
    assert sent(simulator)[1]["output_format"] == spelt


def test_seed_0_lets_the_model_draw_one_and_tells_which(simulator: Remote) -> None:
    made = run(seed=0)
    close(made)
    assert "seed" not in sent(simulator)[1]
    assert made.seed


def test_a_picture_goes_along_and_gives_the_size(simulator: Remote) -> None:
    made = run("image-to-image", images=[make_png(210, 130)], strength=0.6)
    _, fields = sent(simulator)
    assert fields["prompt_strength"] == 0.6
    assert fields["image"].startswith("data:image/png;base64,")
    assert "aspect_ratio" not in fields
    assert made.extra == {"ignored": ("height", "width")}
    assert opened(made).size == (208, 128)


def test_words_about_a_picture_are_ignored_without_one(simulator: Remote) -> None:
    made = run(strength=0.6)
    close(made)
    assert made.extra == {"ignored": ("strength",)}
    made = run("image-to-image", images=[make_png()] * 2)
    close(made)
    assert "images" in made.extra["ignored"], "only one of the two was sent"


def test_a_large_picture_is_uploaded_first(simulator: Remote) -> None:
    picture = noise(700, 400)
    assert len(picture) > INLINE_BYTES
    assert opened(run("image-to-image", images=[picture])).size == (704, 400)
    [upload] = simulator.calls("replicate", "upload")
    assert upload["files"] == [{"role": "content", "size_bytes": len(picture), "content_type": "image/png"}]
    assert sent(simulator)[1]["image"].startswith(f"{simulator.url}/replicate/v1/files/")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("503", "Unavailable"), ("reset", "NetworkError"), ("hang", "ProviderTimeout"), ("html", "BadAnswer")],
)
def test_an_upload_that_fails_is_no_loss_and_no_call_goes_out(simulator: Remote, fault: str, kind: str) -> None:
    simulator.faults("replicate", fault, operation="upload")
    call = call_of("image-to-image", images=[noise(700, 400)])
    with pytest.raises(ProviderError) as caught:
        Replicate().run(Call(call.operation, call.model, call.inputs, 0.9, "test"))
    assert type(caught.value).__name__ == kind
    assert not caught.value.is_loss
    assert not caught.value.ask_again
    assert simulator.calls("replicate", "submit") == []


def test_a_mask_keeps_its_meaning_and_takes_the_pictures_size(simulator: Remote) -> None:
    """White on the left half: only there may the picture change."""
    mask = Image.new("L", (32, 32), "black")
    mask.paste(255, (0, 0, 16, 32))
    out = io.BytesIO()
    mask.save(out, "PNG")
    image = opened(run("image-inpaint", images=[make_png(128, 128, "red")], mask=out.getvalue())).convert("RGB")
    assert image.getpixel((120, 64)) == (255, 0, 0)
    assert image.getpixel((10, 64)) != (255, 0, 0)


def test_a_pose_is_sent_as_the_control_picture(simulator: Remote) -> None:
    made = run("pose-to-image", images=[make_png(256, 384, "black")], control_strength=0.75)
    assert opened(made).size == (256, 384)
    path, fields = sent(simulator)
    assert path == "models/black-forest-labs/flux-depth-dev/predictions"
    assert fields["megapixels"] == "match_input"
    assert "control_image" in fields
    assert "control_strength" in made.extra["ignored"]


def test_a_controlnet_with_a_strength_is_told_it(simulator: Remote, settings: Any) -> None:
    model = f"xlabs-ai/flux-dev-controlnet:{replicate_models.version_of('xlabs-ai/flux-dev-controlnet')}"
    settings.REPLICATE = {**settings.REPLICATE, "MODELS": {"pose-to-image": {"main": model}}}
    made = run("pose-to-image", images=[make_png(256, 384, "black")], control_strength=0.75, negative_prompt="blur")
    close(made)
    assert sent(simulator)[1]["control_strength"] == 0.75
    assert made.cost_usd == 40 * Decimal("0.0014"), "billed by its seconds"


@pytest.mark.parametrize("word", ["select_prompt", "prompt"])
def test_a_cut_out_is_the_mask_among_four_files(simulator: Remote, word: str) -> None:
    made = run("segment", images=[make_png(160, 160, "blue")], **{"prompt": "", word: "person"}, grow_mask=5)
    mask = opened(made).convert("L")
    assert (mask.getpixel((80, 80)), mask.getpixel((2, 2))) == (255, 0)
    _, fields = sent(simulator)
    assert (fields["mask_prompt"], fields["negative_mask_prompt"], fields["adjustment_factor"]) == ("person", "", 5)
    assert made.cost_usd == 2 * Decimal("0.000975")


def test_a_model_that_finds_everything_gives_its_combined_mask(simulator: Remote, settings: Any) -> None:
    model = f"meta/sam-2:{replicate_models.version_of('meta/sam-2')}"
    settings.REPLICATE = {**settings.REPLICATE, "MODELS": {"segment": {"main": model}}}
    made = run("segment", images=[make_png(160, 160, "blue")], select_prompt="person")
    assert opened(made).getpixel((80, 80)) == 255
    assert "select_prompt" in made.extra["ignored"]


def test_a_model_that_answers_with_one_text_is_read_too(simulator: Remote, settings: Any) -> None:
    models = {"image-inpaint": {"main": "black-forest-labs/flux-fill-pro"}}
    settings.REPLICATE = {**settings.REPLICATE, "MODELS": models}
    made = run("image-inpaint", images=[make_png()], mask=make_png(), safety_tolerance=9, prompt_upsampling=True)
    close(made)
    _, fields = sent(simulator)
    assert (fields["safety_tolerance"], fields["prompt_upsampling"]) == (6, True)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_table_speaks_of_fields_that_the_model_has(name: str) -> None:
    """As the simulator knows the model, by the vendor's published schemas."""
    table, schema = MODELS[name], replicate_models.MODELS[name]
    told = {field for field, _ in [*table.words.values(), *table.with_picture.values()]}
    told |= {*table.fixed, *table.pictures.values(), *(table.size({}) if table.size else ())}
    assert told <= set(schema.fields)
    assert set(schema.required) <= told
    assert set(table.needs) <= told


@pytest.mark.parametrize(
    ("operation", "inputs"),
    [
        ("text-to-image", {"prompt": ""}),
        ("image-to-image", {"images": []}),
        ("image-to-image", {"images": [b"GIF89a"]}),
        ("image-inpaint", {"images": [make_png()], "mask": b"no picture"}),
        ("pose-to-image", {}),
        ("segment", {"images": [make_png()], "prompt": ""}),
    ],
)
def test_unusable_inputs_are_refused_before_anything_is_sent(
    simulator: Remote, operation: str, inputs: dict[str, Any]
) -> None:
    with pytest.raises(Refused):
        Replicate().run(call_of(operation, **inputs))
    assert simulator.calls() == []


@pytest.mark.parametrize("model", ["", "nobody/nothing", "nobody/nothing:abc"])
def test_a_model_without_a_table_goes_to_the_next_candidate(simulator: Remote, settings: Any, model: str) -> None:
    settings.REPLICATE = {**settings.REPLICATE, "MODELS": {"text-to-image": {"main": model}}}
    with pytest.raises(ModelGone):
        Replicate().run(call_of())
    assert simulator.calls() == []


def test_a_community_model_by_name_is_refused_by_the_vendor(simulator: Remote, settings: Any) -> None:
    settings.REPLICATE = {**settings.REPLICATE, "MODELS": {"text-to-image": {"main": "stability-ai/sdxl"}}}
    with pytest.raises(ModelGone):
        Replicate().run(call_of())


# --- Parking, cancelling -------------------------------------------------------------------------


def test_a_call_parks_reports_progress_and_delivers(simulator: Remote) -> None:
    simulator.settings(delay_s=0.6)
    adapter, call = Replicate(), call_of(seed=3)
    state = adapter.run(call)
    assert isinstance(state, Pending)
    assert state.progress is None
    assert state.poll_after_s == 2.0
    seen = []
    while isinstance(state, Pending):
        state = adapter.poll(state.remote_id, call)
        seen += [state.progress or 0] if isinstance(state, Pending) else []
    close(state)
    assert seen == sorted(seen)
    assert len(set(seen)) > 2
    assert max(seen) < 100
    [submit] = simulator.calls("replicate", "submit")
    assert submit["headers"]["cancel-after"] == "1800s"
    assert "prefer" not in submit["headers"], "no thread waits for it"


def test_the_key_does_not_follow_a_result_link(simulator: Remote) -> None:
    make(Replicate(), call_of())
    assert [call["authorized"] for call in simulator.calls("replicate", "download")] == [False]


def test_cancelling_confirms_and_the_parked_call_has_ended(simulator: Remote) -> None:
    simulator.settings(delay_s=60)
    adapter, call = Replicate(), call_of()
    parked = adapter.run(call)
    assert isinstance(parked, Pending)
    assert adapter.cancel(parked.remote_id) is True
    assert adapter.cancel(parked.remote_id) is True, "asked twice, answered alike"
    with pytest.raises(ProviderTimeout) as caught:
        adapter.poll(parked.remote_id, call)
    assert not caught.value.ask_again


def test_cancelling_what_is_done_or_unknown_confirms_nothing(simulator: Remote) -> None:
    adapter, call = Replicate(), call_of()
    parked = adapter.run(call)
    assert isinstance(parked, Pending)
    close(follow(adapter, call, parked))
    assert adapter.cancel(parked.remote_id) is False
    assert adapter.cancel("nobody") is False


def test_the_vendor_ends_what_takes_too_long(simulator: Remote, settings: Any) -> None:
    settings.REPLICATE = {**settings.REPLICATE, "CANCEL_AFTER_S": 1}
    simulator.settings(delay_s=60)
    simulator.faults("replicate", "stuck")
    adapter, call = Replicate(), call_of()
    state = adapter.run(call)
    with pytest.raises(Unavailable):
        follow(adapter, call, state)


def test_a_result_an_hour_later_is_lost(simulator: Remote) -> None:
    simulator.settings(link_s=0.001)
    with pytest.raises(AnswerLost):
        run()


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        (None, BadAnswer),
        ([], BadAnswer),
        ({}, BadAnswer),
        (7, BadAnswer),
        ("data:image/png;base64,@@", BadAnswer),
        ("https://elsewhere.example/a.png", BadAnswer),
    ],
)
def test_an_output_of_no_use_is_a_bad_answer(simulator: Remote, output: Any, kind: Any) -> None:
    body = {"id": "abc", "status": "succeeded", "output": output}
    with pytest.raises(kind):
        Replicate()._state(body, call_of(), _deadline())


def test_a_small_result_may_come_inside_the_answer(simulator: Remote) -> None:
    data = base64.b64encode(make_png()).decode()
    body = {"id": "abc", "status": "succeeded", "output": [f"data:image/png;base64,{data}"], "input": {"seed": 5}}
    made = Replicate()._state(body, call_of(), _deadline())
    assert isinstance(made, Made)
    assert opened(made).size == (64, 64)
    assert made.seed == 5


def test_a_state_that_nobody_knows_counts_as_at_work() -> None:
    state = Replicate()._state({"id": "abc", "status": "dreaming"}, call_of(), _deadline())
    assert isinstance(state, Pending)


def test_our_own_webhook_setting_is_our_fault() -> None:
    with pytest.raises(Misconfigured) as caught:
        Replicate()._state({"id": "a", "status": "failed", "error": "… (E4875)"}, call_of(), _deadline())
    assert caught.value.ours


def test_the_wait_that_stands_in_the_text_is_read(simulator: Remote) -> None:
    simulator.faults("replicate", "rate-limit", message="Request was throttled. Your rate limit resets in ~9s.")
    with pytest.raises(RateLimited) as caught:
        Replicate().run(call_of())
    assert caught.value.retry_after_s == 9


def _deadline() -> Deadline:
    return Deadline(5)


def test_one_account_behind_two_aliases(settings: Any) -> None:
    assert registry.lane_of("provider_f", "text-to-image") == "provider_e"
    assert registry.is_available("provider_f")
    settings.PROVIDERS_MODE, settings.PROVIDER_KEYS = "real", {"replicate": "r8_real"}
    assert registry.is_available("provider_e")
    assert registry.is_available("provider_f")
    assert registry.adapter("provider_e") is not registry.adapter("provider_f")
