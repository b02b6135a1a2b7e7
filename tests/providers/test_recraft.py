"""Recraft against the simulator: what the adapter sends, what it makes of the answer, what it costs."""

from __future__ import annotations

import base64
import io
from decimal import Decimal
from typing import Any

import openai
import pytest
from PIL import Image

from providers.adapters.recraft import Recraft
from providers.base import Call, Made, Pending
from providers.errors import AnswerLost, ModelGone, NetworkError, RateLimited, Refused
from tests.providers.make import close, make, make_call, make_picture, make_png, opened
from tests.simulator import Remote

PROMPT = "a lighthouse on a cliff at dawn"
STYLE_ID = "3f0c6a2e-1111-4222-8333-444455556666"


def bare(operation: str, model: str = "main", **inputs: Any) -> Call:
    """A call that says nothing by itself."""
    return Call(operation, model, inputs, 5.0, "test-1")


def half_white(size: int = 64) -> bytes:
    """A mask that is white on the left half, with a grey seam."""
    mask = Image.new("L", (size, size), "black")
    mask.paste(255, (0, 0, size // 2, size))
    mask.paste(120, (size // 2, 0, size // 2 + 1, size))
    out = io.BytesIO()
    mask.save(out, "PNG")
    return out.getvalue()


def sent_fields(simulator: Remote, operation: str) -> dict[str, Any]:
    [sent] = simulator.calls("recraft", operation)
    assert sent["status"] == 200
    fields: dict[str, Any] = sent["fields"]
    return fields


# --- What is sent --------------------------------------------------------------------------------


def test_a_generation_names_its_model_and_the_nearest_size(simulator: Remote) -> None:
    call = make_call(
        width=1600,
        height=900,
        seed=7,
        style="realistic_image",
        substyle="hdr",
        negative_prompt="fog",
        steps=20,
        guidance=3.0,
        background="transparent",
    )
    made = Recraft().run(call)
    assert isinstance(made, Made)
    assert opened(made).size == (1820, 1024)
    assert made.files[0].content_type == "image/png"
    assert made.seed == 7
    assert made.cost_usd == Decimal("0.04")
    assert made.extra["ignored"] == ("background", "guidance", "steps")
    assert sent_fields(simulator, "generations") == {
        "prompt": PROMPT,
        "n": 1,
        "model": "recraftv3",
        "size": "1820x1024",
        "style": "realistic_image",
        "substyle": "hdr",
        "negative_prompt": "fog",
        "random_seed": 7,
        "response_format": "url",
        "image_format": "png",
    }


def test_the_second_generation_costs_less(simulator: Remote) -> None:
    made = make(Recraft(), bare("text-to-image", "v2", prompt=PROMPT, style="digital_illustration"))
    assert (made.cost_usd, made.model) == (Decimal("0.022"), "v2")
    assert sent_fields(simulator, "generations")["model"] == "recraftv2"


def test_a_later_generation_gets_sizes_and_words_of_its_own(simulator: Remote, settings: Any) -> None:
    settings.RECRAFT = {**settings.RECRAFT, "MODELS": {"main": "recraftv4_1_pro"}}
    call = bare("text-to-image", prompt="é" * 3000, aspect_ratio="16:9", style="Line art", negative_prompt="fog")
    made = make(Recraft(), call)
    sent = sent_fields(simulator, "generations")
    assert sent["size"] == "2688x1536"
    assert not {"style", "negative_prompt"} & set(sent)
    assert len(sent["prompt"]) == 3000
    assert made.extra["ignored"] == ("negative_prompt", "style")
    assert made.cost_usd == Decimal("0.21")


def test_a_style_of_ones_own_replaces_the_curated_one(simulator: Remote) -> None:
    made = make(Recraft(), bare("text-to-image", prompt=PROMPT, style="realistic_image", style_id=STYLE_ID))
    sent = sent_fields(simulator, "generations")
    assert sent["style_id"] == STYLE_ID
    assert "style" not in sent
    assert made.extra["ignored"] == ("style",)


def test_a_prompt_is_cut_between_characters_where_the_model_stops_reading(simulator: Remote) -> None:
    make(Recraft(), bare("text-to-image", prompt="x" + "é" * 2000))
    assert sent_fields(simulator, "generations")["prompt"] == "x" + "é" * 499


@pytest.mark.parametrize(("given", "sent"), [(None, 0.2), (0.0, 0.0), (0.75, 0.75), (1, 1.0)])
def test_an_edit_always_says_how_far_it_may_go(simulator: Remote, given: Any, sent: float) -> None:
    made = make(Recraft(), bare("image-to-image", prompt=PROMPT, images=[make_png(300, 280)], strength=given))
    assert made.cost_usd == Decimal("0.04")
    assert made.extra["ignored"] == ()
    fields = sent_fields(simulator, "imageToImage")
    assert (fields["strength"], fields["n"], fields["model"]) == (sent, 1, "recraftv3")
    [file] = simulator.calls("recraft", "imageToImage")[0]["files"]
    assert (file["role"], file["width"], file["height"]) == ("image", 300, 280)


def test_a_mask_is_pure_and_as_large_as_the_picture_and_white_changes(simulator: Remote) -> None:
    call = bare("image-inpaint", prompt=PROMPT, images=[make_png(256, 256, "red")], mask=half_white())
    image = make_picture(Recraft(), call).convert("RGB")
    assert image.getpixel((200, 20)) == (255, 0, 0)
    assert image.getpixel((20, 20)) != (255, 0, 0)
    [sent] = simulator.calls("recraft", "inpaint")
    assert sent["files"][1] == {**sent["files"][1], "role": "mask", "mode": "L", "width": 256, "height": 256}


def test_a_background_is_described_by_its_own_words(simulator: Remote) -> None:
    call = bare("replace-background", prompt="a dancer", background_prompt="a beach", images=[make_png(256, 256)])
    assert make(Recraft(), call).cost_usd == Decimal("0.04")
    assert sent_fields(simulator, "replaceBackground")["prompt"] == "a beach"


def test_a_cut_out_has_transparent_corners(simulator: Remote) -> None:
    call = bare("remove-background", prompt="ignored", images=[make_png(300, 300, "red")])
    made = Recraft().run(call)
    assert isinstance(made, Made)
    assert (made.cost_usd, made.extra["ignored"]) == (Decimal("0.01"), ("prompt",))
    image = opened(made)
    assert image.mode == "RGBA"
    assert image.getpixel((2, 2))[3] == 0  # type: ignore[index]
    assert sent_fields(simulator, "removeBackground") == {"response_format": "url", "image_format": "png"}


def test_a_small_picture_grows(simulator: Remote) -> None:
    call = bare("upscale", images=[make_png(40, 32)], output_format="webp", response_format="b64_json")
    made = Recraft().run(call)
    assert isinstance(made, Made)
    assert (opened(made).size, made.files[0].content_type) == ((80, 64), "image/webp")
    assert made.cost_usd == Decimal("0.004")
    assert simulator.calls("recraft", "download") == []


def test_a_format_that_it_lacks_is_told(simulator: Remote) -> None:
    made = make(Recraft(), bare("text-to-image", prompt=PROMPT, output_format="jpeg"))
    assert made.extra["ignored"] == ("output_format",)


@pytest.mark.parametrize(
    ("operation", "inputs", "rule"),
    [
        ("text-to-image", {"prompt": " "}, "prompt"),
        ("text-to-image", {"prompt": PROMPT, "style": "vector_illustration"}, "vectors"),
        ("image-to-image", {"prompt": PROMPT}, "picture is needed"),
        ("image-to-image", {"prompt": PROMPT, "images": [None]}, "picture is needed"),
        ("image-to-image", {"prompt": PROMPT, "images": [b"GIF89a"]}, "PNG, JPEG or WebP"),
        ("image-to-image", {"prompt": PROMPT, "images": [make_png(255, 300)]}, "256 to 4,096"),
        ("image-to-image", {"prompt": PROMPT, "images": [make_png(4097, 300)]}, "256 to 4,096"),
        ("image-to-image", {"prompt": PROMPT, "images": [make_png(4096, 4000)]}, "16,000,000"),
        ("upscale", {"images": [make_png(31, 300)]}, "32 to 4,096"),
        ("image-inpaint", {"prompt": PROMPT, "images": [make_png(300, 300)]}, "mask"),
        ("image-inpaint", {"prompt": PROMPT, "images": [make_png(300, 300)], "mask": b"x"}, "mask"),
        ("replace-background", {"images": [make_png(300, 300)]}, "prompt"),
    ],
)
def test_unusable_inputs_are_refused_before_anything_is_sent(
    simulator: Remote, operation: str, inputs: dict[str, Any], rule: str
) -> None:
    with pytest.raises(Refused, match=rule):
        Recraft().run(bare(operation, **inputs))
    assert simulator.calls() == []


def test_a_picture_of_too_many_bytes_is_refused(simulator: Remote, settings: Any) -> None:
    settings.RECRAFT = {**settings.RECRAFT, "INPUT_BYTES": 100}
    with pytest.raises(Refused, match="may have 99 bytes"):
        Recraft().run(bare("upscale", images=[make_png(300, 300)]))


def test_only_models_that_edit_are_asked_to(simulator: Remote) -> None:
    with pytest.raises(ModelGone):
        Recraft().run(bare("image-to-image", "v2", prompt=PROMPT, images=[make_png(300, 300)]))


# --- What comes back -----------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["url", "b64_json"])
def test_a_picture_comes_behind_a_link_without_our_key_or_in_the_answer(simulator: Remote, answer: str) -> None:
    assert make_picture(Recraft(), bare("text-to-image", prompt=PROMPT, response_format=answer)).size == (1024, 1024)
    downloads = simulator.calls("recraft", "download")
    assert [call["authorized"] for call in downloads] == ([False] if answer == "url" else [])


def test_a_picture_whose_link_fails_for_the_moment_is_fetched_later(simulator: Remote) -> None:
    simulator.faults("recraft", "503", operation="download", times=2)
    adapter, call = Recraft(), make_call(seed=5)
    parked = adapter.run(call)
    assert isinstance(parked, Pending)
    assert "http" not in parked.remote_id
    assert "127.0.0.1" not in parked.remote_id
    with pytest.raises(NetworkError) as caught:
        adapter.poll(parked.remote_id, call)
    assert caught.value.ask_again
    made = adapter.poll(parked.remote_id, call)
    close(made)
    assert (made.cost_usd, made.seed) == (Decimal("0.04"), 5)
    assert len(simulator.calls("recraft", "generations")) == 1, "paid once"


def test_a_link_that_died_is_a_lost_answer(simulator: Remote) -> None:
    simulator.settings(link_s=0.000001)
    with pytest.raises(AnswerLost):
        Recraft().run(make_call())


def test_a_host_that_is_not_named_is_not_come_back_to(simulator: Remote, settings: Any) -> None:
    settings.PROVIDERS_MODE = "real"
    settings.RECRAFT = {**settings.RECRAFT, "RESULT_HOSTS": ["*.recraft.ai", "img.recraft.ai"]}
    adapter, error = Recraft(), NetworkError()
    kept = adapter._parked("https://img.recraft.ai/signed/a/b?x=1", Decimal("0.040"), error)
    assert kept.remote_id == "0.040 0/signed/a/b?x=1"
    with pytest.raises(AnswerLost):
        adapter._parked("https://other.recraft.ai/signed", Decimal("0.040"), error)


@pytest.mark.parametrize(
    ("units", "cost"),
    [
        (40, "0.04"),
        (0, "0"),
        (7, "0.007"),
        (None, "0.04"),
        ("40", "0.04"),
        (True, "0.04"),
        (-1, "0.04"),
        (10**9, "0.04"),
    ],
)
def test_the_cost_is_what_the_answer_says_else_the_price_lists(units: Any, cost: str) -> None:
    assert Recraft()._cost(units, make_call()) == Decimal(cost)


def test_its_two_windows_hold_for_all(simulator: Remote, settings: Any) -> None:
    settings.RECRAFT = {**settings.RECRAFT, "WINDOW": ((2, 60.0), (100, 1.0))}
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    for _ in range(2):
        make(Recraft(), make_call())
    with pytest.raises(RateLimited):
        Recraft().run(make_call())
    assert len(simulator.calls("recraft", "generations")) == 2


# --- The simulator -------------------------------------------------------------------------------


@pytest.fixture
def client(simulator: Remote) -> Any:
    """The vendor's documents name this client for its generations."""
    with openai.OpenAI(api_key="recraft-simulator", base_url=f"{simulator.url}/recraft/v1", max_retries=0) as one:
        yield one


def test_the_client_it_names_generates_as_many_as_asked(client: openai.OpenAI, simulator: Remote) -> None:
    before = client.get("/users/me", cast_to=dict[str, Any])["credits"]
    answer = client.images.generate(
        model="recraftv3", prompt="a cat", n=2, size="1536x1024", extra_body={"style": "realistic_image"}
    )
    assert answer.data
    assert len({one.url for one in answer.data}) == 2
    assert client.get("/users/me", cast_to=dict[str, Any])["credits"] == before - 80


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"n": 7}, "invalid_n"),
        ({"size": "1000x1000"}, "invalid_size"),
        ({"size": "1536x768"}, "invalid_size"),
        ({"model": "recraftv9"}, "invalid_model"),
        ({"response_format": "bytes"}, "invalid_response_format"),
        ({"prompt": "x" * 1001}, "invalid_prompt"),
        ({"extra_body": {"steps": 4}}, "unknown_field"),
        ({"extra_body": {"style": "nonsense"}}, "invalid_style"),
        ({"extra_body": {"style": "icon"}}, "invalid_style"),
        ({"extra_body": {"style": "any", "style_id": STYLE_ID}}, "invalid_style"),
        ({"extra_body": {"random_seed": -1}}, "invalid_random_seed"),
        ({"model": "recraftv4_1", "extra_body": {"negative_prompt": "fog"}}, "invalid_negative_prompt"),
    ],
)
def test_the_client_it_names_reads_what_is_wrong(client: openai.OpenAI, fields: dict[str, Any], code: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(**{"model": "recraftv3", "prompt": "a cat", **fields})
    assert caught.value.code == code


def test_a_wrong_key_and_a_wrong_path_are_answered_in_plain_text(client: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        client.with_options(api_key="wrong").images.generate(model="recraftv3", prompt="a cat")
    assert refused.value.response.text == "request unauthorized"
    with pytest.raises(openai.NotFoundError) as unknown:
        client.post("/images/textToImage", cast_to=object, body={"prompt": "a cat"})
    assert unknown.value.response.text == "404 page not found"


def test_vectors_are_drawn_for_those_who_ask(client: openai.OpenAI) -> None:
    body = {"prompt": "a cat", "model": "recraftv3_vector", "size": "16:9", "response_format": "b64_json"}
    answer = client.post("/images/generations/vector", cast_to=dict[str, Any], body=body)
    assert base64.b64decode(answer["data"][0]["b64_json"]).startswith(b"<svg ")
    assert answer["credits"] == 80
    with pytest.raises(openai.BadRequestError):
        client.post("/images/generations/raster", cast_to=object, body=body)


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("imageToImage", {"prompt": "x"}, "missing_field"),
        ("imageToImage", {"prompt": "x", "strength": 1.1, "image_url": "IMAGE"}, "invalid_strength"),
        ("imageToImage", {"prompt": "x", "strength": 0.5, "image_url": "SMALL"}, "invalid_image_size"),
        ("inpaint", {"prompt": "x", "image_url": "IMAGE", "mask_url": "COLOURS"}, "invalid_mask"),
        ("inpaint", {"prompt": "x", "image_url": "IMAGE", "mask_url": "SMALL MASK"}, "invalid_mask_size"),
        ("inpaint", {"prompt": "x", "image_url": "IMAGE", "mask_url": "GREY MASK"}, "invalid_mask"),
        ("crispUpscale", {"image_url": "https://example.com/a.png"}, "invalid_image_url"),
    ],
)
def test_edits_are_checked_as_the_vendor_would(
    client: openai.OpenAI, path: str, body: dict[str, Any], code: str
) -> None:
    known = {
        "IMAGE": make_png(300, 300),
        "SMALL": make_png(200, 300),
        "COLOURS": make_png(300, 300, "red"),
        "SMALL MASK": make_png(200, 300, 255, "L"),
        "GREY MASK": make_png(300, 300, 128, "L"),
    }
    sent = {name: data_url(known[value]) if value in known else value for name, value in body.items()}
    with pytest.raises(openai.BadRequestError) as caught:
        client.post(f"/images/{path}", cast_to=object, body=sent)
    assert caught.value.code == code


def data_url(picture: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(picture).decode()


@pytest.mark.parametrize("path", ["vectorize", "eraseRegion", "outpaint", "variateImage", "generateBackground"])
def test_the_other_tools_answer_too(client: openai.OpenAI, path: str) -> None:
    body: dict[str, Any] = {"image_url": data_url(make_png(300, 300))}
    if path in ("eraseRegion", "generateBackground"):
        body["mask_url"] = data_url(make_png(300, 300, 255, "L"))
    if path in ("outpaint", "generateBackground"):
        body["prompt"] = "a meadow"
    if path == "variateImage":
        body["size"] = "1:1"
    answer = client.post(f"/images/{path}", cast_to=dict[str, Any], body=body)
    assert answer["credits"] > 0
    assert ("image" in answer) is (path in ("vectorize", "eraseRegion"))
