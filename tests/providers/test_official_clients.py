"""The vendors' own Python clients against the simulator: each makes a picture and reads an error."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import huggingface_hub
import openai
import pytest
from huggingface_hub import InferenceClient, constants
from huggingface_hub.errors import HfHubHTTPError
from PIL import Image

from tests.providers.make import make_png
from tests.simulator import Remote


@pytest.fixture
def openai_client(simulator: Remote) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="sk-simulator", base_url=f"{simulator.url}/openai/v1", max_retries=0) as client:
        yield client


def test_openai_generates_as_many_as_asked(openai_client: openai.OpenAI) -> None:
    answer = openai_client.images.generate(
        model="gpt-image-2", prompt="a cat", n=2, size="1536x1024", output_format="webp", quality="low"
    )
    assert answer.data
    assert len(answer.data) == 2
    image = Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json or "")))
    assert (image.format, image.size) == ("WEBP", (1536, 1024))
    assert answer.usage
    assert answer.usage.output_tokens == 544


def test_openai_edits_with_a_mask(openai_client: openai.OpenAI) -> None:
    answer = openai_client.images.edit(
        model="gpt-image-2",
        prompt="a red door",
        image=[("a.png", make_png(64, 64), "image/png"), ("b.png", make_png(64, 64), "image/png")],
        mask=("mask.png", make_png(64, 64, (0, 0, 0, 0), "RGBA"), "image/png"),
        size="256x256",
    )
    assert answer.data
    assert Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json or ""))).size == (256, 256)


def test_openai_lists_models(openai_client: openai.OpenAI) -> None:
    assert "gpt-image-2" in [model.id for model in openai_client.models.list()]


@pytest.mark.parametrize(
    ("fields", "kind", "code"),
    [
        ({"model": "gpt-image-2", "style": "vivid"}, openai.BadRequestError, "unknown_parameter"),
        ({"model": "gpt-image-2", "response_format": "b64_json"}, openai.BadRequestError, "unknown_parameter"),
        ({"model": "gpt-image-2", "n": 11}, openai.BadRequestError, "integer_out_of_range"),
        ({"model": "gpt-image-2", "size": "1000x1000"}, openai.BadRequestError, "invalid_value"),
        ({"model": "gpt-image-1", "size": "512x512"}, openai.BadRequestError, "invalid_value"),
        ({"model": "gpt-image-2", "quality": "hd"}, openai.BadRequestError, "invalid_value"),
        ({"model": "dall-e-3"}, openai.NotFoundError, "model_not_found"),
    ],
)
def test_openai_reads_what_is_wrong(openai_client: openai.OpenAI, fields: dict[str, Any], kind: Any, code: str) -> None:
    with pytest.raises(kind) as caught:
        openai_client.images.generate(prompt="a cat", **fields)
    assert caught.value.code == code
    assert caught.value.request_id.startswith("req_")


def test_openai_reads_a_scripted_fault(openai_client: openai.OpenAI, simulator: Remote) -> None:
    simulator.faults("openai", "filtered", details=True)
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.images.generate(model="gpt-image-2", prompt="a cat")
    assert caught.value.code == "moderation_blocked"
    with pytest.raises(openai.AuthenticationError):
        openai_client.with_options(api_key="sk-wrong").images.generate(model="gpt-image-2", prompt="a cat")


@pytest.fixture
def hugging_client(simulator: Remote, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Make a client for a company; its hosts are constants of the package."""
    base = f"{simulator.url}/huggingface"
    monkeypatch.setattr(constants, "INFERENCE_PROXY_TEMPLATE", base + "/{provider}")
    monkeypatch.setattr(constants, "ENDPOINT", base)
    from huggingface_hub.inference._providers import _common, hf_inference

    for cached in (_common._fetch_inference_provider_mapping, hf_inference._check_supported_task):
        cached.cache_clear()
    # The helpers of hf-inference read the template once, when they are made.
    for task in ("text-to-image", "image-to-image"):
        helper = huggingface_hub.inference._providers.PROVIDERS["hf-inference"][task]
        monkeypatch.setattr(helper, "base_url", f"{base}/hf-inference")
    yield lambda company: InferenceClient(provider=company, api_key="hf_simulator", timeout=10)
    huggingface_hub.close_session()


@pytest.mark.parametrize("company", ["fal-ai", "hf-inference"])
def test_hugging_face_makes_a_picture(hugging_client: Any, simulator: Remote, company: str) -> None:
    image = hugging_client(company).text_to_image(
        "a cat", model="black-forest-labs/FLUX.1-dev", width=320, height=256, seed=5, num_inference_steps=20
    )
    assert image.size == (320, 256)
    calls = simulator.calls("huggingface")
    assert calls[0]["prompt"] == "a cat"
    assert calls[0]["authorized"]


def test_hugging_face_makes_a_picture_by_another_company(hugging_client: Any, simulator: Remote) -> None:
    image = hugging_client("replicate").text_to_image("a cat", model="black-forest-labs/FLUX.1-schnell", seed=5)
    assert image.size == (1024, 1024)
    assert simulator.calls("replicate", "submit")[0]["headers"]["prefer"] == "wait"


@pytest.fixture
def fal_behind_the_router(simulator: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client knows the router by its host's name alone when it asks about a queued call."""
    from huggingface_hub.inference._providers import fal_ai

    class Parsed:
        def __init__(self, url: str) -> None:
            self._parts = urlsplit(url)
            self.netloc = self._parts.netloc
            if url.startswith(simulator.url):
                self.netloc += "/huggingface/fal-ai"

        def __getattr__(self, name: str) -> Any:
            return getattr(self._parts, name)

    monkeypatch.setattr(fal_ai, "urlparse", Parsed)
    monkeypatch.setattr(fal_ai, "_POLLING_INTERVAL", 0.01)


@pytest.mark.usefixtures("fal_behind_the_router")
@pytest.mark.parametrize("company", ["fal-ai", "hf-inference"])
def test_hugging_face_edits_a_picture(hugging_client: Any, simulator: Remote, company: str) -> None:
    image = hugging_client(company).image_to_image(
        make_png(320, 256, "red"), prompt="a blue door", model="black-forest-labs/FLUX.2-klein-9B"
    )
    assert image.size == (320, 256)
    assert simulator.calls("huggingface")[0]["prompt"] == "a blue door"


def test_hugging_face_edits_a_picture_without_words(hugging_client: Any, simulator: Remote) -> None:
    model = "black-forest-labs/FLUX.2-klein-9B"
    assert hugging_client("hf-inference").image_to_image(make_png(64, 64), model=model).size == (64, 64)


@pytest.mark.parametrize(("fault", "status"), [("no-credit", 402), ("rate-limit", 429), ("bad-input", 422)])
def test_hugging_face_reads_an_error(hugging_client: Any, simulator: Remote, fault: str, status: int) -> None:
    simulator.faults("huggingface", fault)
    with pytest.raises(HfHubHTTPError) as caught:
        hugging_client("fal-ai").text_to_image("a cat", model="black-forest-labs/FLUX.1-dev")
    assert caught.value.response.status_code == status
