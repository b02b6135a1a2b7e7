"""Webhooks: an address that cannot be guessed, a signature that cannot be forged, and nothing but an early question."""

from __future__ import annotations

import json
import logging
import secrets
import time
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from config.logging import redact
from config.models import User
from generation import engine, hooks, queue
from generation.models import Attempt, Event, Item
from generation.plan import Candidate, ItemPlan, Plan, StepPlan
from providers import webhooks
from providers.simulator import tripo_hooks
from tests.generation.support import balance, fresh, in_threads, work_next, work_until_quiet
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("audited")]

TRIPO = "provider_c"
UNKNOWN = "5d0c0000-0000-4000-8000-000000000000"


@pytest.fixture
def vendor(simulator: Remote, settings: Any) -> Remote:
    settings.TRIPO = {**settings.TRIPO, "POLL_S": 60.0}
    return simulator


def submit_model(alice: User) -> Item:
    step = StepPlan("generate", "text-to-model", {"prompt": "a cat"}, (Candidate(TRIPO),), timeout_s=10.0)
    item = ItemPlan(f"m_{secrets.token_hex(8)}", (step,), price=8, price_key="text_to_model")
    return engine.submit(Plan("visuals", alice.pk, (item,), "A model")).items.get()


@pytest.fixture
def parked(alice: User, vendor: Remote) -> Item:
    """A model that is at its vendor for an hour."""
    vendor.settings(delay_s=3600)
    item = submit_model(alice)
    assert work_next()
    return item


def body_about(task_id: str) -> bytes:
    return json.dumps({"id": "evt_1", "type": "task.completed", "data": {"task_id": task_id}}).encode()


def post(body: bytes, headers: dict[str, str] | None = None, address: str = "") -> Any:
    path = address or f"/hooks/{TRIPO}/{webhooks.token(TRIPO)}"
    signed = tripo_hooks.signed(body) if headers is None else headers
    return Client(enforce_csrf_checks=True).post(path, body, content_type="application/json", headers=signed)


def is_due() -> bool:
    at = Attempt.objects.get().poll_at
    return at is not None and at <= timezone.now()


def everything() -> Any:
    """All that a webhook could have changed."""
    return list(Attempt.objects.values()), list(Item.objects.values()), list(Event.objects.values())


# --- What it does --------------------------------------------------------------------------------


def test_a_signed_webhook_lets_its_call_be_asked_about_now(parked: Item, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[int] = []
    monkeypatch.setattr(queue, "ring", rung.append)
    answer = post(body_about(Attempt.objects.get().remote_id))
    assert (answer.status_code, answer.content) == (204, b"")
    assert is_due()
    assert rung == [1]
    assert fresh(parked).status == "WAITING"


def test_it_wakes_a_chain_by_the_call_that_it_stands_at(parked: Item) -> None:
    Attempt.objects.update(remote_id=f"import {UNKNOWN}")
    assert post(body_about(UNKNOWN)).status_code == 204
    assert is_due()


def test_of_two_parked_calls_only_the_named_one_is_woken(alice: User, parked: Item) -> None:
    submit_model(alice)
    assert work_next()
    first, second = Attempt.objects.order_by("pk")
    post(body_about(second.remote_id))
    assert list(Attempt.objects.filter(poll_at__lte=timezone.now())) == [second]
    assert first.remote_id != second.remote_id


def test_the_result_comes_by_the_poll_that_was_woken(alice: User, vendor: Remote) -> None:
    item = submit_model(alice)
    assert work_next()
    assert engine.poll() == 0, "not due for a minute"
    post(body_about(Attempt.objects.get().remote_id))
    assert engine.poll() == 1
    assert (fresh(item).status, balance(alice)) == ("SUCCEEDED", 92)


def test_many_webhooks_about_one_call_make_one_result(alice: User, vendor: Remote) -> None:
    item = submit_model(alice)
    assert work_next()
    body = body_about(Attempt.objects.get().remote_id)

    def hear_and_ask() -> None:
        for _ in range(3):
            assert post(body).status_code == 204
            engine.poll()

    in_threads(4, hear_and_ask)
    work_until_quiet()
    assert (fresh(item).status, item.assets.filter(kind="model").count(), balance(alice)) == ("SUCCEEDED", 1, 92)
    assert Event.objects.filter(item=item, kind="succeeded").count() == 1
    assert len(vendor.calls("tripo", "submit")) == 1


# --- What it does not do -------------------------------------------------------------------------


def forged(body: bytes) -> dict[str, str]:
    return tripo_hooks.signed(body, secret="whsec_stranger")


def test_one_that_is_forged_old_or_unsigned_changes_nothing(parked: Item) -> None:
    body, before = body_about(Attempt.objects.get().remote_id), everything()
    for headers in (forged(body), tripo_hooks.signed(body, at=time.time() - 301), tripo_hooks.signed(b"other"), {}):
        assert post(body, headers).status_code == 401
    assert everything() == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"null",
        b'{"data": null}',
        body_about("a' OR '1'='1"),
        body_about("%"),
        body_about(""),
    ],
)
def test_one_that_makes_no_sense_is_taken_and_changes_nothing(parked: Item, body: bytes) -> None:
    before = everything()
    assert post(body).status_code == 204
    assert everything() == before


