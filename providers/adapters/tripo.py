"""Tripo: models from words, from one picture or from up to four views, and new textures. Everything parks.

    run     pictures or a model up -> create a task -> parked by its id
    poll    queued, running -> parked on; success -> download model and preview; anything else -> an error

Refining a model is a new texture on it: of an earlier task of our own, or of a file that is imported first. The
import is a task of its own and free; parked as "import <id>" it is Ready when it is done, and the texture follows.
Protocol: version 3, by the vendor's client `tripo3d` 1.0.0. It has no cancel and no idempotency key.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from providers import errors, sniff
from providers.adapters import tripo_answers as answers
from providers.adapters import tripo_inputs as inputs
from providers.base import Call, Made, MadeFile, Pending, Provider, Ready
from providers.errors import ProviderError
from providers.limits import Limits
from providers.secrets import redact
from providers.transport import Answer, Outgoing, retry_after_s
from providers.wire import Deadline

log = logging.getLogger(__name__)

IMPORT = "import"
# Of a call's time, what its uploads may take; the rest is for the call that is paid for.
UPLOAD_SHARE = 0.75
# A model is not kept waiting for its picture.
PREVIEW_S = 10.0


class Tripo(Provider):
    name = "tripo"
    chapter = "TRIPO"
    simulated_path = "/tripo/v3"
    operations = {
        "image-to-model": "image_to_model",
        "multiview-to-model": "multiview_to_model",
        "refine-model": "refine_model",
        "text-to-model": "text_to_model",
    }

    # --- Making ----------------------------------------------------------------------------------

    def text_to_model(self, call: Call) -> Outgoing:
        return self._paid("generation/text-to-model", self._fields(call))

    def image_to_model(self, call: Call) -> Outgoing:
        fields, images = self._fields(call), call.inputs.get("images")
        if not images or not images[0]:
            raise errors.Refused("A picture is needed.")
        token = self._upload(inputs.picture_part(images[0], "front"), self._time_to_upload(call))
        return self._paid("generation/image-to-model", {"input": token, **fields})

    def multiview_to_model(self, call: Call) -> Outgoing:
        fields, views, deadline = self._fields(call), inputs.views(call), self._time_to_upload(call)
        parts = [view and inputs.picture_part(view, name) for name, view in zip(inputs.VIEWS, views, strict=True)]
        tokens = [part and self._upload(part, deadline) for part in parts]
        return self._paid("generation/multiview-to-model", {"inputs": tokens, **fields})

    def refine_model(self, call: Call) -> Outgoing:
        """A new texture on an imported model, or on what an earlier task of ours made and the vendor still has."""
        fields, deadline = self._fields(call), self._time_to_upload(call)
        source = call.resumes.rpartition(" ")[2] or self._draft(call, deadline)
        if source:
            return self._paid("models/texture", {"input": source, **fields})
        model = call.inputs.get("model")
        if not model:
            raise errors.Refused("A model is needed.")
        token = self._upload(inputs.model_part(model), deadline)
        # Repeatable: an import is free, so one that nobody waits for costs nothing.
        return Outgoing("POST", self.url("models/import"), self.headers(), json={"input": token}, repeatable=True)

    def estimate(self, operation: str, model: str) -> Decimal:
        return Decimal(self.conf["CREDITS"][operation]) * Decimal(self.conf["CREDIT_USD"])

    def limits(self, operation: str, model: str) -> Limits:
        return inputs.PICTURES

    def read(self, answer: Answer, call: Call, deadline: Deadline) -> Made | Pending:
        task_id = answers.task_id(answers.data_of(answer).get("task_id"))
        if not task_id:
            raise errors.AnswerLost(code="SERVICE_UNAVAILABLE", detail="accepted, but the reply names no usable task")
        is_import = answer.url.endswith("/models/import")
        return Pending(f"{IMPORT} {task_id}" if is_import else task_id, self.conf["POLL_S"])

    def _fields(self, call: Call) -> dict[str, Any]:
        return inputs.fields(call, self._version(call), sends_style=self.conf["SENDS_STYLE"])

    def _version(self, call: Call) -> str:
        """The vendor's id of the model: the customer's choice while it is offered, else the one that settings name."""
        is_texture = call.operation == "refine-model"
        wanted = call.inputs.get("model_version")
        if wanted in self.conf["TEXTURE_VERSIONS" if is_texture else "VERSIONS"]:
            return str(wanted)
        found = self.conf["TEXTURE_MODELS"].get(call.model) if is_texture else self.model_id(call.model)
        if not found:
            raise errors.ModelGone(detail=f"no texture model is set for the key {call.model}")
        return str(found)

    def _paid(self, path: str, payload: dict[str, Any]) -> Outgoing:
        return Outgoing("POST", self.url(path), self.headers(), json=payload)

    # --- Files and tasks that a call needs first --------------------------------------------------

    def _time_to_upload(self, call: Call) -> Deadline:
        """A deadline of its own, because what went out before the paid call says nothing about that."""
        return Deadline(min(call.deadline_s, self.conf["TIMEOUT_S"]) * UPLOAD_SHARE)

    def _upload(self, part: tuple[str, bytes, str], deadline: Deadline) -> str:
        """Send a file; returns the token that stands for it. Harmless to repeat, so a lost answer is no loss."""
        outgoing = Outgoing("POST", self.url("files"), self.headers(), files=(("file", part),), repeatable=True)
        try:
            token = answers.data_of(self.send(outgoing, deadline)).get("file_token")
        except ProviderError as error:
            error.ask_again = None  # nothing is at the vendor yet to be asked about
            raise
        if not isinstance(token, str) or not token:
            raise errors.BadAnswer(detail="an upload was answered without a token")
        return token

    def _draft(self, call: Call, deadline: Deadline) -> str:
        """The earlier task that made the model, if the vendor still has it; else the model itself is imported."""
        task_id = answers.task_id(str(call.inputs.get("draft_remote_id") or "").rpartition(" ")[2])
        try:
            return task_id if task_id and self._ask(task_id, deadline).get("status") == "success" else ""
        except errors.AnswerLost:
            return ""
        except ProviderError as error:
            error.ask_again = None
            raise

    # --- Asking ----------------------------------------------------------------------------------

    def poll(self, remote_id: str, call: Call) -> Made | Pending | Ready:
        stage, _, task_id = remote_id.rpartition(" ")
        deadline = Deadline(min(call.deadline_s, self.conf["TIMEOUT_S"]))
        task = self._ask(task_id, deadline)
        match str(task.get("status")).lower():
            case "success":
                return Ready(remote_id) if stage == IMPORT else self._collect(task, task_id, call, deadline)
            case "failed" | "cancelled" | "banned" | "expired" as end:
                raise answers.failure(end, task)
            case "queued" | "running":
                pass
            case strange:  # perhaps a new word for being at it; our own deadline ends it
                log.warning("a task in a state that is not known", extra={"state": redact(strange, 40)})
        # An import's percents are none of the model's: the bar would fall back when the texture begins.
        return Pending(remote_id, self.conf["POLL_S"], None if stage == IMPORT else answers.progress(task))

    def _ask(self, task_id: str, deadline: Deadline) -> dict[str, Any]:
        """One question about a task. A task that the vendor no longer knows is an answer lost."""
        try:
            question = Outgoing("GET", self.url(f"tasks/{task_id}"), self.headers(), repeatable=True)
            return answers.data_of(self.send(question, deadline))
        except (errors.Refused, errors.ModelGone) as error:
            raise errors.AnswerLost(http_status=error.http_status, detail=f"vanished: {error.detail}") from error
        except errors.BadAnswer as error:
            error.ask_again = True  # an error page in front of the vendor says nothing about the task
            raise

    def _collect(self, task: Mapping[str, Any], task_id: str, call: Call, deadline: Deadline) -> Made:
        """Fetch the model and its picture. Links live for minutes: a dead one is replaced by asking again, once."""
        try:
            model = self._model(task, deadline)
        except errors.AnswerLost:
            task = self._ask(task_id, deadline)
            model = self._model(task, deadline)
        version = self._version(call)
        return Made(
            files=(model, *self._preview(task, deadline)),
            cost_usd=self._cost(task, call),
            model=call.model,
            seed=call.inputs.get("seed") or None,
            extra={"ignored": inputs.ignored(call, version, sends_style=self.conf["SENDS_STYLE"])},
        )

    def _model(self, task: Mapping[str, Any], deadline: Deadline) -> MadeFile:
        spool, look = self.download(answers.model_link(task), deadline, self.conf["MODEL_BYTES"])
        return self.file(spool, look, (inputs.GLB,))

    def _preview(self, task: Mapping[str, Any], deadline: Deadline) -> tuple[MadeFile, ...]:
        """The vendor's picture of the model. Without one the model is as good."""
        link = answers.preview_link(task)
        if not link:
            return ()
        try:
            spool, look = self.download(link, Deadline(min(PREVIEW_S, deadline.left_s())))
            return (replace(self.file(spool, look, sniff.PICTURES), role="preview"),)
        except ProviderError as error:
            log.info("a model without its preview", extra={"error": redact(error.detail, 200)})
            return ()

    def _cost(self, task: Mapping[str, Any], call: Call) -> Decimal:
        credits = answers.credits(task)
        if credits is None:
            return self.estimate(call.operation, call.model)
        return credits * Decimal(self.conf["CREDIT_USD"])

    # --- Errors ----------------------------------------------------------------------------------

    def complain(
        self, status: int, headers: Mapping[str, str], body: Mapping[str, Any], detail: str
    ) -> ProviderError | None:
        kind = answers.error_of(body.get("code"))
        return kind(http_status=status, retry_after_s=retry_after_s(headers), detail=detail) if kind else None

    # --- Webhooks --------------------------------------------------------------------------------

    def verify_webhook(self, headers: Mapping[str, str], body: bytes) -> str | None:
        signature = headers.get("Tripo-Webhook-Signature") or ""
        return answers.task_of(body) if answers.signed_by(self.webhook_secret(), signature, body) else None
