"""The MakeIt3D data flow from end to end: signed in elsewhere, a picture, a model from it, refined, a cut-out.

Rows, files, credits and statuses are looked at after each step. The work is done in the test's own thread against
the simulator over HTTP; see `tests.doors.makeit3d.desk`.
"""

from __future__ import annotations

import io
import time
from typing import Any
from uuid import uuid4

import jwt
import pytest
from PIL import Image

from config.models import User
from generation import engine, storage
from generation.claim import claim
from generation.models import Asset, Attempt, Item
from tests.doors.makeit3d.desk import Customer, item_of, items_of, refusal_of
from tests.doors.visuals.desk import assert_books_are_right, work
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("simulator", "fresh_makeit3d_desk")]

PROJECT, SECRET = "https://chairs.supabase.co", "a project's own secret, long enough for HS256 by RFC 7518"
TASK = "task-workspace-chair"


def token_of(subject: str, **claims: Any) -> str:
    """What the client's own sign-in service gives it."""
    payload = {
        "iss": f"{PROJECT}/auth/v1",
        "aud": "authenticated",
        "sub": subject,
        "role": "authenticated",
        "exp": int(time.time()) + 3600,
        **claims,
    }
    return jwt.encode({name: value for name, value in payload.items() if value is not None}, SECRET, algorithm="HS256")


@pytest.fixture
def someone(settings: Any, db: None) -> Customer:
    """Somebody who signed in elsewhere and has never been here."""
    settings.SUPABASE_URL, settings.SUPABASE_JWT_SECRET = PROJECT, SECRET
    return Customer(None, token=token_of(str(uuid4())))


def balance(customer: Customer) -> dict[str, Any]:
    answer: dict[str, Any] = customer.call("GET", "/api/credits/balance").json()
    return answer


def history(customer: Customer) -> list[tuple[str, int, str | None, str | None]]:
    rows = customer.call("GET", "/api/credits/history").json()
    return [(row["transaction_type"], row["credits_amount"], row["operation_type"], row["task_id"]) for row in rows]


def width_of(picture: bytes) -> int:
    """Decode a picture whole; its width."""
    with Image.open(io.BytesIO(picture)) as image:
        image.load()
        return image.width


def test_the_whole_flow_of_a_workspace(someone: Customer, simulator: Remote) -> None:
    # Signed in elsewhere: the first call makes the person, the account and its grant.
    assert balance(someone)["credits_balance"] == 30
    assert history(someone) == [("grant", 30, None, None)]
    assert User.objects.get().issuer == f"{PROJECT}/auth/v1"

    # Text to image.
    picture_id = someone.asked("text-to-image", provider="stability", prompt="A wooden chair", task_id=TASK)
    assert someone.status(picture_id, "?service=openai")["status"] == "pending"
    assert balance(someone)["balance"] == 28
    assert history(someone)[0] == ("usage", -2, "text_to_image_core", TASK)
    work()
    status = someone.status(picture_id, "?service=openai")
    assert (status["status"], status["progress"]) == ("complete", 100)
    (picture,) = someone.rows("images", task_id=TASK)
    assert (picture["status"], picture["prompt"], picture["provider"]) == ("complete", "A wooden chair", "provider_a")
    assert width_of(someone.fetched(status["asset_url"])) > 400
    assert Asset.objects.get(kind="image").key == f"images/{TASK}/{picture_id}_0.png"
    assert width_of(someone.fetched(picture["thumbnail_url"])) <= 400

    # A model from that picture, by the link that the status gave; its percentage is the vendor's.
    simulator.faults("tripo", "progress-backwards", percents=[37])
    link = status["asset_url"]
    model_id = someone.asked("image-to-model", provider="tripo", task_id=TASK, input_image_asset_urls=[link])
    assert balance(someone)["balance"] == 18
    engine.work(claim(1)[0])
    attempt = Attempt.objects.get(item__request=model_id, ended_at=None)
    assert someone.status(model_id, "?service=tripoai")["status"] == "processing"
    Attempt.objects.update(poll_at="2000-01-01T00:00:00Z")
    engine.poll()
    assert someone.status(model_id)["progress"] == 37
    work()
    status = someone.status(model_id, "?service=tripoai")
    assert (status["status"], status["credits_charged"]) == ("complete", 10)
    assert someone.fetched(status["asset_url"]).startswith(b"glTF")
    (model,) = someone.rows("models", task_id=TASK)
    assert (model["source_concept_image_id"], model["provider"]) == (picture["id"], "provider_c")
    assert (model["operation_key"], model["celery_task_id"]) == ("image_to_model_single", model_id)
    assert width_of(someone.fetched(model["thumbnail_url"])) <= 400
    assert Asset.objects.get(kind="model").key == f"models/{TASK}/{model_id}_model.glb"
    assert attempt.remote_id
    assert attempt.remote_id not in str(someone.rows("models")) + str(status)

    # Refined, as the vendor still has the draft: nothing is sent up again.
    before = len(simulator.calls("tripo"))
    refined_id = someone.asked(
        "refine-model",
        task_id=TASK,
        input_model_asset_url=status["asset_url"],
        draft_model_task_id=model_id,
        prompt="dark oak",
        face_limit=900,
    )
    work()
    paths = [call["path"] for call in simulator.calls("tripo")[before:] if call["method"] == "POST"]
    assert len(paths) == 1, paths
    assert paths[0].endswith("/models/texture")
    refined = someone.rows("models", task_id=TASK)[0]
    assert (refined["celery_task_id"], refined["status"], refined["prompt"]) == (refined_id, "complete", "dark oak")
    # What the vendor has retired is said, not silently dropped.
    assert refined["metadata"]["ignored"] == ["face_limit"]
    assert balance(someone)["balance"] == 12

    # The picture without its background.
    cut_id = someone.asked(
        "remove-background", provider="recraft", task_id=TASK, input_image_asset_url=picture["asset_url"]
    )
    work()
    rows = someone.rows("images", task_id=TASK)
    assert [row["celery_task_id"] for row in rows] == [cut_id, picture_id]
    assert (rows[0]["source_image_id"], rows[0]["prompt"]) == (picture["id"], "Remove background")

    # Nothing was overwritten, every step has its file, and the books are right.
    keys = Asset.objects.filter(kind__in=["image", "model"]).values_list("key", flat=True)
    assert len(set(keys)) == 4
    assert all(key.split("/")[1] == TASK for key in keys)
    assert all(storage.read(key) for key in keys)
    assert balance(someone)["balance"] == 11
    assert [row[:3] for row in history(someone)] == [
        ("usage", -1, "remove_background"),
        ("usage", -6, "refine_model"),
        ("usage", -10, "image_to_model_single"),
        ("usage", -2, "text_to_image_core"),
        ("grant", 30, None),
    ]
    assert_books_are_right()


