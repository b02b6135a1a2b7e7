"""Stability: what is sent for each operation, what it costs, what is made of the answer, and what is never sent."""

from __future__ import annotations

import io
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import requests
from PIL import Image

from config.api import redis as desk_redis
from providers.adapters.stability import Stability
from providers.adapters.stability_endpoints import ENDPOINTS
from providers.base import Call, Made, Pending
from providers.errors import (
    AnswerLost,
    BadAnswer,
    ModelGone,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    Refused,
    Unavailable,
)
from providers.spool import Spool
from providers.transport import Answer
from providers.wire import Deadline
from tests.providers.make import follow, make, make_picture, make_png, opened
from tests.simulator import Remote

PROMPT = "a lighthouse on a cliff at dawn"
BASE = "/stability/v2beta"


@pytest.fixture(autouse=True)
def wide_open(settings: Any) -> None:
    """Our own window is not what these tests are about."""
    settings.STABILITY = {**settings.STABILITY, "WINDOW": (0, 10)}


def call(operation: str, model: str = "main", **inputs: Any) -> Call:
    return Call(operation, model, {"prompt": PROMPT, **inputs}, 10.0, "test-1")


def noise(width: int, height: int, format: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.effect_noise((width, height), 60).convert("RGB").save(out, format)
    return out.getvalue()


PHOTO, SMALL = noise(320, 200), noise(64, 64)
MASK = make_png(320, 200, "white", "L")

# operation, model key, inputs beside the prompt -> path, form fields beside the prompt, file fields, cost in USD
SENT: list[tuple[str, str, dict[str, Any], str, dict[str, str], list[str], str]] = [
    (
        "text-to-image",
        "main",
        {"width": 900, "height": 1600, "negative_prompt": "fog", "seed": 7, "style_preset": "low-poly"},
        "stable-image/generate/core",
        {"aspect_ratio": "9:16", "negative_prompt": "fog", "seed": "7", "style_preset": "low-poly"},
        [],
        "0.03",
    ),
    (
        "text-to-image",
        "ultra",
        {"aspect_ratio": "3:4", "output_format": "webp"},
        "stable-image/generate/ultra",
        {"aspect_ratio": "4:5", "output_format": "webp"},
        [],
        "0.08",
    ),
    (
        "text-to-image",
        "sd3",
        {"aspect_ratio": "21:9", "guidance": 6.5, "seed": 0},
        "stable-image/generate/sd3",
        {"mode": "text-to-image", "model": "sd3.5-large", "aspect_ratio": "21:9", "cfg_scale": "6.5"},
        [],
        "0.065",
    ),
    (
        "image-to-image",
        "main",
        {"images": [PHOTO], "fidelity": 0.8},
        "stable-image/control/style",
        {"fidelity": "0.8", "aspect_ratio": "3:2"},
        ["image"],
        "0.05",
    ),
    (
        "sketch-to-image",
        "main",
        {"images": [PHOTO], "control_strength": 0.75},
        "stable-image/control/sketch",
        {"control_strength": "0.75"},
        ["image"],
        "0.05",
    ),
    (
        "structure-to-image",
        "main",
        {"images": [PHOTO], "output_format": "jpeg"},
        "stable-image/control/structure",
        {"output_format": "jpeg"},
        ["image"],
        "0.05",
    ),
    (
        "pose-to-image",
        "main",
        {"images": [PHOTO], "control_strength": 1},
        "stable-image/control/structure",
        {"control_strength": "1"},
        ["image"],
        "0.05",
    ),
    (
        "remove-background",
        "main",
        {"prompt": "", "images": [PHOTO], "output_format": "webp"},
        "stable-image/edit/remove-background",
        {"output_format": "webp"},
        ["image"],
        "0.05",
    ),
    (
        "search-and-recolor",
        "main",
        {"images": [PHOTO], "select_prompt": "the roof", "grow_mask": 3},
        "stable-image/edit/search-and-recolor",
        {"select_prompt": "the roof", "grow_mask": "3"},
        ["image"],
        "0.05",
    ),
    (
        "image-inpaint",
        "main",
        {"images": [PHOTO], "mask": MASK, "grow_mask": 0},
        "stable-image/edit/inpaint",
        {"grow_mask": "0"},
        ["image", "mask"],
        "0.05",
    ),
    (
        "replace-background",
        "main",
        {"prompt": "", "background_prompt": "a beach", "images": [PHOTO, SMALL], "negative_prompt": "people"},
        "stable-image/edit/replace-background-and-relight",
        {"background_prompt": "a beach", "negative_prompt": "people"},
        ["subject_image", "background_reference"],
        "0.08",
    ),
    (
        "upscale",
        "main",
        {"prompt": "", "images": [SMALL], "output_format": "png"},
        "stable-image/upscale/fast",
        {"output_format": "png"},
        ["image"],
        "0.02",
    ),
    (
        "image-to-model",
        "main",
        {"prompt": "", "images": [PHOTO], "texture_resolution": 2048, "remesh": "quad", "foreground_ratio": 1.25}
        | {"target_type": "vertex", "target_count": 5000},
        "3d/stable-fast-3d",
        {"texture_resolution": "2048", "remesh": "quad", "foreground_ratio": "0.8", "vertex_count": "5000"},
        ["image"],
        "0.10",
    ),
    (
        "image-to-model",
        "point-aware",
        {"prompt": "", "images": [noise(640, 640)], "foreground_ratio": 0.8, "guidance_scale": 6, "seed": 9}
        | {"target_type": "face", "target_count": 8000},
        "3d/stable-point-aware-3d",
        {
            "foreground_ratio": "1.25",
            "guidance_scale": "6",
            "seed": "9",
            "target_type": "face",
            "target_count": "8000",
        },
        ["image"],
        "0.04",
    ),
]


@pytest.mark.parametrize(
    ("operation", "model", "inputs", "path", "fields", "files", "cost"),
    SENT,
    ids=[f"{row[0]} {row[1]}" for row in SENT],
)
def test_what_is_sent_and_what_it_costs(
    simulator: Remote,
    operation: str,
    model: str,
    inputs: dict[str, Any],
    path: str,
    fields: dict[str, str],
    files: list[str],
    cost: str,
) -> None:
    asked = call(operation, model, **inputs)
    made = make(Stability(), asked)
    assert made.cost_usd == Decimal(cost)
    assert made.model == model
    assert made.extra["ignored"] == ()
    sent = simulator.calls("stability")[0]
    prompt = {"prompt": PROMPT} if inputs.get("prompt") is None else {}
    assert sent["path"] == f"{BASE}/{path}"
    assert sent["headers"]["content-type"].startswith("multipart/form-data")
    assert sent["fields"] == {**prompt, **fields}
    assert [file["role"] for file in sent["files"]] == files
    assert all(file["width"] for file in sent["files"])


def test_each_endpoint_is_tried() -> None:
    assert {(row[0], row[1]) for row in SENT} == {(name, key) for name, keys in ENDPOINTS.items() for key in keys}


@pytest.mark.parametrize(
    ("operation", "inputs", "size"),
    [
        ("text-to-image", {"aspect_ratio": "16:9"}, (1648, 944)),
        ("image-to-image", {"images": [PHOTO]}, (1216, 832)),
        ("sketch-to-image", {"images": [PHOTO]}, (320, 200)),
        ("remove-background", {"images": [PHOTO]}, (320, 200)),
        ("search-and-recolor", {"images": [PHOTO], "select_prompt": "x"}, (320, 200)),
        ("replace-background", {"images": [PHOTO]}, (320, 200)),
        ("upscale", {"images": [SMALL]}, (256, 256)),
    ],
)
def test_a_whole_picture_comes_back(
    simulator: Remote, operation: str, inputs: dict[str, Any], size: tuple[int, int]
) -> None:
    image = make_picture(Stability(), call(operation, **inputs))
    assert image.size == size
    assert image.mode == ("RGBA" if operation == "remove-background" else "RGB")


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_a_picture_comes_in_the_format_asked_for(simulator: Remote, format: str) -> None:
    made = make(Stability(), call("structure-to-image", images=[SMALL], output_format=format))
    assert made.files[0].content_type == f"image/{format}"


def test_a_model_comes_back_as_binary_gltf(simulator: Remote) -> None:
    made = Stability().run(call("image-to-model", images=[SMALL]))
    assert isinstance(made, Made)
    [file] = made.files
    assert (file.content_type, file.role) == ("model/gltf-binary", "result")
    with file.body as body:
        assert body.read(4) == b"glTF"
    assert made.seed is None


def test_the_seed_is_the_one_that_the_vendor_says_it_used(simulator: Remote) -> None:
    drawn = make(Stability(), call("structure-to-image", images=[SMALL]))
    assert drawn.seed
    assert make(Stability(), call("structure-to-image", images=[SMALL], seed=4_294_967_294)).seed == 4_294_967_294
    assert "seed" not in simulator.calls("stability")[0]["fields"]


def test_bytes_are_asked_for_not_json(simulator: Remote) -> None:
    make(Stability(), call("structure-to-image", images=[SMALL]))
    make(Stability(), call("image-to-model", images=[SMALL]))
    assert [sent["headers"]["accept"] for sent in simulator.calls("stability")] == ["image/*", "*/*"]


# --- Masks ---------------------------------------------------------------------------------------


def left_half(mode: str) -> bytes:
    """White on the left half; in RGBA the rest is transparent instead of black."""
    mask = Image.new(mode, (64, 64), 0 if mode == "L" else (255, 255, 255, 0))
    mask.paste(255 if mode == "L" else (255, 255, 255, 255), (0, 0, 32, 64))
    out = io.BytesIO()
    mask.save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_only_what_is_white_in_the_mask_changes(simulator: Remote, mode: str) -> None:
    inputs = {"images": [make_png(128, 128, "red")], "mask": left_half(mode)}
    image = make_picture(Stability(), call("image-inpaint", **inputs))
    assert image.getpixel((100, 10)) == (255, 0, 0)
    assert image.getpixel((20, 10)) != (255, 0, 0)
    sent = simulator.calls("stability")[0]["files"][1]
    assert (sent["role"], sent["mode"]) == ("mask", "L")


def test_a_plain_mask_is_sent_as_it_is(simulator: Remote) -> None:
    mask = left_half("L")
    outgoing = Stability().make_picture(call("image-inpaint", images=[SMALL], mask=mask))
    assert outgoing.files[1][1][1] is mask


# --- What is not sent ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "inputs", "fault"),
    [
        ("text-to-image", {"prompt": "  "}, "A prompt is needed."),
        ("text-to-image", {"prompt": "x" * 10_001}, "The prompt may have 10,000 characters at most."),
        ("text-to-image", {"seed": 4_294_967_295}, "The seed must be a whole number from 0 to 4,294,967,294."),
        ("text-to-image", {"seed": "x"}, "The seed must be a whole number from 0 to 4,294,967,294."),
        ("text-to-image", {"style_preset": "baroque"}, "The style preset must be one of: enhance, anime, "),
        ("text-to-image", {"output_format": "gif"}, "The output format must be one of: png, jpeg, webp."),
        ("image-to-image", {}, "A picture is needed."),
        ("image-to-image", {"images": [b"GIF89a"]}, "The picture must be PNG, JPEG or WebP."),
        ("image-to-image", {"images": [make_png(63, 64)]}, "Each side of the picture must have 64 or more pixels; it"),
        ("image-to-image", {"images": [make_png(64, 161)]}, "must be at most 2.5 times the shorter; it has 64 x 161."),
        ("image-to-image", {"images": [SMALL], "fidelity": 1.1}, "The fidelity must be a number from 0 to 1."),
        ("image-inpaint", {"images": [SMALL]}, "A mask is needed."),
        ("image-inpaint", {"images": [SMALL], "mask": b"x"}, "The mask is not a usable picture."),
        ("image-inpaint", {"images": [SMALL], "mask": MASK, "grow_mask": 2.5}, "The grow mask must be a whole number"),
        ("remove-background", {"images": [SMALL], "output_format": "jpeg"}, "must be one of: png, webp."),
        ("remove-background", {"images": [make_png(2049, 2048)]}, "must have 4,096 to 4,194,304 pixels; it has 2049 x"),
        ("search-and-recolor", {"images": [SMALL]}, "A select prompt is needed."),
        ("replace-background", {"prompt": "", "images": [SMALL]}, "A background prompt is needed."),
        ("upscale", {"images": [make_png(1025, 1024)]}, "must have 1,024 to 1,048,576 pixels; it has 1025 x 1024."),
        ("upscale", {"images": [make_png(1600, 32)]}, "must have 32 to 1,536 pixels; it has 1600 x 32."),
        ("image-to-model", {"images": [SMALL], "texture_resolution": 4096}, "must be one of: 512, 1024, 2048."),
        ("image-to-model", {"images": [SMALL + bytes(10 * 1024 * 1024)]}, "The pictures may have 10,420,224 bytes"),
    ],
)
def test_what_the_vendor_would_refuse_is_never_sent(
    simulator: Remote, operation: str, inputs: dict[str, Any], fault: str
) -> None:
    with pytest.raises(Refused) as caught:
        Stability().run(call(operation, **inputs))
    assert fault in caught.value.message
    assert simulator.calls() == []


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(Refused) as caught:
        Stability().run(call("sketch-to-image", prompt="", control_strength=2, seed=-1))
    assert caught.value.message == (
        "A prompt is needed. The seed must be a whole number from 0 to 4,294,967,294. "
        "The control strength must be a number from 0 to 1. A picture is needed."
    )


