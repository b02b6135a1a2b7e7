"""Tripo's version 3 as the simulator speaks it: models from words and pictures, import, texture, tasks, files."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from providers.simulator import tripo_hooks as hooks
from providers.simulator import tripo_tasks as tasks
from providers.simulator.desk import Desk, Seen
from providers.simulator.faults import HTML, Fault, retry_headers, spoil
from providers.simulator.tripo_rules import ROUTES, Wrong, check
from providers.simulator.wire import Reply, Request

NAME, KEY = "tripo", "tsk_simulator"
PREFIX = "/tripo"
SPEAKS = [
    ("POST", "/tripo/v3/generation/text-to-model", "a model from words; parks"),
    ("POST", "/tripo/v3/generation/image-to-model", "a model from one picture; parks"),
    ("POST", "/tripo/v3/generation/multiview-to-model", "a model from front, left, back and right; parks"),
    ("POST", "/tripo/v3/models/import", "make a task of an uploaded model"),
    ("POST", "/tripo/v3/models/texture", "a new texture on a task's model; parks"),
    ("GET", "/tripo/v3/tasks/{id}", "how far it is, and its result; POST /tasks/list for many"),
    ("POST", "/tripo/v3/files", "upload a picture or a model; /files/presign for a PUT"),
    ("GET", "/tripo/v3/account/balance", "credits; /account/usage for the last tasks"),
]
LIST_MOST, USAGE_MOST, PRESIGNED_S = 100, 200, 1800
FORMATS = ("png", "jpg", "jpeg", "webp", "glb", "gltf", "fbx", "obj", "stl")


def fine(data: Mapping[str, Any]) -> Reply:
    return _envelope({"code": 0, "status": "success", "data": data}, 200)


def _wrong(code: int, message: str, status: int, headers: Mapping[str, str] | None = None) -> Reply:
    body = {"code": code, "status": "error", "message": message, "suggestion": "See the documents"}
    return _envelope({**body, "request_id": uuid.uuid4().hex}, status, headers)


def _envelope(body: Mapping[str, Any], status: int, headers: Mapping[str, str] | None = None) -> Reply:
    trace = {"x-tripo-trace-id": str(uuid.uuid4())}
    return Reply(status, json.dumps(body).encode(), headers={**trace, **(headers or {})})


async def answer(request: Request, desk: Desk) -> Reply:
    path = request.path.removeprefix(PREFIX + "/")
    if path.startswith("storage/"):
        return _put(request, desk, path.removeprefix("storage/"))
    if request.headers.get("authorization") != f"Bearer {KEY}":
        return _wrong(2, "Authentication failed", 401)
    try:
        return await _route(request, desk, path.removeprefix("v3/"))
    except Wrong as wrong:
        waits = {"retry-after": "1"} if wrong.status == 429 else {}
        return _wrong(wrong.code, wrong.message, wrong.status, waits)


async def _route(request: Request, desk: Desk, path: str) -> Reply:
    match request.method, path.split("/"):
        case "POST", _ if path in ROUTES:
            return await _create(request, desk, path)
        case "POST", ["tasks", "list"]:
            return await _list(request, desk)
        case "GET", ["tasks", task_id]:
            return await _question(request, desk, task_id)
        case "POST", ["files"]:
            return _upload(request, desk)
        case "POST", ["files", "presign"]:
            return _presign(request, desk)
        case "GET", ["account", "balance"]:
            return fine(tasks.balance(desk))
        case "GET", ["account", "usage"]:
            return _usage(request, desk)
    if path in (*ROUTES, "files", "files/presign", "tasks/list"):
        return _wrong(1003, "The method is not allowed", 400)
    return _wrong(4001, "Route not found", 404)


# --- Creating ------------------------------------------------------------------------------------


async def _create(request: Request, desk: Desk, path: str) -> Reply:
    body = _json(request)
    prompt = str(body.get("prompt") or (body.get("texture_prompt") or {}).get("text") or "")
    operation = "import" if path == "models/import" else "submit"
    seen = desk.see(NAME, operation, request, prompt=prompt, fields=body)
    fault = desk.strike(seen)
    reply = _refusal(fault) if fault else None
    if reply is None:
        reply = _begin(desk, seen, path, body, fault)
    seen.status = reply.status
    return reply


def _begin(desk: Desk, seen: Seen, path: str, body: dict[str, Any], fault: Fault | None) -> Reply:
    route = ROUTES[path]
    try:
        check(route, body)
        task = tasks.begin(desk, route, body, fault)
    except Wrong as wrong:
        seen.status = wrong.status
        raise
    seen.job = task.id
    hooks.follow(desk, task, fault)
    reply = fine({"task_id": task.id, "type": route.type, "status": "queued"})
    return spoil(reply, fault) if fault else reply


def _json(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Wrong(1003, "The content type must be application/json")
    try:
        body = request.json()
    except ValueError:
        raise Wrong(1003, "The body is malformed") from None
    if not isinstance(body, dict):
        raise Wrong(1003, "The body is malformed")
    return body


# --- Asking --------------------------------------------------------------------------------------


async def _question(request: Request, desk: Desk, task_id: str) -> Reply:
    job = desk.jobs.get(task_id)
    task = job if isinstance(job, tasks.Task) else None
    seen = desk.see(NAME, "status", request, prompt=task.prompt if task else "", job=task_id)
    fault = desk.strike(seen)
    if task and not fault and task.status() in tasks.ENDS and task.route.type != "import_model":
        seen.operation = "result"
        fault = desk.strike(seen)
    if fault and fault.name == "vanished":
        desk.jobs.pop(task_id, None)
    reply = _refusal(fault) if fault and fault.name != "filtered" else None
    if reply is None and task_id not in desk.jobs:
        reply = _wrong(2001, "Task not found", 404)
    if reply is None and task:
        reply = fine(await tasks.show(request, desk, task, fault))
        reply = spoil(reply, fault) if fault else reply
    assert reply
    seen.status = reply.status
    return reply


async def _list(request: Request, desk: Desk) -> Reply:
    wanted = _json(request).get("task_ids")
    if not isinstance(wanted, list) or not 1 <= len(wanted) <= LIST_MOST:
        raise Wrong(1004, f"task_ids must hold 1 to {LIST_MOST} ids")
    found = {task.id: await tasks.show(request, desk, task) for task in tasks.tasks(desk) if task.id in wanted}
    return fine({"tasks": found, "missed": [task_id for task_id in wanted if task_id not in found]})


def _usage(request: Request, desk: Desk) -> Reply:
    try:
        limit, offset = int(request.query.get("limit", 50)), int(request.query.get("offset", 0))
    except ValueError:
        raise Wrong(1004, "limit and offset are numbers") from None
    if not 1 <= limit <= USAGE_MOST or offset < 0:
        raise Wrong(1004, f"limit must lie between 1 and {USAGE_MOST}")
    last = tasks.tasks(desk)[::-1][offset : offset + limit]
    rows = [
        {
            "task_id": task.id,
            "type": task.route.type,
            "status": task.status(),
            "credits_consumed": task.credits if task.status() == "success" else 0.0,
            "created_at": task.created_at.isoformat(),
        }
        for task in last
    ]
    return fine({"items": rows})


# --- Files ---------------------------------------------------------------------------------------


def _upload(request: Request, desk: Desk) -> Reply:
    seen = desk.see(NAME, "upload", request)
    fault = desk.strike(seen)
    reply = _refusal(fault) if fault else None
    if reply is None:
        reply = _keep_upload(request, desk, seen)
        reply = spoil(reply, fault) if fault else reply
    seen.status = reply.status
    return reply


def _keep_upload(request: Request, desk: Desk, seen: Seen) -> Reply:
    try:
        found = [part for part in request.parts() if part.name == "file" and part.filename]
    except ValueError:
        found = []
    if len(found) != 1:
        return _wrong(1003, "One part named file is expected", 400)
    [part] = found
    seen.files = [{"role": part.filename, "size_bytes": len(part.body), "content_type": part.content_type}]
    token = tasks.new_token()
    try:
        tasks.take_file(desk, token, part.body)
    except Wrong as wrong:
        return _wrong(wrong.code, wrong.message, wrong.status)
    return fine({"file_token": token})


def _presign(request: Request, desk: Desk) -> Reply:
    wanted = str(_json(request).get("format"))
    if wanted not in FORMATS:
        raise Wrong(2004, "The file type is not supported")
    token = tasks.new_token()
    tasks.memory(desk).awaited[token] = wanted
    url = f"http://{request.headers.get('host')}{PREFIX}/storage/{token}"
    return fine({"file_token": token, "presigned_url": url, "expires_in": PRESIGNED_S})


def _put(request: Request, desk: Desk, token: str) -> Reply:
    """The vendor's storage: a signed address takes one file, and nobody's key."""
    seen = desk.see(NAME, "put", request)
    if request.method != "PUT" or seen.authorized or tasks.memory(desk).awaited.pop(token, None) is None:
        seen.status = 403
        return Reply(403, b"<Error><Code>AccessDenied</Code></Error>", "application/xml")
    try:
        tasks.take_file(desk, token, request.body)
    except Wrong as wrong:
        seen.status = wrong.status
        return Reply(wrong.status, b"<Error><Code>InvalidRequest</Code></Error>", "application/xml")
    seen.status = 200
    return Reply(200)


# --- Faults --------------------------------------------------------------------------------------


def _refusal(fault: Fault) -> Reply | None:
    match fault.name:
        case "rate-limit":
            code = int(fault.params.get("code", 2000))
            return _wrong(code, "You have exceeded the limit", 429, retry_headers(fault))
        case "500":
            return _wrong(1000, "Unknown error", 500)
        case "502" | "504":
            return Reply(int(fault.name), HTML, "text/html")
        case "503" | "loading":
            return _wrong(1001, "The service is overloaded", 503, retry_headers(fault))
        case "unauthorized":
            return _wrong(2, "Authentication failed", 401)
        case "forbidden":
            return _wrong(1005, "Permission denied", 403)
        case "no-credit" | "insufficient_quota" | "credit_balance_exhausted" | "billing_hard_limit":
            return _wrong(2010, "You don't have enough credit", 403)
        case "model-gone":
            status = int(fault.params.get("status", 400))
            return _wrong({404: 2016, 410: 2015}.get(status, 2017), "The version is not available", status)
        case "bad-input":
            return _wrong(
                int(fault.params.get("code", 1004)), "Invalid parameter", int(fault.params.get("status", 400))
            )
        case "filtered":
            return _wrong(2008, "The content violates our policy", 400)
    return None
