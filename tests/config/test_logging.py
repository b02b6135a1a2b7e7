"""What a log line tells, and what it never tells."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest
from django.conf import settings as desk_settings

from config.api.trace import bind, tracing
from config.logging import HIDDEN, Faults, Json, Plain, configure, redact, scrub
from providers import secrets

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


def make_record(message: str, *args: object, **fields: object) -> logging.LogRecord:
    record = logging.LogRecord("desk", logging.WARNING, __file__, 1, message, args, None)
    record.__dict__.update(fields)
    return record


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        (f"Authorization: Bearer {JWT}", JWT),
        ("authorization: Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA"),
        ("{'Authorization': 'Key fal-9f8e7d6c5b4a'}", "fal-9f8e7d6c5b4a"),
        (f'"GET /ws/visual-generation?token={JWT}&x=1" [accepted]', JWT),
        ("GET /ws?x=1&token=abc.def HTTP/1.1", "abc.def"),
        ("/media/a.png?sig=Zm9vYmFy&expires=1", "Zm9vYmFy"),
        ("https://host/a?X-Amz-Signature=deadbeef01&X-Amz-Date=1", "deadbeef01"),
        ('{"api_key": "0123456789"}', "0123456789"),
        ("password=hunter2secret", "hunter2secret"),
        ("Incorrect API key provided: sk-proj-AbCdEf123456789", "sk-proj-AbCdEf123456789"),
        ("hf_AbCdEfGhIjKlMnOp is not valid", "hf_AbCdEfGhIjKlMnOp"),
        ("cannot reach postgresql://atelier:s3cr3t@db/atelier", "s3cr3t"),
    ],
)
def test_a_credential_is_hidden_and_the_rest_stays(line: str, secret: str) -> None:
    told = redact(line)

    assert secret not in told
    assert HIDDEN in told


@pytest.mark.parametrize(
    "line",
    [
        "item 12 of request 5f0c9b1e-3c1e-4a75-9d34-0d8f3c1d2b11 failed: TIMEOUT",
        "max_tokens=400 left, 3 tokens used",
        "POST /api/auth/token 200",
        "the key of lane provider_d is refused",
    ],
)
def test_ordinary_words_stay(line: str) -> None:
    assert redact(line) == line


def test_our_own_secrets_are_hidden_wherever_they_turn_up() -> None:
    assert redact(f"somebody printed {desk_settings.SECRET_KEY} here") == f"somebody printed {HIDDEN} here"


def test_what_a_vault_gave_is_hidden_also_after_it_was_replaced(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Vault:
        text = "no-shape-gives-this-away"

        def value(self, name: str) -> str:
            return self.text

    held = Vault()
    monkeypatch.setattr("providers.secrets_manager.vault", lambda: held)
    settings.PROVIDERS_MODE, settings.SECRETS_BACKEND = "real", "aws"
    first = secrets.key("openai")
    held.text = "nor-does-this-one"
    line = Json().format(make_record("%s, then %s", first, secrets.key("openai")))
    assert json.loads(line)["message"] == f"{HIDDEN}, then {HIDDEN}"


def test_a_json_line_carries_trace_ids_and_fields() -> None:
    with tracing("trace-0001", request="r1", item=7):
        bind(user="u1")
        line = json.loads(Json().format(make_record("%s failed", "step", provider="provider_d")))

    assert {name: line[name] for name in ("level", "logger", "message", "trace", "request", "item", "user")} == {
        "level": "WARNING",
        "logger": "desk",
        "message": "step failed",
        "trace": "trace-0001",
        "request": "r1",
        "item": "7",
        "user": "u1",
    }
    assert line["provider"] == "provider_d"
    assert line["time"]


def test_fields_and_tracebacks_are_covered_too() -> None:
    try:
        raise ValueError(f"bad header Authorization: Bearer {JWT}")
    except ValueError:
        record = make_record("refused", headers={"Authorization": f"Bearer {JWT}", "Accept": "*/*"}, api_key="k")
        record.exc_info = sys.exc_info()

    for formatter in (Json(), Plain()):
        assert JWT not in formatter.format(record)
    line = json.loads(Json().format(record))
    assert line["headers"] == {"Authorization": HIDDEN, "Accept": "*/*"}
    assert line["api_key"] == HIDDEN
    assert "ValueError" in line["exc_info"]


def test_a_plain_line_shows_the_ids() -> None:
    with tracing(item=7):
        assert Plain().format(make_record("parked")).endswith("WARNING desk: parked  [item=7]")


def test_a_stranger_cannot_begin_a_line_of_his_own() -> None:
    path = "/status/a\n23:59:59 INFO desk: all is well\r\x1b[2J\u2028end"
    line = Plain().format(make_record(path))
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    assert "/status/a\\n23:59:59" in line


@pytest.mark.parametrize("has_access_log", [True, False])
def test_a_server_that_is_told_to_log_no_calls_logs_none(has_access_log: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    access = logging.getLogger("uvicorn.access")
    monkeypatch.setattr(access, "propagate", False)
    monkeypatch.setattr(access, "handlers", [logging.NullHandler()] if has_access_log else [])
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(logging.config, "dictConfig", made.append)
    configure({"format": "plain", "level": "INFO"})
    assert made[0]["loggers"]["uvicorn.access"]["propagate"] is has_access_log


def test_what_goes_to_an_error_tracker_is_scrubbed_in_depth() -> None:
    event = {"request": {"headers": [["Cookie", "x"]], "url": f"/ws?token={JWT}"}, "extra": {"password": "p"}}

    assert JWT not in str(scrub(event))
    assert scrub(event)["extra"] == {"password": HIDDEN}


def test_a_refused_call_is_no_fault() -> None:
    assert not Faults().filter(make_record("Service Unavailable: /health/ready"))


def test_this_process_logs_through_the_redaction() -> None:
    # pytest puts handlers of its own beside ours.
    ours = [
        handler.formatter for handler in logging.getLogger().handlers if isinstance(handler.formatter, Json | Plain)
    ]

    assert len(ours) == 1
    assert not logging.getLogger("uvicorn.access").handlers