def test_a_background_may_be_a_picture_instead_of_words(simulator: Remote) -> None:
    make(Stability(), call("replace-background", prompt="", images=[SMALL, SMALL]))
    assert simulator.calls("stability")[0]["fields"] == {}


@pytest.mark.parametrize(
    ("operation", "inputs", "ignored"),
    [
        ("text-to-image", {"steps": 20, "quality": "hd", "style": "", "seed": 0, "width": 64}, ["quality", "steps"]),
        ("sketch-to-image", {"images": [SMALL], "width": 64, "aspect_ratio": "1:1"}, ["aspect_ratio", "width"]),
        ("image-to-image", {"images": [SMALL, SMALL], "strength": 0.2}, ["images", "strength"]),
        ("image-to-model", {"images": [SMALL], "seed": 3, "target_type": "none"}, ["prompt", "seed"]),
        ("upscale", {"images": [SMALL]}, ["prompt"]),
    ],
)  # fmt: skip
def test_inputs_that_it_does_not_know_are_told(
    simulator: Remote, operation: str, inputs: dict[str, Any], ignored: list[str]
) -> None:
    assert list(make(Stability(), call(operation, **inputs)).extra["ignored"]) == ignored


@pytest.mark.parametrize(
    ("model", "inputs", "said"),
    [
        ("main", {"target_type": "face", "target_count": 8000}, {"vertex_count": "4000"}),
        ("main", {"target_type": "none", "target_count": 8000}, {}),
        ("main", {"foreground_ratio": 2}, {"foreground_ratio": "0.5"}),
        ("point-aware", {"target_count": 8000}, {}),
        ("point-aware", {"foreground_ratio": 0.1}, {"foreground_ratio": "2"}),
    ],
)
def test_each_model_gets_mesh_and_frame_in_its_own_terms(model: str, inputs: dict[str, Any], said: Any) -> None:
    outgoing = Stability().make_model(call("image-to-model", model, images=[make_png(640, 640)], **inputs))
    assert outgoing.fields == said