def test_what_fails_and_what_is_filtered_is_given_back(someone: Customer, simulator: Remote) -> None:
    simulator.faults("stability", "503", times=9)
    failed = someone.asked("text-to-image", provider="stability", task_id=TASK)
    work()
    simulator.faults("recraft", "filtered", match="forbidden", times=1)
    mixed = someone.asked("text-to-image", provider="recraft", prompt="A forbidden chair", n=2, task_id=TASK)
    work()

    status = someone.status(failed)
    assert (status["status"], status["error"]) == ("failed", "The generation service failed.")
    assert (status["credits_charged"], status["credits_refunded"]) == (2, 2)
    status = someone.status(mixed)
    assert (status["status"], len(status["asset_urls"])) == ("complete", 1)
    assert (status["credits_charged"], status["credits_refunded"]) == (4, 2)
    states = {
        row["status"]: row["error"] for row in someone.rows("images", task_id=TASK) if row["celery_task_id"] == mixed
    }
    assert states == {"complete": None, "failed": "The request was rejected by the content filter."}
    assert balance(someone)["balance"] == 28
    assert sorted(row[:3] for row in history(someone)) == sorted(
        [
            ("grant", 30, None),
            ("usage", -2, "text_to_image_core"),
            ("refund", 2, "text_to_image_core"),
            ("usage", -4, "text_to_image_v3"),
            ("refund", 2, "text_to_image_v3"),
        ]
    )
    assert_books_are_right()


def test_a_model_that_its_vendor_never_finishes_is_given_back_in_time(someone: Customer, simulator: Remote) -> None:
    simulator.faults("tripo", "stuck")
    request_id = someone.asked("text-to-model", provider="tripo", task_id=TASK)
    engine.work(claim(1)[0])
    item = item_of(request_id)
    assert (item.deadline_s, item.steps[0]["park_s"]) == (1800, 1800)
    assert balance(someone)["balance"] == 22

    Item.objects.update(deadline_at="2000-01-01T00:00:00Z")
    engine.sweep()

    status = someone.status(request_id)
    assert (status["status"], status["error"]) == ("failed", "The generation service timed out.")
    assert balance(someone)["balance"] == 30
    assert_books_are_right()


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"aud": "anon"}, "TOKEN_INVALID"),
        ({"iss": "https://elsewhere.supabase.co/auth/v1"}, "TOKEN_INVALID"),
        ({"exp": 1}, "TOKEN_EXPIRED"),
        ({"sub": None}, "TOKEN_INVALID"),
    ],
)
def test_a_token_of_somewhere_else_makes_nobody(someone: Customer, claims: dict[str, Any], code: str) -> None:
    stranger = Customer(None, token=token_of(str(uuid4()), **claims))
    for method, path in (("POST", "/generate/text-to-image"), ("GET", "/api/images"), ("GET", "/api/credits/balance")):
        assert refusal_of(stranger.call(method, path)) == (401, code)
    assert not User.objects.exists()


def test_a_first_call_of_any_kind_opens_the_account(someone: Customer) -> None:
    request_id = someone.asked("text-to-image", provider="openai", n=3)
    assert len(items_of(request_id)) == 3
    assert balance(someone)["credits_balance"] == 24
