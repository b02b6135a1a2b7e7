"""Hugging Face's router as the simulator speaks it: hf-inference, fal-ai at once and queued, model mapping."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from typing import Any

from providers.simulator import media, pictures
from providers.simulator.desk import Desk, Job, Seen
from providers.simulator.faults import HTML, Fault, retry_headers, spoil
from providers.simulator.wire import Reply, Request, json_reply

NAME, KEY = "huggingface", "hf_simulator"
PREFIX = "/huggingface"
SPEAKS = [
    ("POST", "/huggingface/hf-inference/models/{org}/{model}", "a picture from words, bytes back"),
    ("POST", "/huggingface/fal-ai/fal-ai/flux/dev", "a picture from words; ?_subdomain=queue to park"),
    ("GET", "/huggingface/fal-ai/fal-ai/flux/requests/{id}/status", "how far it is; ?logs=1"),
    ("GET", "/huggingface/fal-ai/fal-ai/flux/requests/{id}", "its result"),
    ("PUT", "/huggingface/fal-ai/fal-ai/flux/requests/{id}/cancel", "stop it"),
    ("GET", "/huggingface/api/models/{org}/{model}", "which companies serve a model"),
]
MODELS = {
    "black-forest-labs/FLUX.1-dev": "fal-ai/flux/dev",
    "black-forest-labs/FLUX.1-schnell": "fal-ai/flux/schnell",
}
SIZES = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
CHOICES = {"output_format": ("jpeg", "png"), "acceleration": ("none", "regular", "high")}
RANGES = {"num_inference_steps": (1, 50), "guidance_scale": (1, 20), "num_images": (1, 4)}
QUEUED_SHARE = 0.25  # of a job's time is spent waiting in the vendor's queue
FLAGS = ("sync_mode", "enable_safety_checker")
SUBMIT_FIELDS = {"prompt", "image_size", "seed", *CHOICES, *RANGES, *FLAGS}
HF_PARAMETERS = {
    "negative_prompt", "guidance_scale", "num_inference_steps", "width", "height", "scheduler", "seed",
}  # fmt: skip


async def answer(request: Request, desk: Desk) -> Reply:
    path = request.path.removeprefix(PREFIX)
    if path.startswith("/api/models/"):
        return _mapping(path.removeprefix("/api/models/"))
    if request.headers.get("authorization") != f"Bearer {KEY}":
        return json_reply({"error": "Invalid username or password."}, 401)
    if path.startswith("/hf-inference/models/"):
        return await _hf_inference(request, desk, path.removeprefix("/hf-inference/models/"))
    if path.startswith("/fal-ai/"):
        return await _fal(request, desk, path.removeprefix("/fal-ai"))
    return json_reply({"error": "Not Found"}, 404)


# --- hf-inference --------------------------------------------------------------------------------


async def _hf_inference(request: Request, desk: Desk, model: str) -> Reply:
    if request.method != "POST":
        return json_reply({"error": "Method Not Allowed"}, 405)
    body = _body(request)
    seen = desk.see(NAME, "text-to-image", request, prompt=str(body.get("inputs") or ""), fields=body)
    fault = desk.strike(seen)
    reply = _refusal(fault) if fault else None
    reply = reply or await _draw_bytes(desk, seen, model, body, fault)
    seen.status = reply.status
    return reply


async def _draw_bytes(desk: Desk, seen: Seen, model: str, body: dict[str, Any], fault: Fault | None) -> Reply:
    parameters = body.get("parameters") or {}
    if model not in MODELS:
        return json_reply({"error": "Model not supported by provider hf-inference"}, 400)
    if not seen.prompt or not isinstance(parameters, dict):
        return json_reply({"error": "Input validation error: `inputs` cannot be empty"}, 422)
    if unknown := set(parameters) - HF_PARAMETERS:
        return json_reply({"error": [f"unexpected parameter `{name}`" for name in sorted(unknown)]}, 400)
    width, height = parameters.get("width", 1024), parameters.get("height", 1024)
    if not _sound(width, height):
        return json_reply({"error": "`height` and `width` have to be divisible by 16"}, 400)
    wish = pictures.wish(seen.prompt, int(parameters.get("seed") or 0), width, height, "png")
    return await _deliver(desk, wish, fault, desk.delay_s(fault))


async def _deliver(desk: Desk, wish: pictures.Wish, fault: Fault | None, delay_s: float) -> Reply:
    made = await asyncio.to_thread(pictures.bomb) if fault and fault.name == "picture-bomb" else await desk.draw(wish)
    await asyncio.sleep(delay_s)
    return media.as_file(made.content_type, made.body, fault)


# --- fal-ai --------------------------------------------------------------------------------------


async def _fal(request: Request, desk: Desk, path: str) -> Reply:
    if "/requests/" in path:
        return await _fal_question(request, desk, path)
    if path.removeprefix("/") not in MODELS.values():
        return json_reply({"detail": f"Application '{path.strip('/')}' not found"}, 404)
    if request.method != "POST":
        return json_reply({"detail": "Method Not Allowed"}, 405)
    queued = request.query.get("_subdomain") == "queue"
    body = _body(request)
    operation = "submit" if queued else "sync"
    seen = desk.see(NAME, operation, request, prompt=str(body.get("prompt") or ""), fields=body)
    fault = desk.strike(seen)
    reply = _refusal(fault) if fault else None
    if reply is None and (faults := _faults_of(body)):
        reply = json_reply({"detail": faults}, 422)
    reply = reply or await _fal_work(request, desk, seen, path, body, fault, queued)
    seen.status = reply.status
    return reply


async def _fal_work(
    request: Request, desk: Desk, seen: Seen, path: str, body: dict[str, Any], fault: Fault | None, queued: bool
) -> Reply:
    size = body.get("image_size") or "landscape_4_3"
    width, height = SIZES[size] if isinstance(size, str) else (size["width"], size["height"])
    seed = body.get("seed")
    seed = random.SystemRandom().randrange(2**31) if seed is None else seed
    wish = pictures.wish(seen.prompt, seed, width, height, body.get("output_format") or "jpeg")
    job = desk.start(wish, seen.prompt, seed, fault)
    seen.job = job.id
    if queued:
        # The queue's paths name the app without the model's own sub-path, on another host.
        base = f"https://queue.fal.run/{'/'.join(path.strip('/').split('/')[:2])}/requests/{job.id}"
        reply = json_reply(
            {
                "status": "IN_QUEUE",
                "request_id": job.id,
                "response_url": base,
                "status_url": base + "/status",
                "cancel_url": base + "/cancel",
                "queue_position": 0,
            }
        )
        return spoil(reply, fault) if fault else reply
    await asyncio.sleep(job.seconds)
    reply = await _result(request, desk, job, fault)
    return spoil(reply, fault) if fault else reply


async def _fal_question(request: Request, desk: Desk, path: str) -> Reply:
    job_id, _, verb = path.partition("/requests/")[2].partition("/")
    operation = verb or "result"
    if request.query.get("_subdomain") != "queue":
        return json_reply({"detail": "Not Found"}, 404)
    job = desk.jobs.get(job_id)
    seen = desk.see(NAME, operation, request, prompt=job.prompt if job else "", job=job_id)
    fault = desk.strike(seen)
    if fault and fault.name == "vanished":
        job = desk.jobs.pop(job_id, None) and None
    reply = _refusal(fault) if fault else None
    if reply is None and job is None:
        reply = json_reply({"detail": f"Request {job_id} not found"}, 404)
    if reply is None and job:
        reply = await _fal_reply(request, desk, job, operation, fault)
        reply = spoil(reply, fault) if fault else reply
    assert reply
    seen.status = reply.status
    return reply


async def _fal_reply(request: Request, desk: Desk, job: Job, operation: str, fault: Fault | None) -> Reply:
    if operation == "cancel" and request.method == "PUT":
        if job.share() >= 1 or job.is_cancelled:
            return json_reply({"status": "ALREADY_COMPLETED"}, 400)
        job.is_cancelled = True
        return json_reply({"status": "CANCELLATION_REQUESTED"}, 202)
    if operation == "status" and request.method == "GET":
        return json_reply(_status(request, job, fault))
    if operation == "result" and request.method == "GET":
        if job.is_cancelled:
            return json_reply({"detail": "Request was cancelled"}, 400)
        if job.share() < 1:
            return json_reply({"detail": "Request is still in progress"}, 400)
        return await _result(request, desk, job, fault)
    return json_reply({"detail": "Not Found"}, 404)


def _status(request: Request, job: Job, fault: Fault | None) -> dict[str, Any]:
    share = job.share()
    body: dict[str, Any] = {"request_id": job.id, "status": "IN_PROGRESS"}
    percent = int(100 * max(0.0, share - QUEUED_SHARE) / (1 - QUEUED_SHARE))
    if fault and fault.name == "progress-backwards":
        percents = fault.params.get("percents") or [80, 20, 250]
        percent = percents[min(fault.used, len(percents)) - 1]
    elif job.is_cancelled or share >= 1:
        body["status"] = "COMPLETED"
    elif share < QUEUED_SHARE:
        return {**body, "status": "IN_QUEUE", "queue_position": 0}
    if request.query.get("logs") in ("1", "true"):
        bar = f"{percent:3d}%|{'█' * (min(percent, 100) // 10):10s}| {28 * percent // 100}/28"
        body["logs"] = [{"message": bar, "level": "INFO", "timestamp": "2026-11-21T10:00:00Z"}]
    return body


async def _result(request: Request, desk: Desk, job: Job, fault: Fault | None) -> Reply:
    wish = job.wish
    is_black = bool(fault and fault.name == "filtered")
    made = await desk.draw(replace(wish, black=True) if is_black else wish)
    url = media.link(request, desk.keep(NAME, job, made.content_type, made.body))
    if fault and fault.name == "private-link":
        url = str(fault.params.get("url") or "http://169.254.169.254/latest/meta-data/")
    picture = {"url": url, "width": wish.width, "height": wish.height, "content_type": made.content_type}
    return json_reply(
        {
            "images": [] if fault and fault.name == "short-count" else [picture],
            "timings": {"inference": job.seconds},
            "seed": job.seed,
            "has_nsfw_concepts": [is_black],
            "prompt": job.prompt,
        }
    )


# --- Bodies --------------------------------------------------------------------------------------


def _body(request: Request) -> dict[str, Any]:
    """The JSON object that was sent; {} for anything else, which then fails for what it lacks."""
    try:
        body = request.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _faults_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """What fal's validation says of a submit, in its own shape."""
    faults = []

    def wrong(field: str, text: str, kind: str) -> None:
        faults.append({"loc": ["body", field], "msg": text, "type": kind})

    if not isinstance(body.get("prompt"), str) or not body["prompt"]:
        wrong("prompt", "Field required", "missing")
    for name in sorted(set(body) - SUBMIT_FIELDS):
        wrong(name, "Extra inputs are not permitted", "extra_forbidden")
    for name, allowed in CHOICES.items():
        if body.get(name) is not None and body[name] not in allowed:
            wrong(name, f"Input should be one of {', '.join(allowed)}", "literal_error")
    for name, (low, high) in RANGES.items():
        value = body.get(name)
        if value is not None and (not isinstance(value, int | float) or not low <= value <= high):
            wrong(name, f"Input should lie between {low} and {high}", "less_than_equal")
    for name in FLAGS:
        if body.get(name) is not None and not isinstance(body[name], bool):
            wrong(name, "Input should be a valid boolean", "bool_type")
    if body.get("seed") is not None and not isinstance(body["seed"], int):
        wrong("seed", "Input should be a valid integer", "int_type")
    size = body.get("image_size")
    if isinstance(size, dict):
        if not _sound(size.get("width"), size.get("height")):
            wrong("image_size", "width and height must be multiples of 16 up to 14142", "value_error")
    elif size is not None and size not in SIZES:
        wrong("image_size", f"Input should be one of {', '.join(SIZES)}", "literal_error")
    return faults