def test_the_answer_does_not_say_whether_a_call_exists(parked: Item) -> None:
    known, unknown = post(body_about(Attempt.objects.get().remote_id)), post(body_about(UNKNOWN))
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
    assert set(known.headers) == set(unknown.headers)


@pytest.mark.parametrize("when", ["early", "again", "late"])
def test_one_that_comes_at_the_wrong_time_changes_nothing(alice: User, vendor: Remote, when: str) -> None:
    item = submit_model(alice)
    if when == "early":  # before the answer to the call itself
        assert post(body_about(UNKNOWN)).status_code == 204
    assert work_next()
    body = body_about(Attempt.objects.get().remote_id)
    if when == "again":
        assert post(body).status_code == 204
    work_until_quiet()
    before = everything()
    for _ in range(2):
        assert post(body).status_code == 204
    assert everything() == before
    assert fresh(item).status == "SUCCEEDED"


def test_one_for_a_cancelled_item_brings_nothing_back(alice: User, parked: Item) -> None:
    engine.cancel(parked.request_id)
    body = body_about(Attempt.objects.get().remote_id)
    assert post(body).status_code == 204
    engine.poll()
    assert (fresh(parked).status, balance(alice)) == ("CANCELLED", 92)
    Attempt.objects.update(park_until=timezone.now(), poll_at=timezone.now())
    engine.poll()


def test_a_huge_one_is_not_read(parked: Item) -> None:
    before = everything()
    assert post(b" " * (hooks.MOST_BYTES + 1)).status_code == 413
    assert everything() == before


# --- The address ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        f"/hooks/{TRIPO}/wrong",
        f"/hooks/{TRIPO}/{'A' * 43}",
        "/hooks/nobody/{its own}",
        f"/hooks/provider_d/{{{TRIPO}}}",
        f"/hooks/{TRIPO}",
        f"/hooks/{TRIPO}/{{{TRIPO}}}/more",
    ],
)
def test_a_wrong_address_is_nobodys(parked: Item, path: str) -> None:
    before = everything()
    address = path.format_map({"its own": webhooks.token("nobody"), TRIPO: webhooks.token(TRIPO)})
    assert post(body_about(Attempt.objects.get().remote_id), address=address).status_code == 404
    assert everything() == before


def test_a_vendor_that_sends_none_is_believed_nothing(parked: Item) -> None:
    address = f"/hooks/provider_d/{webhooks.token('provider_d')}"
    assert post(body_about(UNKNOWN), address=address).status_code == 401


def test_only_posts_are_taken() -> None:
    assert Client().get(f"/hooks/{TRIPO}/{webhooks.token(TRIPO)}").status_code == 405


def test_the_token_is_the_aliases_own_and_hangs_on_the_secret(settings: Any) -> None:
    token = webhooks.token(TRIPO)
    assert len(token) >= 40
    assert token != webhooks.token("provider_e")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [settings.SECRET_KEY]
    assert webhooks.token(TRIPO) != token
    assert webhooks.is_token(TRIPO, token), "as long as the old secret counts"
    settings.SECRET_KEY_FALLBACKS = []
    assert not webhooks.is_token(TRIPO, token)


def test_operators_are_told_the_addresses(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    settings.PUBLIC_URL = "https://desk.example.com"
    call_command("webhooks")
    assert f"https://desk.example.com/hooks/{TRIPO}/{webhooks.token(TRIPO)}" in capsys.readouterr().out
    settings.PUBLIC_URL = ""
    with pytest.raises(CommandError, match="PUBLIC_URL"):
        call_command("webhooks")


def test_neither_payload_nor_token_is_logged(parked: Item, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        post(body_about(UNKNOWN))
        post(b"{}", address=f"/hooks/{TRIPO}/wrong-but-secret")
    lines = [redact(f"{record.getMessage()} {record.__dict__}") for record in caplog.records]
    assert any("provider_c" in line for line in lines)
    for secret in (UNKNOWN, webhooks.token(TRIPO), "wrong-but-secret", "v1=", "tripo"):
        assert not any(secret in line for line in lines if "generation" in line or "hooks" in line)


# --- A vendor that sends them --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "statuses", "wakes"),
    [
        ("", [204], True),
        ("webhook-duplicate", [204, 204], True),
        ("webhook-early", [204, 204], True),
        ("webhook-forged", [401], False),
        ("webhook-late", [401], False),
        ("webhook-never", [], False),
    ],
)
def test_a_vendors_webhooks_wake_the_poll_or_do_no_harm(
    alice: User, vendor: Remote, live_server: Any, fault: str, statuses: list[int], wakes: bool
) -> None:
    url = f"{live_server.url}/hooks/{TRIPO}/{webhooks.token(TRIPO)}"
    vendor.settings(delay_s=0.5, webhooks={"tripo": url})
    if fault:
        vendor.faults("tripo", fault)
    item = submit_model(alice)
    assert work_next()
    end = time.monotonic() + 10
    while (found := [call["status"] for call in vendor.calls("tripo", "webhook")]) != statuses:
        assert time.monotonic() < end, found
    time_is_up = Attempt.objects.filter(poll_at__lte=timezone.now())
    if fault == "webhook-never":
        assert not time_is_up.exists()
    assert time_is_up.exists() is wakes
    work_until_quiet()
    assert (fresh(item).status, balance(alice)) == ("SUCCEEDED", 92)