# --- Models and prices are settings --------------------------------------------------------------


def test_another_model_is_a_setting_and_has_its_price(simulator: Remote, settings: Any) -> None:
    settings.STABILITY = {**settings.STABILITY, "MODELS": {"sd3": "sd3.5-large-turbo"}, "CREDIT_USD": "0.012"}
    made = make(Stability(), call("text-to-image", "sd3", aspect_ratio="1:1", seed=1))
    assert made.cost_usd == Decimal("0.048")
    with pytest.raises(ModelGone):
        Stability().run(call("text-to-image", "ultra"))
    with pytest.raises(ModelGone):
        Stability().run(call("upscale", "crisp", images=[SMALL]))


def test_the_account_pays_what_we_write_down_and_nothing_for_a_failure(simulator: Remote) -> None:
    before = _balance(simulator)
    simulator.faults("stability", "500")
    with pytest.raises(Unavailable):
        Stability().run(call("upscale", images=[SMALL]))
    spent = [make(Stability(), call(row[0], row[1], **row[2])).cost_usd for row in SENT]
    assert before - _balance(simulator) == sum(spent) * 100


def _balance(simulator: Remote) -> Decimal:
    """Credits, a cent each, as the vendor's own account page tells them."""
    headers = {"Authorization": "Bearer sk-stability-simulator"}
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(f"{simulator.url}/stability/v1/user/balance", headers=headers, timeout=10)
    return Decimal(str(answer.json()["credits"]))


