"""OpenRouter against the simulator: what is asked about a picture, how its verdict is read, what that costs."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import openai
import pytest
from PIL import Image

from generation.steps import shows_no_text
from providers.adapters.openrouter import ANSWER, QUESTION, SCHEMA, OpenRouter
from providers.base import Call, Made
from providers.errors import RateLimited, Refused, Unavailable
from providers.transport import error_for
from tests.providers.make import make_png
from tests.simulator import Remote

CLEAN = {"has_text": False, "has_annotations": False, "confidence": 0.97}


def about(picture: bytes = b"", **inputs: Any) -> Call:
    return Call("verify-image", "main", {"images": [picture or make_png(300, 200)], **inputs}, 5.0, "test-1")


def check(**inputs: Any) -> Made:
    made = OpenRouter().run(about(**inputs))
    assert isinstance(made, Made)
    assert made.files == ()
    return made


# --- What is asked -------------------------------------------------------------------------------


def test_a_picture_is_shown_as_a_data_url_and_the_answer_held_to_a_schema(simulator: Remote) -> None:
    assert dict(check().extra) == CLEAN
    [sent] = simulator.calls("openrouter", "chat")
    assert sent["authorized"]
    assert sent["fields"] == {
        "model": "openai/gpt-4o-mini",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": f"{QUESTION}\n{ANSWER}"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,…", "detail": "auto"}},
                ],
            }
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "verdict", "strict": True, "schema": SCHEMA},
        },
        "provider": {"require_parameters": True},
        "temperature": 0,
        "max_tokens": 200,
    }


def test_a_large_picture_is_reduced_and_a_small_one_shown_as_it_is(simulator: Remote) -> None:
    for size in ((1792, 1024), (300, 200)):
        OpenRouter().run(about(make_png(*size)))
    files = [call["files"][0] for call in simulator.calls("openrouter", "chat")]
    assert [(file["width"], file["height"], file["format"]) for file in files] == [
        (1024, 585, "JPEG"),
        (300, 200, "PNG"),
    ]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "I;16"])
def test_a_picture_that_may_have_holes_is_shown_before_white(simulator: Remote, mode: str) -> None:
    drawn = io.BytesIO()
    Image.new(mode, (300, 200)).save(drawn, "PNG")
    OpenRouter().run(about(drawn.getvalue()))
    assert simulator.calls("openrouter", "chat")[0]["files"][0]["format"] == "JPEG"


def test_a_colour_that_is_declared_transparent_counts_as_a_hole(simulator: Remote) -> None:
    drawn = io.BytesIO()
    Image.new("RGB", (300, 200)).save(drawn, "PNG", transparency=(0, 0, 0))
    OpenRouter().run(about(drawn.getvalue()))
    assert simulator.calls("openrouter", "chat")[0]["files"][0]["format"] == "JPEG"


def test_a_small_picture_in_a_heavy_file_is_reduced_too(simulator: Remote, settings: Any) -> None:
    settings.OPENROUTER = {**settings.OPENROUTER, "PICTURE_BYTES": 100}
    OpenRouter().run(about(make_png(300, 200)))
    assert simulator.calls("openrouter", "chat")[0]["files"][0]["format"] == "JPEG"


def test_a_door_may_ask_in_its_own_words_and_settings_how_it_is_asked(simulator: Remote, settings: Any) -> None:
    settings.OPENROUTER = {
        **settings.OPENROUTER,
        "RESPONSE_FORMAT": "json_object",
        "SITE_URL": "https://atelier.example",
        "MODELS": {"main": "openai/gpt-4o"},
        "DETAIL": "high",
    }
    assert dict(check(question="Is anything written in it?").extra) == CLEAN
    [sent] = simulator.calls("openrouter", "chat")
    assert sent["prompt"] == f"Is anything written in it?\n{ANSWER}"
    assert sent["fields"]["response_format"] == {"type": "json_object"}
    assert sent["fields"]["model"] == "openai/gpt-4o"
    assert sent["files"][0]["detail"] == "high"
    assert sent["headers"]["http-referer"] == "https://atelier.example"


@pytest.mark.parametrize("images", [[], [b"GIF89a"], [make_png(), make_png()]])
def test_unusable_pictures_are_refused_before_anything_is_sent(simulator: Remote, images: list[bytes]) -> None:
    with pytest.raises(Refused):
        OpenRouter().run(Call("verify-image", "main", {"images": images}, 5.0, "test-1"))
    assert simulator.calls() == []


# --- The verdict ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "text", "annotations", "confidence"),
    [
        ('{"has_text": false, "has_annotations": false, "confidence": 0.95}', False, False, 0.95),
        ('```json\n{"has_text": false, "has_annotations": false, "confidence": 1}\n```', False, False, 1.0),
        ('```\n{"has_text": true, "has_annotations": false, "confidence": 0}\n```', True, False, 0.0),
        ('{"has_text": false, "has_annotations": true, "confidence": 0.95}', False, True, 0.95),
        ('{"has_text": false}', False, True, None),  # a missing key counts as true
        ('{"has_annotations": false, "confidence": "high"}', True, False, None),
        ('{"has_text": "false", "has_annotations": 0, "confidence": true}', True, True, None),
        ('{"has_text": null, "has_annotations": [], "confidence": null}', True, True, None),
        ('{"has_text": false, "has_annotations": false, "confidence": NaN}', False, False, None),
        ('{"has_text": false, "has_annotations": false, "confidence": -1}', False, False, None),
        ('{"has_text": false, "has_annotations": false, "confidence": 1e999}', False, False, None),
        ('{"HAS_TEXT": false, "hasAnnotations": false}', True, True, None),
        ("{}", True, True, None),
        ('{"ok": true}', True, True, None),
    ],
)
def test_only_a_clear_false_is_clean(
    simulator: Remote, content: str, text: bool, annotations: bool, confidence: float | None
) -> None:
    simulator.faults("openrouter", "verdict", content=content)
    verdict = dict(check().extra)
    assert verdict == {"has_text": text, "has_annotations": annotations, "confidence": confidence}
    assert shows_no_text(verdict) is not (text or annotations)


@pytest.mark.parametrize(
    "params",
    [
        {"content": "There is no text in it."},
        {"content": "false"},
        {"content": "null"},
        {"content": '[{"has_text": false}]'},
        {"content": "```json\nno\n```"},
        {"content": "[" * 5000},
        {"content": '{"has_text": false, "has_annotations": false} and more'},
        {"content": ["parts"]},
        {"refusal": "I cannot look at this."},
        {"finish_reason": "content_filter"},
        {"finish_reason": "length"},
        {"finish_reason": "error"},
        {"choice_error": True},
    ],
)
def test_what_is_no_verdict_is_asked_again_and_never_a_pass(simulator: Remote, params: dict[str, Any]) -> None:
    simulator.faults("openrouter", "verdict", **params)
    with pytest.raises(Unavailable) as caught:
        check()
    assert caught.value.retryable
    assert not caught.value.is_loss
    assert dict(check().extra) == CLEAN


def test_a_test_can_script_verdicts_and_outages_one_after_another(simulator: Remote) -> None:
    simulator.faults("openrouter", "verdict", has_text=True, confidence=0.6)
    simulator.faults("openrouter", "503", retry_after=2)
    simulator.faults("openrouter", "verdict", has_annotations="yes")
    assert dict(check().extra) == {"has_text": True, "has_annotations": False, "confidence": 0.6}
    with pytest.raises(Unavailable) as caught:
        check()
    assert caught.value.retry_after_s == 2
    assert check().extra["has_annotations"] is True
    assert dict(check().extra) == CLEAN


# --- Costs and errors ----------------------------------------------------------------------------


def test_a_check_costs_what_its_usage_says(simulator: Remote) -> None:
    made = check()
    tokens = (len(f"{QUESTION}\n{ANSWER}") // 4 + 2833, len(json.dumps(CLEAN)) // 4)
    assert made.cost_usd == tokens[0] * Decimal("0.00000015") + tokens[1] * Decimal("0.0000006")


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (None, "0.00015"),
        ({}, "0.00015"),
        ({"cost": "0.2"}, "0.00015"),
        ({"cost": -1}, "0.00015"),
        ({"cost": 1e9}, "0.00015"),
        ({"cost": 0}, "0"),
        ({"cost": 0.00044}, "0.00044"),
        ({"cost": 1.5e-05, "is_byok": False, "cost_details": {"upstream_inference_cost": 1}}, "0.000015"),
        ({"cost": 0.0001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.002}}, "0.0021"),
        ({"cost": 0.0001, "is_byok": True, "cost_details": None}, "0.0001"),
    ],
)
def test_the_cost_is_the_estimate_when_the_answer_does_not_say(usage: Any, cost: str) -> None:
    assert OpenRouter()._cost(usage) == Decimal(cost)


def test_an_answer_without_usage_is_a_verdict_all_the_same(simulator: Remote) -> None:
    simulator.faults("openrouter", "verdict", no_usage=True)
    assert check().cost_usd == Decimal("0.00015")


@pytest.mark.parametrize(
    ("status", "fault", "kind", "wait_s"),
    [
        (429, {"availability": {"code": "capacity_exhausted", "retryable": True, "retry_after": 9}}, "RateLimited", 9),
        (404, {"availability": {"code": "no_endpoints", "retryable": False}}, "ModelGone", None),
        (404, {"availability": {"code": "no_endpoints", "retryable": True, "retry_after": 4}}, "Unavailable", 4),
        (400, {"error_type": "model_not_found", "http_status": 400}, "ModelGone", None),
        (402, {"error_type": "payment_required"}, "OurAccountEmpty", None),
        (403, {"metadata": {"error_type": "content_policy_violation"}}, "Unavailable", None),
        (403, {"metadata": {"patterns": ["x"]}}, "Unavailable", None),
        (403, {"metadata": {"error_type": "region_restricted"}}, "ModelGone", None),
        (403, {}, "OurKeyRefused", None),
        (408, {"metadata": {"error_type": "timeout"}}, "ProviderTimeout", None),
        (412, {"metadata": {"error_type": "precondition_failed"}}, "Unavailable", None),
        (524, {}, "Unavailable", None),
        (529, {"metadata": "odd", "availability": [1]}, "Unavailable", None),
    ],
)
def test_both_layouts_of_its_errors_are_read(
    status: int, fault: dict[str, Any], kind: str, wait_s: float | None
) -> None:
    found = OpenRouter().complain(status, {}, {"error": fault}, "detail") or error_for(status, {}, "detail")
    assert type(found).__name__ == kind
    assert found.retry_after_s == wait_s


# --- The client that it names --------------------------------------------------------------------


@pytest.fixture
def client(simulator: Remote) -> Iterator[openai.OpenAI]:
    base = f"{simulator.url}/openrouter/api/v1"
    with openai.OpenAI(api_key="sk-or-simulator", base_url=base, max_retries=0) as one:
        yield one


def shown(url: str = "") -> list[Any]:
    url = url or "data:image/png;base64," + base64.b64encode(make_png()).decode()
    parts = [{"type": "text", "text": "Any text in it?"}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": parts}]


def test_the_client_it_names_makes_a_check(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="openai/gpt-4o-mini",
        messages=shown(),
        response_format={"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": SCHEMA}},
    )
    assert json.loads(answer.choices[0].message.content or "") == CLEAN
    assert answer.usage
    assert answer.usage.cost > 0  # type: ignore[attr-defined]
    record = client.get(f"/generation?id={answer.id}", cast_to=dict[str, Any])["data"]
    assert record["total_cost"] == pytest.approx(answer.usage.cost)  # type: ignore[attr-defined]
    assert client.get("/key", cast_to=dict[str, Any])["data"]["usage"] == pytest.approx(record["total_cost"], abs=1e-6)
    assert "openai/gpt-4o-mini" in [model.id for model in client.models.list()]


def test_the_client_it_names_talks_and_answers_to_other_schemas(client: openai.OpenAI) -> None:
    talk = client.chat.completions.create(model="openai/gpt-4o-mini", messages=[{"role": "user", "content": "Hello"}])
    assert talk.choices[0].message.content
    schema = {"type": "object", "properties": {"score": {"type": "number"}, "why": {"type": "string"}}}
    answer = client.chat.completions.create(
        model="openai/gpt-4o-mini",
        messages=shown(),
        response_format={"type": "json_schema", "json_schema": {"name": "score", "schema": schema}},
    )
    assert set(json.loads(answer.choices[0].message.content or "")) == {"score", "why"}


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"model": "openai/gpt-9"}, openai.BadRequestError),
        ({"messages": []}, openai.BadRequestError),
        ({"messages": shown("https://example.com/a.png")}, openai.BadRequestError),
        ({"messages": shown("data:image/png;base64,QUJD")}, openai.BadRequestError),
        ({"temperature": 3}, openai.BadRequestError),
        ({"stream": True}, openai.BadRequestError),
        ({"response_format": {"type": "xml"}}, openai.BadRequestError),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}}, openai.BadRequestError),
        ({"extra_body": {"provider": {"favourite": "x"}}}, openai.BadRequestError),
        ({"extra_body": {"guidance": 3}}, openai.BadRequestError),
    ],
)
def test_the_client_it_names_reads_what_is_wrong(client: openai.OpenAI, fields: dict[str, Any], kind: Any) -> None:
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**{"model": "openai/gpt-4o-mini", "messages": shown(), **fields})
    assert caught.value.code == "400"


def test_the_client_it_names_reads_a_scripted_fault(client: openai.OpenAI, simulator: Remote) -> None:
    simulator.faults("openrouter", "no-credit")
    with pytest.raises(openai.APIStatusError, match="Insufficient credits") as caught:
        client.chat.completions.create(model="openai/gpt-4o-mini", messages=shown())
    assert caught.value.status_code == 402
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-or-wrong").chat.completions.create(model="openai/gpt-4o", messages=shown())
    simulator.faults("openrouter", "rate-limit", retry_after=3)
    with pytest.raises(openai.RateLimitError) as limited:
        client.chat.completions.create(model="openai/gpt-4o-mini", messages=shown())
    assert limited.value.response.headers["retry-after"] == "3"


def test_a_rate_limit_inside_a_good_answer_is_still_one(simulator: Remote) -> None:
    simulator.faults("openrouter", "error-in-200", status=429)
    with pytest.raises(RateLimited):
        check()
