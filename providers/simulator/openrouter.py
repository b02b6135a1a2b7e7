"""OpenRouter as the simulator speaks it: chat completions that look at pictures, its models, keys and records.

It judges every picture clean, unless a fault `verdict` says otherwise. Streaming is not understood.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from typing import Any

from providers.simulator import openrouter_fields
from providers.simulator.desk import Desk, Seen
from providers.simulator.faults import HTML, Fault, retry_headers, spoil
from providers.simulator.openrouter_fields import MODELS, Wrong, error
from providers.simulator.wire import Reply, Request, json_reply

NAME, KEY = "openrouter", "sk-or-simulator"
PREFIX = "/openrouter/api/v1"
SPEAKS = [
    ("POST", f"{PREFIX}/chat/completions", "words about pictures and words; JSON when asked for"),
    ("GET", f"{PREFIX}/generation?id={{id}}", "what one call cost"),
    ("GET", f"{PREFIX}/models", "the models"),
    ("GET", f"{PREFIX}/key", "what is left of our credits"),
]
CLEAN = {"has_text": False, "has_annotations": False, "confidence": 0.97}
CREDITS_USD = 100.0


async def answer(request: Request, desk: Desk) -> Reply:
    path = request.path.removeprefix(PREFIX)
    if path == "/models" and request.method == "GET":
        return json_reply({"data": [openrouter_fields.model(name) for name in MODELS]})
    if not request.headers.get("authorization"):
        return error(401, "Missing Authentication header", "authentication")
    if request.headers["authorization"] != f"Bearer {KEY}":
        return error(401, "User not found.", "authentication")
    match request.method, path:
        case "POST", "/chat/completions":
            return await _complete(request, desk)
        case "GET", "/key":
            usage = desk.spent[NAME] / 1_000_000
            key = {"label": "sk-or-…", "limit": CREDITS_USD, "usage": usage, "limit_remaining": CREDITS_USD - usage}
            return json_reply({"data": key})
        case "GET", "/generation":
            return _record(desk, request.query.get("id", ""))
    return error(404, "Not Found", "not_found")


async def _complete(request: Request, desk: Desk) -> Reply:
    try:
        body = openrouter_fields.read(request)
    except Wrong as wrong:
        desk.see(NAME, "chat", request).status = wrong.reply.status
        return wrong.reply
    seen = desk.see(NAME, "chat", request, prompt=openrouter_fields.words(body), fields=body)
    seen.job = f"gen-{int(time.time())}-{secrets.token_hex(8)}"
    fault = desk.strike(seen)
    reply = _refusal(fault) if fault else None
    if reply is None:
        try:
            seen.files = openrouter_fields.check(body)
            # The picture is described in `files`; kept here as well it would fill the log.
            seen.fields = openrouter_fields.without_pictures(body)
            reply = await _say(desk, seen, body, fault)
        except Wrong as wrong:
            reply = wrong.reply
    seen.status = reply.status
    return reply


async def _say(desk: Desk, seen: Seen, body: dict[str, Any], fault: Fault | None) -> Reply:
    params = fault.params if fault and fault.name in ("verdict", "filtered", "error-in-200") else {}
    spoken = {key: params[key] for key in CLEAN if key in params}
    content: str | None = params.get("content", openrouter_fields.fitting(body, {**CLEAN, **spoken}))
    end, refusal = params.get("finish_reason", "stop"), params.get("refusal")
    if fault and fault.name == "filtered":
        content, end, refusal = None, params.get("finish_reason", "content_filter"), "I can't help with that."
    await asyncio.sleep(desk.delay_s(fault))
    if fault and fault.name == "error-in-200":
        reply = error(int(params.get("status", 502)), "Provider returned error", "")
        return Reply(body=reply.body)
    usage = _usage(body, len(seen.files), content or "")
    desk.spent[NAME] += round(usage["cost"] * 1_000_000)
    message = {"role": "assistant", "content": content, "refusal": refusal}
    choice: dict[str, Any] = {"index": 0, "finish_reason": end, "native_finish_reason": end, "message": message}
    if params.get("choice_error"):
        choice |= {"finish_reason": "error", "error": {"code": 502, "message": "Provider returned error"}}
    document = {
        "id": seen.job,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
        "provider": "OpenAI",
        "system_fingerprint": None,
        "choices": [] if fault and fault.name == "short-count" else [choice],
        **({} if params.get("no_usage") else {"usage": usage}),
    }
    reply = json_reply(document, headers={"x-generation-id": seen.job})
    return spoil(reply, fault) if fault else reply


def _usage(body: dict[str, Any], images: int, content: str) -> dict[str, Any]:
    into, out = len(openrouter_fields.words(body)) // 4 + 2833 * images, max(1, len(content) // 4)
    rates = MODELS[body["model"]]
    return {
        "prompt_tokens": into,
        "completion_tokens": out,
        "total_tokens": into + out,
        "cost": round(into * rates[0] / 1e6 + out * rates[1] / 1e6, 9),
        "is_byok": False,
        "cost_details": {"upstream_inference_cost": None},
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _record(desk: Desk, id: str) -> Reply:
    for seen in desk.calls:
        if seen.provider == NAME and seen.job == id and seen.status == 200:
            usage = _usage(seen.fields, len(seen.files), json.dumps(CLEAN))
            record = {"id": id, "model": seen.fields["model"], "total_cost": usage["cost"], "created_at": seen.at}
            return json_reply({"data": record})
    return error(404, f"Generation {id} not found", "not_found")


def _refusal(fault: Fault) -> Reply | None:
    params = fault.params
    match fault.name:
        case "rate-limit":
            metadata = {"provider_name": "OpenAI"}
            return error(429, "Rate limit exceeded", "rate_limit_exceeded", metadata, headers=retry_headers(fault))
        case "500":
            return error(500, "Internal Server Error", "server")
        case "502" if params.get("html"):
            return Reply(502, HTML, "text/html")
        case "502":
            return error(502, "Provider returned error", "provider_unavailable")
        case "503" | "loading":
            text = "Service temporarily unavailable"
            return error(503, text, "provider_overloaded", headers=retry_headers(fault))
        case "504":
            return error(504, "Operation timed out. Please try again later.", "timeout")
        case "unauthorized":
            return error(401, "User not found.", "authentication")
        case "no-credit":
            text = "Insufficient credits. Add more using https://openrouter.ai/credits"
            return error(402, text, "payment_required")
        case "forbidden":
            return error(403, "Forbidden", "permission_denied")
        case "model-gone":
            return _no_model(int(params.get("status", 404)))
        case "bad-input":
            status = int(params.get("status", 400))
            kind = {413: "payload_too_large", 422: "unprocessable"}.get(status, "invalid_image")
            return error(status, "Invalid image", str(params.get("error_type") or kind))
        case "filtered" if params.get("at") == "input":
            text = "Input was flagged by moderation"
            if params.get("status") == 400:
                return error(400, text, "content_policy_violation")
            return error(403, text, "", {"reasons": ["violence"], "flagged_input": "a lighthouse"})
    return None


def _no_model(status: int) -> Reply:
    """Gone by today's codes, or by the newer `availability`, in the layout that some of its examples have."""
    if status == 400:
        return error(400, "openai/gpt-4o-mini is not a valid model ID", "model_not_found")
    if status == 404:
        return error(404, "No endpoints found that support the requested parameters.", "not_found")
    availability = {"code": "model_deprecated", "retryable": False, "requested_models": ["openai/gpt-4o-mini"]}
    fault = {"message": "Model is gone", "error_type": "model_not_found", "http_status": status}
    return json_reply({"error": {**fault, "availability": availability}}, status)