# --- The parked call -----------------------------------------------------------------------------


def test_replacing_a_background_parks_and_is_asked_about_in_ten_seconds(simulator: Remote) -> None:
    simulator.settings(delay_s=60, poll_gap_s=0)
    asked = call("replace-background", images=[SMALL], seed=5)
    parked = Stability().run(asked)
    assert isinstance(parked, Pending)
    assert parked.poll_after_s == 10
    again = Stability().poll(parked.remote_id, asked)
    assert again == parked
    assert len(parked.remote_id) == 64


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ('{"id": null}', AnswerLost),
        ('{"id": "../x"}', AnswerLost),
        ('{"status": "in-progress"}', AnswerLost),
        ('{"id": null, "name": "internal_error", "errors": ["no"]}', BadAnswer),
        ('{"error": "no"}', BadAnswer),
        ("[]", BadAnswer),
    ],
)
def test_a_start_without_an_id_is_paid_for_and_lost_unless_it_says_no(said: str, kind: type[ProviderError]) -> None:
    spool = Spool(10_000)
    spool.write(said.encode())
    with pytest.raises(kind) as caught:
        Stability().read(Answer(200, {}, spool.rewind(), 0.1), call("replace-background", images=[SMALL]), Deadline(1))
    assert caught.value.is_loss is (kind is AnswerLost)


