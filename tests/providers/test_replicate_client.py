"""Replicate's own Python client against the simulator: it runs models, reads errors, cancels."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
import replicate as official
import requests
from PIL import Image
from replicate.exceptions import ModelError, ReplicateError

from providers import secrets
from tests.providers.make import make_png
from tests.simulator import Remote

SDXL = "stability-ai/sdxl:39ed52f2a78e934b3ba6e2a89f5b1c712de7dfea535525255b1aa35c5565e08b"


@pytest.fixture
def client(simulator: Remote) -> Iterator[official.Client]:
    made = official.Client(api_token="r8_simulator", base_url=f"{simulator.url}/replicate", trust_env=False)
    made.poll_interval = 0.02
    yield made
    made._client.close()


def test_the_client_runs_an_official_model(client: official.Client, simulator: Remote) -> None:
    simulator.settings(delay_s=0.05)
    output = client.run("black-forest-labs/flux-schnell", input={"prompt": "a cat", "num_outputs": 2})
    assert len(output) == 2
    assert Image.open(io.BytesIO(requests.get(output[0], timeout=5).content)).format == "WEBP"


def test_the_client_runs_a_version_and_reads_its_iterator(client: official.Client) -> None:
    ref = "schananas/grounded_sam:ee871c19efb1941f55f66a3d7d960428c8a5afcb77449547fe8e5a3ab9ebc21c"
    picture = io.BytesIO(make_png(400, 400))  # uploaded by the client's own rule
    files = list(client.run(ref, input={"image": picture, "mask_prompt": "person"}))
    assert [file.rpartition("/")[2] for file in files][2:] == ["mask.jpg", "inverted_mask.jpg"]


def test_the_client_polls_progress_and_cancels(client: official.Client, simulator: Remote) -> None:
    simulator.settings(delay_s=0.4)
    prediction = client.predictions.create(version=SDXL.partition(":")[2], input={"prompt": "a cat"})
    assert prediction.status == "starting"
    seen = []
    while prediction.status != "succeeded":
        prediction.reload()
        seen += [prediction.progress.percentage] if prediction.progress else []
    assert seen == sorted(seen)
    assert prediction.metrics
    assert prediction.metrics["predict_time"] > 0
    simulator.settings(delay_s=60)
    running = client.models.predictions.create("black-forest-labs/flux-dev", input={"prompt": "a cat"})
    running.cancel()
    assert running.status == "canceled"
    assert client.predictions.get(running.id).status == "canceled"
    assert [one.id for one in client.predictions.list().results] == [running.id, prediction.id]


def test_the_client_waits_no_longer_than_it_says(client: official.Client, simulator: Remote) -> None:
    simulator.settings(delay_s=60)
    body = {"prompt": "a cat"}
    assert client.models.predictions.create("black-forest-labs/flux-dev", input=body, wait=1).status == "starting"


@pytest.mark.parametrize(
    ("ref", "fields", "status", "told"),
    [
        ("black-forest-labs/flux-dev", {}, 422, "- input: prompt is required"),
        ("black-forest-labs/flux-dev", {"prompt": "x", "width": 64}, 422, "Additional property width is not allowed"),
        ("black-forest-labs/flux-dev", {"prompt": "x", "aspect_ratio": "7:5"}, 422, "must be one of the following"),
        ("black-forest-labs/flux-schnell", {"prompt": "x", "num_inference_steps": 28}, 422, "less than or equal to 4"),
        ("black-forest-labs/flux-dev", {"prompt": "x", "seed": "7"}, 422, "Invalid type"),
        ("stability-ai/sdxl", {"prompt": "x"}, 404, "could not be found"),
        ("stability-ai/sdxl:" + "0" * 64, {"prompt": "x"}, 422, "version does not exist"),
    ],
)
def test_the_client_reads_what_is_wrong(
    client: official.Client, ref: str, fields: dict[str, Any], status: int, told: str
) -> None:
    with pytest.raises(ReplicateError) as caught:
        client.run(ref, input=fields)
    assert caught.value.status == status
    assert told in (caught.value.detail or "")


def test_the_client_reads_a_run_that_failed(client: official.Client, simulator: Remote) -> None:
    simulator.faults("replicate", "filtered", at="input")
    with pytest.raises(ModelError, match="E005"):
        client.run("black-forest-labs/flux-dev", input={"prompt": "a cat"}, wait=False)
    with pytest.raises(ModelError, match="divisible by 8"):
        client.run(SDXL, input={"prompt": "a cat", "width": 1001})


@pytest.mark.parametrize(("fault", "status"), [("no-credit", 402), ("rate-limit", 429), ("unauthorized", 401)])
def test_the_client_reads_a_refusal(client: official.Client, simulator: Remote, fault: str, status: int) -> None:
    simulator.faults("replicate", fault)
    with pytest.raises(ReplicateError) as caught:
        client.run("black-forest-labs/flux-dev", input={"prompt": "a cat"})
    assert caught.value.status == status


def test_the_client_finds_models_files_and_the_signing_secret(client: official.Client) -> None:
    model = client.models.get("black-forest-labs/flux-dev")
    assert model.latest_version
    assert "prompt_strength" in model.latest_version.openapi_schema["components"]["schemas"]["Input"]["properties"]
    assert [version.id for version in model.versions.list().results] == [model.latest_version.id]
    kept = client.files.create(io.BytesIO(make_png()))
    assert client.files.get(kept.id).size == kept.size == len(make_png())
    assert client.files.delete(kept.id)
    with pytest.raises(ReplicateError):
        client.files.get(kept.id)
    assert client.webhooks.default.secret().key == secrets.key("replicate-webhook")
