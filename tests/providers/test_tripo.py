"""Tripo: what is sent, what it costs and what comes back; its chain, its webhooks, and its own client."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from requests.structures import CaseInsensitiveDict

from providers import registry
from providers.adapters.tripo import Tripo
from providers.base import Made, Pending, Ready
from providers.errors import ModelGone, ProviderTimeout, RateLimited, Refused
from providers.simulator import models, tripo_hooks
from tests.providers.make import close, follow, make, make_call, make_png
from tests.simulator import Remote

# The client looks up where in the world it runs as soon as it is imported, unless it is told not to.
os.environ["TRIPO_DISABLE_GEO_DETECTION"] = "1"
import tripo3d

GLB = models.glb(1)
PICTURES = {"images": [make_png(64, 64, "red"), None, make_png(64, 64, "blue")]}


@pytest.fixture
def tripo(simulator: Remote) -> Tripo:
    return Tripo()


def call(operation: str, *, deadline_s: float = 5.0, **inputs: Any) -> Any:
    given = {"width": None, "height": None, "prompt": None, **inputs}
    return make_call(operation, deadline_s=deadline_s, **given)


def sent(simulator: Remote, operation: str = "submit") -> dict[str, Any]:
    """The fields of the last call."""
    found: dict[str, Any] = simulator.calls("tripo", operation)[-1]["fields"]
    return found


# --- What is sent --------------------------------------------------------------------------------


def test_words_become_a_model_with_its_picture(tripo: Tripo, simulator: Remote) -> None:
    wanted = call("text-to-model", prompt=" a cat ", negative_prompt="dogs", texture=True, face_limit=5000, pbr=None)
    made = follow(tripo, wanted, tripo.run(wanted))
    assert [(file.role, file.content_type) for file in made.files] == [
        ("result", "model/gltf-binary"),
        ("preview", "image/webp"),
    ]
    assert made.files[0].body.read(4) == b"glTF"
    close(made)
    assert sent(simulator) == {
        "prompt": "a cat",
        "negative_prompt": "dogs",
        "model": "v3.1-20260211",
        "texture": True,
        "face_limit": 5000,
    }
    assert made.cost_usd == Decimal("0.20")
    assert made.extra == {"ignored": []}


def test_a_picture_is_uploaded_first_and_named_by_its_token(tripo: Tripo, simulator: Remote) -> None:
    made = make(tripo, call("image-to-model", images=[make_png()], orientation="align_image", seed=5, pbr=True))
    [upload] = simulator.calls("tripo", "upload")
    assert [(file["role"], file["content_type"]) for file in upload["files"]] == [("front.png", "image/png")]
    assert sent(simulator)["input"].startswith("file_")
    assert {key: value for key, value in sent(simulator).items() if key != "input"} == {
        "model": "v3.1-20260211",
        "orientation": "align_image",
        "model_seed": 5,
        "pbr": True,
    }
    assert (made.cost_usd, made.seed) == (Decimal("0.30"), 5)


def test_missing_views_keep_their_slots(tripo: Tripo, simulator: Remote) -> None:
    make(tripo, call("multiview-to-model", **PICTURES))
    slots = sent(simulator)["inputs"]
    assert [slot is None for slot in slots] == [False, True, False, True]
    assert [one["files"][0]["role"] for one in simulator.calls("tripo", "upload")] == ["front.png", "back.png"]


def test_refining_imports_the_model_and_gives_it_a_new_texture(tripo: Tripo, simulator: Remote) -> None:
    wanted = call("refine-model", model=GLB, prompt="of gold", texture_quality="detailed", texture=True)
    first = tripo.run(wanted)
    assert isinstance(first, Pending)
    kind, _, task_id = first.remote_id.partition(" ")
    assert kind == "import"
    ready = tripo.poll(first.remote_id, wanted)
    assert ready == Ready(first.remote_id)
    second = tripo.run(
        replace(wanted, inputs={**wanted.inputs, "model": "key/of/the/file.glb"}, resumes=ready.remote_id)
    )
    made = follow(tripo, wanted, second)
    close(made)
    assert sent(simulator) == {
        "input": task_id,
        "model": "v3.0-20250812",
        "texture_prompt": {"text": "of gold"},
        "texture": True,
        "texture_quality": "detailed",
    }
    assert made.cost_usd == Decimal("0.20")
    assert [len(simulator.calls("tripo", one)) for one in ("upload", "import", "submit")] == [1, 1, 1]


def test_what_an_earlier_task_made_is_refined_where_it_is(tripo: Tripo, simulator: Remote) -> None:
    draft = tripo.run(call("text-to-model", prompt="a cat"))
    assert isinstance(draft, Pending)
    make(tripo, call("refine-model", model=GLB, draft_remote_id=draft.remote_id))
    assert sent(simulator) == {"input": draft.remote_id, "model": "v3.0-20250812"}
    assert simulator.calls("tripo", "upload") == []


@pytest.mark.parametrize("draft", ["5d0c0000-0000-4000-8000-000000000000", "of/another?vendor", ""])
def test_an_earlier_task_that_the_vendor_does_not_know_is_imported(tripo: Tripo, simulator: Remote, draft: str) -> None:
    make(tripo, call("refine-model", model=GLB, draft_remote_id=draft))
    assert len(simulator.calls("tripo", "import")) == 1


def test_an_obj_is_taken_for_a_model_too(tripo: Tripo, simulator: Remote) -> None:
    make(tripo, call("refine-model", model=b"# an object\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"))
    assert simulator.calls("tripo", "upload")[0]["files"][0]["role"] == "model.obj"


# --- What is asked for and not there --------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "inputs", "ignored"),
    [
        (
            "text-to-model",
            {"prompt": "x", "style": "clay", "model_version": "v2.0-20240919"},
            ["model_version", "style"],
        ),
        ("text-to-model", {"prompt": "x", "model_version": "v2.5-20250123", "orientation": "default"}, ["orientation"]),
        ("image-to-model", {"images": [make_png()], "prompt": "x", "remesh": "quad"}, ["prompt", "remesh"]),
        (
            "refine-model",
            {"model": GLB, "prompt": "x", "face_limit": 9, "auto_size": True},
            ["auto_size", "face_limit"],
        ),
    ],
)
def test_what_a_customer_chose_in_vain_is_told(
    tripo: Tripo, simulator: Remote, operation: str, inputs: dict[str, Any], ignored: list[str]
) -> None:
    assert make(tripo, call(operation, **inputs)).extra["ignored"] == ignored
    assert not set(ignored) - {"model_version"} & set(sent(simulator))


def test_a_version_that_is_offered_is_used(tripo: Tripo, simulator: Remote) -> None:
    make(tripo, call("text-to-model", prompt="x", model_version="P1-20260311", face_limit=500))
    assert sent(simulator)["model"] == "P1-20260311"


def test_a_style_is_sent_where_settings_say_so(tripo: Tripo, simulator: Remote, settings: Any) -> None:
    settings.TRIPO = {**settings.TRIPO, "SENDS_STYLE": True}
    with pytest.raises(Refused):  # the simulator goes by the documents, which do not have it
        tripo.run(call("text-to-model", prompt="x", style="clay"))
    assert sent(simulator)["style"] == "clay"


@pytest.mark.parametrize(
    ("operation", "inputs", "text"),
    [
        ("text-to-model", {}, "prompt is needed"),
        ("text-to-model", {"prompt": "x" * 1025}, "1024 characters at most"),
        ("text-to-model", {"prompt": "x", "negative_prompt": "x" * 256}, "255 characters at most"),
        ("image-to-model", {}, "picture is needed"),
        ("image-to-model", {"images": [b"GIF89a"]}, "front view is not"),
        ("multiview-to-model", {"images": [None, make_png()]}, "front view is needed"),
        ("multiview-to-model", {"images": [make_png(), None, None]}, "two views"),
        ("multiview-to-model", {"images": [make_png()] * 5}, "4 views"),
        ("multiview-to-model", {"images": [make_png(), b"nothing"]}, "left view is not"),
        ("refine-model", {}, "model is needed"),
        ("refine-model", {"model": b"\0\1\2"}, "neither"),
    ],
)
def test_unusable_inputs_are_refused_before_anything_is_sent(
    tripo: Tripo, simulator: Remote, operation: str, inputs: dict[str, Any], text: str
) -> None:
    with pytest.raises(Refused, match=text):
        tripo.run(call(operation, **inputs))
    assert simulator.calls("tripo") == []


def test_a_model_that_no_setting_names_is_gone(tripo: Tripo, settings: Any) -> None:
    settings.TRIPO = {**settings.TRIPO, "MODELS": {}, "TEXTURE_MODELS": {}}
    for operation, inputs in (("text-to-model", {"prompt": "x"}), ("refine-model", {"model": GLB})):
        with pytest.raises(ModelGone):
            tripo.run(call(operation, **inputs))


# --- What comes back -----------------------------------------------------------------------------


def test_progress_is_the_vendors_own(tripo: Tripo, simulator: Remote) -> None:
    simulator.settings(delay_s=3600)
    wanted = call("text-to-model", prompt="x")
    first = tripo.run(wanted)
    assert isinstance(first, Pending)
    simulator.faults("tripo", "progress-backwards", times=4, percents=[1, 37.5, 250, -3])
    seen = [tripo.poll(first.remote_id, wanted) for _ in range(4)]
    assert [one.progress for one in seen if isinstance(one, Pending)] == [1, 37, 99, 0]
    assert {one.remote_id for one in seen if isinstance(one, Pending)} == {first.remote_id}


def test_an_import_moves_no_bar(tripo: Tripo, simulator: Remote) -> None:
    wanted = call("refine-model", model=GLB)
    first = tripo.run(wanted)
    assert isinstance(first, Pending)
    simulator.faults("tripo", "progress-backwards", percents=[80])
    assert tripo.poll(first.remote_id, wanted) == Pending(first.remote_id, 3.0, None)


def test_a_state_without_a_meaning_is_waited_out_and_logged(
    tripo: Tripo, simulator: Remote, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = call("text-to-model", prompt="x")
    first = tripo.run(wanted)
    simulator.faults("tripo", "failed", status="Dreaming")
    assert isinstance(first, Pending)
    with caplog.at_level(logging.WARNING):
        assert isinstance(tripo.poll(first.remote_id, wanted), Pending)
    assert [record.__dict__["state"] for record in caplog.records] == ["dreaming"]


@pytest.mark.parametrize("status", [403, 404])
def test_a_link_that_has_expired_is_asked_for_anew(tripo: Tripo, simulator: Remote, status: int) -> None:
    simulator.faults("tripo", "expired-link", status=status)
    made = make(tripo, call("text-to-model", prompt="x"))
    assert len(made.files) == 2
    assert len(simulator.calls("tripo", "submit")) == 1


def test_links_live_for_minutes_and_a_later_question_renews_them(tripo: Tripo, simulator: Remote) -> None:
    simulator.settings(link_s=300)
    assert isinstance(make(tripo, call("text-to-model", prompt="x")), Made)


@pytest.mark.parametrize("fault", ["expired-link", "wrong-type", "html", "truncated", "503", "picture-bomb"])
def test_a_model_without_its_picture_is_as_good(tripo: Tripo, simulator: Remote, fault: str) -> None:
    wanted = call("text-to-model", prompt="x")
    first = tripo.run(wanted)
    # The model is fetched first; of two downloads the second is the picture's.
    simulator.faults("tripo", "slow", operation="download", delay_s=0)
    simulator.faults("tripo", fault, operation="download")
    made = follow(tripo, wanted, first)
    close(made)
    assert [file.role for file in made.files] == ["result"]


@pytest.mark.parametrize(
    ("credits", "usd"),
    [("30.00", "0.30"), (12.5, "0.125"), (None, "0.20"), ("many", "0.20"), (-1, "0.20"), (1e30, "0.20")],
)
def test_the_cost_is_the_vendors_count_or_our_table(credits: Any, usd: str) -> None:
    assert Tripo()._cost({"credits_consumed": credits}, call("text-to-model")) == Decimal(usd)


def test_as_many_tasks_as_the_account_allows_are_at_work(tripo: Tripo, simulator: Remote) -> None:
    simulator.settings(delay_s=3600)
    wanted = call("text-to-model", prompt="x")
    for _ in range(10):
        tripo.run(wanted)
    with pytest.raises(RateLimited) as caught:
        tripo.run(wanted)
    assert (caught.value.retry_after_s, caught.value.costs_start) == (1, False)


def test_uploads_leave_time_for_the_call_that_is_paid_for(tripo: Tripo, simulator: Remote) -> None:
    simulator.faults("tripo", "hang", operation="upload")
    began = time.monotonic()
    with pytest.raises(ProviderTimeout):
        tripo.run(call("image-to-model", images=[make_png()], deadline_s=1.0))
    assert 0.7 <= time.monotonic() - began < 1.0
    assert simulator.calls("tripo", "submit") == []


def test_refining_waits_in_a_lane_of_its_own() -> None:
    assert registry.lane_of("provider_c", "refine-model") == "provider_c_refine"
    assert registry.lane_of("provider_c", "text-to-model") == "provider_c"


# --- Webhooks ------------------------------------------------------------------------------------


TASK_ID = "5d0c0000-0000-4000-8000-000000000000"
BODY = json.dumps({"id": "evt_1", "type": "task.completed", "data": {"task_id": TASK_ID, "status": "success"}}).encode()


def verify(body: bytes, headers: dict[str, str]) -> str | None:
    return Tripo().verify_webhook(CaseInsensitiveDict(headers), body)


def test_a_signed_webhook_names_its_task() -> None:
    assert verify(BODY, tripo_hooks.signed(BODY)) == TASK_ID
    # As the vendor's documents spell it, with the whole secret and one signature.
    now = int(time.time())
    assert (
        verify(BODY, {"Tripo-Webhook-Signature": tripo_hooks.signed(BODY, at=now)["Tripo-Webhook-Signature"]})
        == TASK_ID
    )


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"type": "balance.low", "data": {"balance": 3}}).encode(),
        b"{}",
        b"[1]",
        b"\xff",
        b'{"data": {"task_id": "../../account"}}',
        b'{"data": {"task_id": 7}}',
        b"[" * 100_000,
    ],
)
def test_a_signed_webhook_about_something_else_names_none(body: bytes) -> None:
    assert verify(body, tripo_hooks.signed(body)) == ""


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Tripo-Webhook-Signature": ""},
        {"Tripo-Webhook-Signature": "t=,v1="},
        {"Tripo-Webhook-Signature": "v1=" + "0" * 64},
        {"Tripo-Webhook-Signature": f"t={int(time.time())},v1=é"},
        {"Tripo-Webhook-Signature": f"t={'9' * 400},v1=0"},
        tripo_hooks.signed(BODY, secret="whsec_stranger"),
        tripo_hooks.signed(BODY + b" "),
        tripo_hooks.signed(BODY, at=time.time() - 3600),
        tripo_hooks.signed(BODY, at=time.time() + 3600),
    ],
)
def test_a_webhook_that_is_forged_or_old_is_not_believed(headers: dict[str, str]) -> None:
    assert verify(BODY, headers) is None


def test_without_a_secret_no_webhook_is_believed(settings: Any) -> None:
    settings.PROVIDERS_MODE = "real"
    settings.PROVIDER_KEYS = {"tripo": "tsk_real", "tripo-webhook": ""}
    assert verify(BODY, tripo_hooks.signed(BODY, secret="")) is None


# --- The vendor's own client ----------------------------------------------------------------------


def with_client(simulator: Remote, act: Any, key: str = "tsk_simulator") -> Any:
    async def run() -> Any:
        async with tripo3d.TripoClient(api_key=key, v3_base_url=f"{simulator.url}/tripo") as client:
            return await act(client)

    return asyncio.run(run())


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "front.png"
    path.write_bytes(make_png())
    return str(path)


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "model.glb"
    path.write_bytes(GLB)
    return str(path)


def test_the_client_makes_and_downloads_a_model(simulator: Remote, tmp_path: Path) -> None:
    simulator.settings(delay_s=0.3)

    async def act(client: Any) -> Any:
        task = await client.wait_for_task(await client.text_to_model("a cat", face_limit=3000), polling_interval=0.1)
        return task, await client.download_task_models(task, str(tmp_path))

    task, files = with_client(simulator, act)
    assert (task.status, task.type, task.progress) == (tripo3d.TaskStatus.SUCCESS, "text_to_model", 100)
    assert task.credits_consumed == 20
    assert Path(files["model"]).read_bytes()[:4] == b"glTF"
    assert Path(files["rendered_image"]).read_bytes()[8:12] == b"WEBP"
    assert sent(simulator) == {"prompt": "a cat", "model": "v2.5-20250123", "face_limit": 3000}


def test_the_client_uploads_pictures_for_one_view_and_for_more(simulator: Remote, picture: str) -> None:
    async def act(client: Any) -> Any:
        one = await client.image_to_model(picture, orientation="align_image", enable_image_autofix=True)
        more = await client.multiview_to_model([picture, None, picture, None], texture_quality="detailed")
        return await client.list_tasks([one, more, TASK_ID])

    found = with_client(simulator, act)
    assert sorted(task.type for task in found.tasks.values()) == ["image_to_model", "multiview_to_model"]
    assert found.missed == [TASK_ID]


def test_the_client_imports_a_model_and_textures_it(simulator: Remote, model: str) -> None:
    async def act(client: Any) -> Any:
        imported = await client.import_model(model)
        textured = await client.texture_model(imported, text_prompt="of gold", model_version="v3.5-20260815")
        return await client.get_task(textured), await client.get_usage(), await client.get_balance()

    task, usage, balance = with_client(simulator, act)
    assert (task.type, task.status.value, bool(task.output.model_url)) == ("texture_model", "success", True)
    assert [(row.type, row.credits_consumed) for row in usage] == [("texture_model", 10), ("import_model", 0)]
    assert balance.frozen == 0


def test_the_client_puts_a_large_file_by_a_signed_address(
    simulator: Remote, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tripo3d.TripoClient, "MULTIPART_MAX_BYTES", 10)

    async def act(client: Any) -> Any:
        return await client.get_task(await client.import_model(model))

    assert with_client(simulator, act).status.value == "success"
    [put] = simulator.calls("tripo", "put")
    assert not put["authorized"]


@pytest.mark.parametrize(
    ("wishes", "code"),
    [
        ({"prompt": "x" * 1025}, 1004),
        ({"prompt": "x", "model_version": None}, 1004),
        ({"prompt": "x", "model_version": "v2.0-20240919"}, 2015),
        ({"prompt": "x", "model_version": "v9"}, 2017),
        ({"prompt": "x", "texture_quality": "best"}, 1004),
        ({"prompt": "x", "face_limit": -3}, 1004),
        ({"prompt": "x", "a_new_word": 1}, 1004),
        ({"prompt": "x", "model_version": "P1-20260311", "face_limit": 30_000}, 1004),
        ({"prompt": "x", "model_version": "P1-20260311", "quad": True}, 1004),
        ({"prompt": "x", "generate_parts": True}, 1004),
    ],
)
def test_the_client_reads_what_is_wrong(simulator: Remote, wishes: dict[str, Any], code: int) -> None:
    with pytest.raises(tripo3d.TripoAPIError) as caught:
        with_client(simulator, lambda client: client.text_to_model(**wishes))
    assert (caught.value.code, bool(caught.value.request_id)) == (code, True)


@pytest.mark.parametrize(
    ("fault", "params", "code"),
    [
        ("rate-limit", {}, 2000),
        ("no-credit", {}, 2010),
        ("filtered", {"at": "input"}, 2008),
        ("unauthorized", {}, 2),
        ("500", {}, 1000),
    ],
)
def test_the_client_reads_a_scripted_fault(simulator: Remote, fault: str, params: dict[str, Any], code: int) -> None:
    simulator.faults("tripo", fault, **params)
    with pytest.raises(tripo3d.TripoAPIError) as caught:
        with_client(simulator, lambda client: client.text_to_model("x"))
    assert caught.value.code == code


def test_the_client_reads_refusals_that_need_no_fault(simulator: Remote, model: str, picture: str) -> None:
    async def wrong_type(client: Any) -> Any:
        return await client.image_to_model(model)

    async def no_such_task(client: Any) -> Any:
        return await client.get_task(TASK_ID)

    async def not_done(client: Any) -> Any:
        simulator.settings(delay_s=3600)
        return await client.texture_model(await client.import_model(model))

    for act, code in ((wrong_type, 2004), (no_such_task, 2001), (not_done, 2007)):
        with pytest.raises(tripo3d.TripoAPIError) as caught:
            with_client(simulator, act)
        assert caught.value.code == code
    with pytest.raises(tripo3d.TripoAPIError) as caught:
        with_client(simulator, lambda client: client.get_balance(), key="tsk_wrong")
    assert caught.value.code == 2


def test_the_client_hears_how_a_task_ended(simulator: Remote) -> None:
    simulator.faults("tripo", "failed", error_code=2008)

    async def act(client: Any) -> Any:
        return await client.wait_for_task(await client.text_to_model("x"))

    task = with_client(simulator, act)
    assert (task.status.value, task.error_code) == ("failed", 2008)


def test_the_client_holds_refining_for_retired(simulator: Remote) -> None:
    """So a new texture is what the desk gives for it."""
    with pytest.raises(tripo3d.TripoValidationError):
        with_client(simulator, lambda client: client.refine_model(TASK_ID))


def test_credits_are_frozen_while_a_task_is_at_work(simulator: Remote) -> None:
    async def act(client: Any) -> Any:
        simulator.settings(delay_s=3600)
        await client.text_to_model("x")
        return await client.get_balance()

    before = with_client(simulator, lambda client: client.get_balance())
    during = with_client(simulator, act)
    assert (before.balance - during.balance, during.frozen) == (20, 20)
