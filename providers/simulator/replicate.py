"""Replicate as the simulator speaks it: predictions by name and by version, cancel, models, uploads, webhooks."""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import Any

from providers.simulator import replicate_hooks as hooks
from providers.simulator import replicate_runs as runs
from providers.simulator.desk import Desk, Seen
from providers.simulator.faults import HTML, Fault, retry_headers, spoil
from providers.simulator.replicate_models import MODELS, NAME_OF_VERSION, Invalid, faults_of, version_of
from providers.simulator.replicate_runs import Run
from providers.simulator.wire import Reply, Request, json_reply

NAME, KEY = "replicate", "r8_simulator"
PREFIX = "/replicate/v1"
SPEAKS = [
    ("POST", "/replicate/v1/models/{owner}/{name}/predictions", "run an official model"),
    ("POST", "/replicate/v1/predictions", "run any model by its version"),
    ("GET", "/replicate/v1/predictions/{id}", "how far it is, and its result"),
    ("POST", "/replicate/v1/predictions/{id}/cancel", "stop it"),
    ("GET", "/replicate/v1/predictions", "the last ones"),
    ("GET", "/replicate/v1/models/{owner}/{name}", "a model and its input schema; /versions, /versions/{id}"),
    ("POST", "/replicate/v1/files", "upload a picture; GET, DELETE /files/{id}"),
    ("GET", "/replicate/v1/webhooks/default/secret", "what webhooks are signed with"),
]
EVENTS = ("start", "output", "logs", "completed")
BODY: dict[str, dict[str, Any]] = {
    "input": {"type": "object"},
    "webhook": {"type": "string"},
    "webhook_events_filter": {"type": "array"},
    "stream": {"type": "boolean"},
}
_PREFER = re.compile(r"wait(?:=([1-9][0-9]?))?")
_DURATION = re.compile(r"(\d+)(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def problem(status: int, title: str, detail: str, **more: Any) -> Reply:
    return json_reply({"title": title, "detail": detail, "status": status, **more}, status)


def _invalid(found: list[Invalid]) -> Reply:
    fields = [{"type": one.kind, "field": one.place, "description": one.text} for one in found]
    detail = "".join(f"- {one.place}: {one.text}\n" for one in found)
    return problem(422, "Input validation failed", detail, invalid_fields=fields)


def _missing() -> Reply:
    return problem(404, "Not found", "The requested resource could not be found.")


async def answer(request: Request, desk: Desk) -> Reply:
    if request.headers.get("authorization") != f"Bearer {KEY}":
        return problem(401, "Unauthenticated", "You did not pass an authentication token")
    parts = request.path.removeprefix(PREFIX + "/").split("/")
    match request.method, parts:
        case "POST", ["predictions"]:
            return await _create(request, desk, "")
        case "POST", ["models", owner, name, "predictions"]:
            return await _create(request, desk, f"{owner}/{name}")
        case "GET", ["predictions"]:
            found = [run for run in desk.jobs.values() if isinstance(run, Run)][:-101:-1]
            results = [await runs.show(request, desk, run, None) for run in found]
            return json_reply({"next": None, "previous": None, "results": results})
        case "GET", ["predictions", id_]:
            return await _question(request, desk, id_)
        case "POST", ["predictions", id_, "cancel"]:
            return await _question(request, desk, id_, cancel=True)
        case "GET", ["models", owner, name, *rest]:
            return _model(f"{owner}/{name}", rest)
        case "GET", ["webhooks", "default", "secret"]:
            return json_reply({"key": hooks.SECRET})
        case "POST", ["files"]:
            return _upload(request, desk)
        case "GET" | "DELETE", ["files", *rest]:
            return _uploaded(request, desk, rest)
    return _missing()


# --- Creating ------------------------------------------------------------------------------------


async def _create(request: Request, desk: Desk, name: str) -> Reply:
    """`name` is empty for the form that takes a version."""
    body = request.json_object()
    given = body.get("input")
    given = given if isinstance(given, dict) else {}
    seen = desk.see(NAME, "submit", request, prompt=str(given.get("prompt") or given.get("mask_prompt") or ""))
    seen.fields = {**body, "input": {key: _short(value) for key, value in given.items()}}
    fault = desk.strike(seen)
    reply = _refusal(fault) if fault else None
    reply = reply or await _run(request, desk, seen, name, body, fault)
    seen.status = reply.status
    return reply


async def _run(request: Request, desk: Desk, seen: Seen, name: str, body: dict[str, Any], fault: Fault | None) -> Reply:
    version = str(body.get("version") or "")
    by_name = {} if name else {"version": {"type": "string"}}
    needed = ("input",) if name else ("version", "input")
    if found := faults_of({**BODY, **by_name}, needed, body, "(root)"):
        return _invalid(found)
    if name and not (name in MODELS and MODELS[name].is_official):
        return _missing()  # a community model has no such path either
    name = name or _name_of(version)
    if not name:
        text = "The specified version does not exist (or perhaps you don't have permission to use it?)"
        return problem(422, "Invalid version or not permitted", text)
    model = MODELS[name]
    if found := faults_of(model.fields, model.required, body["input"], "input"):
        return _invalid(found)
    if found := _hook_faults(body):
        return _invalid(found)
    prefer, cancel_after = request.headers.get("prefer"), request.headers.get("cancel-after")
    wanted = _PREFER.fullmatch(prefer or "wait")
    ends = _DURATION.fullmatch(cancel_after or "0s")
    if not wanted or not ends:
        return problem(400, "Bad request", "A header is not as it should be.")
    run = await runs.begin(request, desk, name, body, fault)
    run.ends_s = int(ends[1]) * _SECONDS[ends[2]] if cancel_after else None
    seen.job = run.id
    hooks.follow(request, desk, run, body, fault)
    if prefer:
        await asyncio.sleep(max(0.0, min(run.seconds, float(wanted[1] or 60))))
    run.is_new = not prefer
    reply = json_reply(await runs.show(request, desk, run, None), 201)
    run.is_new = False
    return spoil(reply, fault) if fault else reply


def _name_of(version: str) -> str:
    """The model of a version's id, of `owner/name:id`, or of an official `owner/name`; "" for any other."""
    if version in MODELS:
        return version if MODELS[version].is_official else ""
    owner_and_name, _, id_ = version.rpartition(":")
    found = NAME_OF_VERSION.get(id_, "")
    return found if owner_and_name in ("", found) else ""


def _hook_faults(body: dict[str, Any]) -> list[Invalid]:
    found = []
    if "webhook" in body and not body["webhook"].startswith("https://"):
        found.append(Invalid("format", "webhook", "Must be a valid HTTPS URL"))
    for event in body.get("webhook_events_filter") or ():
        if event not in EVENTS:
            choices = ", ".join(f'"{one}"' for one in EVENTS)
            found.append(Invalid("enum", "webhook_events_filter", f"must be one of the following: {choices}"))
    return found


# --- Asking --------------------------------------------------------------------------------------


async def _question(request: Request, desk: Desk, id_: str, cancel: bool = False) -> Reply:
    job = desk.jobs.get(id_)
    run = job if isinstance(job, Run) else None
    seen = desk.see(NAME, "cancel" if cancel else "status", request, prompt=run.prompt if run else "", job=id_)
    fault = desk.strike(seen)
    if run and not fault and not cancel and run.status() == "succeeded":
        seen.operation = "result"
        fault = desk.strike(seen)
    if fault and fault.name == "vanished":
        run = None
        desk.jobs.pop(id_, None)
    reply = _refusal(fault) if fault else None
    if reply is None and run is None:
        reply = _missing()
    if reply is None and run:
        if cancel:
            run.cancel()
        reply = json_reply(await runs.show(request, desk, run, fault))
        reply = spoil(reply, fault) if fault else reply
    assert reply
    seen.status = reply.status
    return reply


def _model(name: str, rest: list[str]) -> Reply:
    if name not in MODELS:
        return _missing()
    version = {
        "id": version_of(name),
        "created_at": "2026-01-15T10:00:00.000Z",
        "cog_version": "0.16.0",
        "openapi_schema": MODELS[name].schema(),
    }
    match rest:
        case ["versions"]:
            return json_reply({"next": None, "previous": None, "results": [version]})
        case ["versions", id_]:
            return json_reply({**version, "id": id_}) if NAME_OF_VERSION.get(id_) == name else _missing()
        case []:
            owner, _, short = name.partition("/")
            about = {"owner": owner, "name": short, "url": f"https://replicate.com/{name}", "visibility": "public"}
            empty = dict.fromkeys(("github_url", "paper_url", "license_url", "cover_image_url", "default_example"))
            told = {"description": "A model of the simulator", "run_count": 0, "latest_version": version}
            return json_reply({**about, **empty, **told})
    return _missing()


# --- Uploads -------------------------------------------------------------------------------------


def _upload(request: Request, desk: Desk) -> Reply:
    seen = desk.see(NAME, "upload", request)
    fault = desk.strike(seen)
    if fault and (refused := _refusal(fault)):
        seen.status = refused.status
        return refused
    try:
        parts = {part.name: part for part in request.parts()}
    except ValueError:
        parts = {}
    if "content" not in parts or parts["content"].filename is None:
        seen.status = 400
        return problem(400, "Bad request", "Missing content")
    part = parts["content"]
    id_ = secrets.token_hex(16)
    about = {
        "id": id_,
        "name": part.filename,
        "content_type": part.content_type,
        "size": len(part.body),
        "etag": secrets.token_hex(16),
        "checksums": {},
        "metadata": {},
        "created_at": "2026-11-21T10:00:00.000Z",
        "expires_at": "2026-11-22T10:00:00.000Z",
        "urls": {"get": f"http://{request.headers.get('host')}{PREFIX}/files/{id_}"},
    }
    runs.uploads(desk)[id_] = about, part.body
    seen.files = [{"role": "content", "size_bytes": len(part.body), "content_type": part.content_type}]
    seen.status = 201
    reply = json_reply(about, 201)
    return spoil(reply, fault) if fault else reply


def _uploaded(request: Request, desk: Desk, rest: list[str]) -> Reply:
    kept = runs.uploads(desk)
    match request.method, rest:
        case "GET", []:
            return json_reply({"next": None, "previous": None, "results": [about for about, _ in kept.values()]})
        case "GET", [id_] if id_ in kept:
            return json_reply(kept[id_][0])
        case "DELETE", [id_] if kept.pop(id_, None):
            return Reply(204)
    return _missing()


# --- Bodies --------------------------------------------------------------------------------------


def _short(value: Any) -> Any:
    """A value for the call log: of a data URL its start and its length."""
    if isinstance(value, str) and value.startswith("data:"):
        return f"{value[:30]}… {len(value)} characters"
    return value


def _refusal(fault: Fault) -> Reply | None:
    params = fault.params
    match fault.name:
        case "rate-limit":
            text = str(params.get("message") or "Request was throttled. Your rate limit resets in ~30s.")
            return json_reply({"detail": text}, 429, retry_headers(fault))
        case "500":
            return problem(500, "Internal server error", "Something went wrong.")
        case "502" | "504":
            return Reply(int(fault.name), HTML, "text/html")
        case "503":
            reply = problem(503, "Service unavailable", "Please try again.")
            reply.headers |= retry_headers(fault)
            return reply
        case "unauthorized":
            return problem(401, "Unauthenticated", "You did not pass a valid authentication token")
        case "no-credit" | "insufficient_quota" | "credit_balance_exhausted" | "billing_hard_limit":
            text = "You have insufficient credit to run this model. Buy credit, then wait a few minutes and try again."
            return problem(402, "Insufficient credit", text)
        case "forbidden":
            return problem(403, "Forbidden", "You do not have permission to perform this action.")
        case "model-gone" if params.get("status") == 422:
            return problem(422, "Invalid version or not permitted", "The specified version does not exist.")
        case "model-gone":
            return problem(int(params.get("status", 404)), "Not found", "The requested resource could not be found.")
        case "bad-input" if params.get("status") == 400:
            return problem(400, "Bad request", "The request could not be read.")
        case "bad-input":
            return _invalid([Invalid("number_lte", "input.num_outputs", "Must be less than or equal to 4")])
    return None
