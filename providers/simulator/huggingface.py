"""Hugging Face's router as the simulator speaks it: hf-inference, fal-ai at once and queued, model mapping."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import secrets
from dataclasses import dataclass, replace
from typing import Any

from providers.simulator import huggingface_rules as rules
from providers.simulator import media, pictures, replicate
from providers.simulator.desk import Desk, Job, Seen
from providers.simulator.faults import Fault, spoil
from providers.simulator.wire import Reply, Request, json_reply

NAME, KEY = "huggingface", "hf_simulator"
PREFIX = "/huggingface"
SPEAKS = [
    ("POST", "/huggingface/hf-inference/models/{org}/{model}", "a picture from words or from a picture, bytes back"),
    ("POST", "/huggingface/fal-ai/fal-ai/flux/dev", "a picture from words; ?_subdomain=queue to park"),
    ("POST", "/huggingface/fal-ai/fal-ai/flux-2/klein/9b/edit", "a picture from pictures and words; likewise"),
    ("GET", "/huggingface/fal-ai/fal-ai/flux/requests/{id}/status", "how far it is; ?logs=1"),
    ("GET", "/huggingface/fal-ai/fal-ai/flux/requests/{id}", "its result"),
    ("PUT", "/huggingface/fal-ai/fal-ai/flux/requests/{id}/cancel", "stop it"),
    ("POST", "/huggingface/replicate/v1/models/{owner}/{name}/predictions", "as at its neighbour"),
    ("GET", "/huggingface/api/models/{org}/{model}", "which companies serve a model"),
]
QUEUED_SHARE = 0.25  # of a job's time is spent waiting in the vendor's queue


@dataclass
class Edit(Job):
    """A picture made from another."""

    source: bytes = b""


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
    if path.startswith("/replicate/v1/"):  # the same protocol behind the router, paid by the router's token
        headers = {**request.headers, "authorization": f"Bearer {replicate.KEY}"}
        return await replicate.answer(replace(request, path=path, headers=headers), desk)
    return json_reply({"error": "Not Found"}, 404)


# --- hf-inference --------------------------------------------------------------------------------


async def _hf_inference(request: Request, desk: Desk, model: str) -> Reply:
    if request.method != "POST":
        return json_reply({"error": "Method Not Allowed"}, 405)
    task = "image-to-image" if model in rules.EDITORS else "text-to-image"
    body = request.json_object()
    if task == "image-to-image" and not body and rules.size_of(request.body):
        # The form without parameters: a bare picture, to which the vendor's client gives no media type.
        body = {"inputs": base64.b64encode(request.body).decode()}
    parameters = body.get("parameters") or {}
    words = body.get("inputs") if task == "text-to-image" else rules.text_of(parameters, "prompt")
    told = {**body, "inputs": str(body.get("inputs") or "")[:200]}
    seen = desk.see(NAME, task, request, prompt=str(words or ""), fields=told)
    fault = desk.strike(seen)
    reply = rules.refusal(fault) if fault else None
    reply = reply or await _draw_bytes(desk, seen, model, task, body, fault)
    seen.status = reply.status
    return reply


async def _draw_bytes(
    desk: Desk, seen: Seen, model: str, task: str, body: dict[str, Any], fault: Fault | None
) -> Reply:
    parameters, inputs = body.get("parameters") or {}, body.get("inputs")
    if model not in rules.MODELS:
        return json_reply({"error": "Model not supported by provider hf-inference"}, 400)
    if not isinstance(inputs, str) or not inputs or not isinstance(parameters, dict):
        return json_reply({"error": "Input validation error: `inputs` cannot be empty"}, 422)
    if unknown := set(parameters) - rules.HF_PARAMETERS[task]:
        return json_reply({"error": [f"unexpected parameter `{name}`" for name in sorted(unknown)]}, 400)
    if task == "text-to-image":
        width, height = parameters.get("width", 1024), parameters.get("height", 1024)
        source = b""
    else:
        source = rules.decoded(inputs)
        if rules.size_of(source) is None:
            return json_reply({"error": "cannot identify image file"}, 400)
        wanted = parameters.get("target_size") or rules.like(source) or {}
        width, height = wanted.get("width"), wanted.get("height")
    if not rules.is_sound(width, height):
        return json_reply({"error": "`height` and `width` have to be divisible by 16"}, 400)
    wish = pictures.wish(seen.prompt, int(parameters.get("seed") or 0), width, height, "png")
    return await _deliver(desk, wish, source, fault, desk.delay_s(fault))


async def _deliver(desk: Desk, wish: pictures.Wish, source: bytes, fault: Fault | None, delay_s: float) -> Reply:
    if fault and fault.name == "picture-bomb":
        made = await asyncio.to_thread(pictures.bomb)
    else:
        made = await _made(desk, wish, source)
    await asyncio.sleep(delay_s)
    return media.as_file(made.content_type, made.body, fault)


async def _made(desk: Desk, wish: pictures.Wish, source: bytes) -> pictures.Picture:
    return await asyncio.to_thread(pictures.repaint, source, None, wish) if source else await desk.draw(wish)


# --- fal-ai --------------------------------------------------------------------------------------


async def _fal(request: Request, desk: Desk, path: str) -> Reply:
    if "/requests/" in path:
        return await _fal_question(request, desk, path)
    if path.removeprefix("/") not in rules.MODELS.values():
        return json_reply({"detail": f"Application '{path.strip('/')}' not found"}, 404)
    if request.method != "POST":
        return json_reply({"detail": "Method Not Allowed"}, 405)
    queued = request.query.get("_subdomain") == "queue"
    body = request.json_object()
    operation = "submit" if queued else "sync"
    seen = desk.see(NAME, operation, request, prompt=str(body.get("prompt") or ""), fields=rules.short(body))
    fault = desk.strike(seen)
    reply = rules.refusal(fault) if fault else None
    if reply is None and (faults := rules.faults_of(body, is_edit=path.removeprefix("/") in rules.EDIT_PATHS)):
        reply = json_reply({"detail": faults}, 422)
    reply = reply or await _fal_work(request, desk, seen, path, body, fault, queued)
    seen.status = reply.status
    return reply


async def _fal_work(
    request: Request, desk: Desk, seen: Seen, path: str, body: dict[str, Any], fault: Fault | None, queued: bool
) -> Reply:
    source = rules.decoded(body["image_urls"][0]) if body.get("image_urls") else b""
    size = body.get("image_size") or rules.like(source) or "landscape_4_3"
    width, height = rules.SIZES[size] if isinstance(size, str) else (size["width"], size["height"])
    seed = body.get("seed")
    seed = random.SystemRandom().randrange(2**31) if seed is None else seed
    wish = pictures.wish(seen.prompt, seed, width, height, body.get("output_format") or "jpeg")
    job = Edit(secrets.token_hex(16), wish, seen.prompt, seed, desk.delay_s(fault), source=source)
    desk.add(job)
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
    reply = rules.refusal(fault) if fault else None
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
    source = job.source if isinstance(job, Edit) and not is_black else b""
    made = await _made(desk, replace(wish, black=True) if is_black else wish, source)
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


def _mapping(model: str) -> Reply:
    if model not in rules.MODELS:
        return json_reply({"error": "Repository not found"}, 404)
    task = "image-to-image" if model in rules.EDITORS else "text-to-image"
    served = {
        "fal-ai": {"status": "live", "providerId": rules.MODELS[model], "task": task},
        "hf-inference": {"status": "live", "providerId": model, "task": task},
    }
    if task == "text-to-image":
        served["replicate"] = {"status": "live", "providerId": model.lower().replace("flux.1", "flux"), "task": task}
    body = {"id": model, "modelId": model, "pipeline_tag": task, "tags": [task]}
    return Reply(body=json.dumps({**body, "inference": "warm", "inferenceProviderMapping": served}).encode())