def test_a_parked_call_ends_as_a_picture_with_its_seed_and_cost(simulator: Remote) -> None:
    asked = call("replace-background", images=[SMALL], seed=5, output_format="webp")
    made = follow(Stability(), asked, Stability().run(asked))
    assert (made.seed, made.cost_usd, made.files[0].content_type) == (5, Decimal("0.08"), "image/webp")
    assert opened(made).size == (64, 64)


def test_asking_too_often_shuts_us_out_and_is_no_loss(simulator: Remote) -> None:
    simulator.settings(delay_s=60)
    asked = call("replace-background", images=[SMALL])
    parked = Stability().run(asked)
    assert isinstance(parked, Pending)
    Stability().poll(parked.remote_id, asked)
    with pytest.raises(RateLimited) as caught:
        Stability().poll(parked.remote_id, asked)
    assert caught.value.ask_again
    assert caught.value.retry_after_s == 60


@pytest.fixture
def narrow_window(settings: Any) -> Iterator[None]:
    """Room for two requests. Made anew: other tests' calls are in the usual one."""
    settings.STABILITY = {**settings.STABILITY, "WINDOW": (2, 31.0)}
    key = "atelier:window:stability:31"
    desk_redis.client().delete(key)
    yield
    desk_redis.client().delete(key)


@pytest.mark.usefixtures("narrow_window")
def test_questions_take_room_in_the_window_too(simulator: Remote) -> None:
    simulator.settings(delay_s=60)
    asked = call("replace-background", images=[SMALL])
    parked = Stability().run(asked)
    assert isinstance(parked, Pending)
    Stability().poll(parked.remote_id, asked)
    with pytest.raises(RateLimited) as caught:
        Stability().poll(parked.remote_id, asked)
    assert caught.value.ask_again, "the call is still at the vendor"
    assert (caught.value.retry_after_s or 0) > 10
    assert len(simulator.calls("stability")) == 2


def test_a_question_without_an_answer_is_asked_again_at_the_vendors_pace(simulator: Remote) -> None:
    asked = Call("replace-background", "main", {"prompt": PROMPT, "images": [SMALL]}, 0.5, "test-1")
    parked = Stability().run(asked)
    assert isinstance(parked, Pending)
    simulator.faults("stability", "hang", operation="results")
    with pytest.raises(ProviderTimeout) as caught:
        Stability().poll(parked.remote_id, asked)
    assert caught.value.ask_again
    assert caught.value.retry_after_s == 10