def _sound(width: Any, height: Any) -> bool:
    return all(isinstance(side, int) and 16 <= side <= 4096 and side % 16 == 0 for side in (width, height))


def _refusal(fault: Fault) -> Reply | None:
    match fault.name:
        case "rate-limit":
            return json_reply({"error": "Too Many Requests"}, 429, retry_headers(fault))
        case "500":
            return json_reply({"error": "Internal Server Error"}, 500)
        case "502" | "504":
            return Reply(int(fault.name), HTML, "text/html")
        case "503":
            return json_reply({"error": "Service Unavailable"}, 503, retry_headers(fault))
        case "loading":
            estimate = float(fault.params.get("estimated_time", 20.0))
            return json_reply({"error": "Model is currently loading", "estimated_time": estimate}, 503)
        case "unauthorized":
            return json_reply({"error": "Invalid username or password."}, 401)
        case "no-credit" | "insufficient_quota" | "credit_balance_exhausted" | "billing_hard_limit":
            text = "You have depleted your monthly included credits. Purchase pre-paid credits to continue."
            return json_reply({"error": text}, 402)
        case "forbidden":
            text = "This authentication method does not have sufficient permissions to call Inference Providers."
            return json_reply({"error": text}, 403)
        case "model-gone":
            status = int(fault.params.get("status", 404))
            text = "Model not supported by provider hf-inference" if status == 400 else "Model is deprecated"
            return json_reply({"error": text}, status)
        case "bad-input":
            detail = [{"loc": ["body", "prompt"], "msg": "Input is not acceptable", "type": "value_error"}]
            return json_reply({"detail": detail}, int(fault.params.get("status", 422)))
        case "filtered" if fault.params.get("at") == "input" or fault.params.get("status") == 422:
            detail = [{"loc": ["body", "prompt"], "msg": "flagged", "type": "content_policy_violation"}]
            return json_reply({"detail": detail}, 422)
    return None


def _mapping(model: str) -> Reply:
    if model not in MODELS:
        return json_reply({"error": "Repository not found"}, 404)
    served = {
        "fal-ai": {"status": "live", "providerId": MODELS[model], "task": "text-to-image"},
        "hf-inference": {"status": "live", "providerId": model, "task": "text-to-image"},
    }
    body = {"id": model, "modelId": model, "pipeline_tag": "text-to-image", "tags": ["text-to-image"]}
    return Reply(body=json.dumps({**body, "inference": "warm", "inferenceProviderMapping": served}).encode())
