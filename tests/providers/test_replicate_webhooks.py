"""Replicate's webhooks: whose word is believed, where one is asked for, and what the simulator sends."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from replicate.webhook import Webhooks, WebhookSigningSecret

from providers import checks, registry, secrets, webhooks
from providers.adapters.replicate import Replicate
from providers.base import Pending
from providers.simulator import replicate_hooks
from tests.providers.make import make_call
from tests.providers.servers import listening
from tests.simulator import Remote

Inbox = queue.Queue[tuple[dict[str, str], bytes]]
BODY = json.dumps({"id": "abc123", "status": "succeeded"}).encode()


def test_a_webhook_that_the_vendor_signed_names_its_call(simulator: Remote) -> None:
    assert Replicate().verify_webhook(replicate_hooks.signed(BODY), BODY) == "abc123"
    assert Replicate().verify_webhook(replicate_hooks.signed(b"[]"), b"[]") == ""
    assert Replicate().verify_webhook(replicate_hooks.signed(b"?"), b"?") == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {"webhook-id": ""},
        {"webhook-id": "msg_another"},
        {"webhook-timestamp": "0"},
        {"webhook-timestamp": "soon"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1, v2,x nonsense"},
        {"webhook-signature": "é"},
    ],
)
def test_a_webhook_that_is_not_signed_so_is_nobodys(wrong: dict[str, str]) -> None:
    assert Replicate().verify_webhook({**replicate_hooks.signed(BODY), **wrong}, BODY) is None


def test_a_forged_an_old_and_an_altered_webhook_are_nobodys(settings: Any) -> None:
    adapter = Replicate()
    assert adapter.verify_webhook(replicate_hooks.signed(BODY, forged=True), BODY) is None
    assert adapter.verify_webhook(replicate_hooks.signed(BODY, late=True), BODY) is None
    assert adapter.verify_webhook(replicate_hooks.signed(BODY), BODY + b" ") is None
    settings.PROVIDERS_MODE, settings.PROVIDER_KEYS = "real", {}
    assert adapter.verify_webhook(replicate_hooks.signed(BODY), BODY) is None, "no secret: nobody is believed"


@pytest.mark.parametrize("secret", ["whsec_no base64", "whsec_abc", "whsec_", "käse"])
def test_a_secret_that_is_none_of_the_vendors_believes_nobody_and_is_told_at_the_start(
    settings: Any, secret: str
) -> None:
    settings.PROVIDERS_MODE, settings.PROVIDER_KEYS = "real", {"replicate-webhook": secret}
    address = f"/hooks/provider_e/{webhooks.token('provider_e')}"
    answer = Client().post(address, BODY, content_type="application/json", headers=replicate_hooks.signed(BODY))
    assert answer.status_code == 401
    (fault,) = checks.malformed_secrets()
    assert (fault.id, fault.is_serious()) == ("providers.E001", True)
    assert fault.msg.startswith("REPLICATE_WEBHOOK_SECRET ")


@pytest.mark.parametrize("secret", ["", "whsec_c2VjcmV0"])
def test_a_good_secret_or_none_is_no_fault(settings: Any, secret: str) -> None:
    settings.PROVIDERS_MODE, settings.PROVIDER_KEYS = "real", {"replicate-webhook": secret}
    assert checks.malformed_secrets() == []


@pytest.mark.parametrize(
    ("public_url", "key", "asked"),
    [
        ("https://desk.example", "whsec_c2VjcmV0", True),
        ("http://desk.example", "whsec_c2VjcmV0", False),
        ("", "whsec_c2VjcmV0", False),
        ("https://desk.example", "", False),
        ("https://desk.example", "whsec_no base64", False),
    ],
)
def test_a_webhook_is_asked_for_only_where_it_can_come_and_be_believed(
    simulator: Remote, settings: Any, monkeypatch: pytest.MonkeyPatch, public_url: str, key: str, asked: bool
) -> None:
    settings.PUBLIC_URL = public_url
    keys = {**secrets.SIMULATOR_KEYS, "replicate-webhook": key}
    monkeypatch.setattr(secrets, "SIMULATOR_KEYS", {name: value for name, value in keys.items() if value})
    parked = registry.adapter("provider_f").run(make_call())
    assert isinstance(parked, Pending)
    body = simulator.calls("replicate", "submit")[0]["fields"]
    wanted = {"webhook": webhooks.address("provider_f"), "webhook_events_filter": ["completed"]} if asked else {}
    assert {name: value for name, value in body.items() if name.startswith("webhook")} == wanted


@pytest.fixture
def inbox(simulator: Remote, settings: Any) -> Iterator[Inbox]:
    """What arrives at the desk's public address."""
    got: Inbox = queue.Queue()

    def talk(client: Any) -> None:
        head, _, body = _whole_request(client).partition(b"\r\n\r\n")
        lines = (line.partition(": ") for line in head.decode().split("\r\n")[1:])
        got.put(({name.lower(): value for name, _, value in lines}, body))
        client.sendall(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with listening(talk) as listener:
        settings.PUBLIC_URL = "https://desk.example"
        simulator.settings(webhooks_to=f"http://127.0.0.1:{listener.port}")
        yield got


def _whole_request(client: Any) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    while len(body) < length:
        body += client.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("fault", "believed"),
    [
        ("", [True]),
        ("webhook-duplicate", [True, True]),
        ("webhook-early", [True, True]),
        ("webhook-forged", [False]),
        ("webhook-late", [False]),
    ],
)
def test_the_simulators_webhooks_are_those_of_the_vendor(
    simulator: Remote, inbox: Inbox, fault: str, believed: list[bool]
) -> None:
    if fault:
        simulator.faults("replicate", fault)
    adapter = registry.adapter("provider_e")
    parked = adapter.run(make_call())
    assert isinstance(parked, Pending)
    came = [inbox.get(timeout=5) for _ in believed]
    told = [adapter.verify_webhook(headers, body) for headers, body in came]
    assert told == [parked.remote_id if is_believed else None for is_believed in believed]
    if all(believed):
        headers, body = came[-1]
        secret = WebhookSigningSecret(key=secrets.key("replicate-webhook"))
        Webhooks.validate(headers=headers, body=body.decode(), secret=secret, tolerance=300)
