"""Stability v2beta: pictures made, steered and edited, and models from pictures; one form per call, the file back.

Only replacing a background parks: its start answers with an id, asked about once in ten seconds at most. There
is no idempotency, cancel or webhook, so a lost answer is lost. A picture that the output filter blurred comes
with a 200 and says so in a header only. What each endpoint takes stands in `stability_endpoints`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from providers import errors, numbers, sniff, windows
from providers.adapters.stability_endpoints import ENDPOINTS, Endpoint
from providers.base import Call, Made, Pending, Provider
from providers.errors import ProviderError
from providers.limits import Limits
from providers.transport import Answer, Outgoing, retry_after_s
from providers.wire import Deadline

PARKS = "replace-background"
MODELS = ("model/gltf-binary",)
BLOCKED_S = 60.0  # whoever breaks the window is shut out so long, and told so in words only

_ID = re.compile(r"[\w-]{8,200}")
# What stands in an answer that says no, whatever its status.
_COMPLAINTS = {"error", "errors", "name"}
_FILTERED = ("content_moderation", "public_figure")


class Stability(Provider):
    name = "stability"
    chapter = "STABILITY"
    simulated_path = "/stability/v2beta"
    operations = {**dict.fromkeys(ENDPOINTS, "make_picture"), PARKS: "park_picture", "image-to-model": "make_model"}

    # --- Making ----------------------------------------------------------------------------------

    def make_picture(self, call: Call) -> Outgoing:
        return self._form(call, accept="image/*")  # base64 in JSON would be a third longer, and decoded again

    def park_picture(self, call: Call) -> Outgoing:
        return self._form(call, accept="image/*")

    def make_model(self, call: Call) -> Outgoing:
        return self._form(call, accept="*/*")

    def _form(self, call: Call, *, accept: str) -> Outgoing:
        endpoint = _endpoint(call)
        try:
            fields, files = endpoint.form(call.inputs)
        except ValueError as fault:
            raise errors.Refused(str(fault)) from fault
        model = self._model(endpoint, call)
        if model and "{model}" not in endpoint.path:
            fields["model"] = model
        headers = {**self.headers(), "Accept": accept}
        return Outgoing("POST", self.url(endpoint.path.format(model=model)), headers, fields=fields, files=files)

    def read(self, answer: Answer, call: Call, deadline: Deadline) -> Made | Pending:
        if call.operation != PARKS:
            return self._made(answer, call)
        started = answer.json()
        if not isinstance(started, dict) or started.keys() & _COMPLAINTS:
            raise errors.BadAnswer(http_status=answer.status, detail=f"no start in the answer: {str(started)[:200]}")
        remote_id = started.get("id")
        if not isinstance(remote_id, str) or not _ID.fullmatch(remote_id):
            detail = f"accepted, but the answer names no usable id: {str(started)[:200]}"
            raise errors.AnswerLost(code="SERVICE_UNAVAILABLE", http_status=answer.status, detail=detail)
        return Pending(remote_id, self.conf["POLL_S"])

    def _made(self, answer: Answer, call: Call) -> Made:
        verdict, seed = (answer.headers.get(name) or "" for name in ("finish-reason", "seed"))
        if verdict not in ("", "SUCCESS"):
            answer.spool.close()
            raise errors.ContentRejected(http_status=answer.status, detail=f"finish-reason: {verdict[:60]}")
        if call.operation == "image-to-model":
            look = sniff.look(answer.spool.file, answer.spool.size_bytes)
            file = self.file(answer.spool, look, MODELS)
        else:
            file = self.picture(answer.spool)
        endpoint = _endpoint(call)
        return Made(
            files=(file,),
            cost_usd=self._cost(endpoint.price or self._model(endpoint, call)),
            model=call.model,
            seed=numbers.seed(seed),
            extra={"ignored": endpoint.ignored(call.inputs)},
        )

    def _model(self, endpoint: Endpoint, call: Call) -> str:
        """The vendor's id of the model key, for endpoints that name a model. Raises ModelGone."""
        if not endpoint.ids:
            return ""
        found = self.conf[endpoint.ids].get(call.model)
        if not found:
            raise errors.ModelGone(detail=f"{endpoint.ids} of {self.name} names no {call.model}")
        return str(found)

    def _cost(self, price: str) -> Decimal:
        credits = self.conf["CREDITS"]
        return Decimal(credits.get(price, credits["other"])) * Decimal(self.conf["CREDIT_USD"])

    def estimate(self, operation: str, model: str) -> Decimal:
        endpoint = ENDPOINTS.get(operation, {}).get(model)
        return self._cost(endpoint.price or self.conf[endpoint.ids].get(model, "")) if endpoint else Decimal(0)

    def limits(self, operation: str, model: str) -> Limits | None:
        endpoint = ENDPOINTS.get(operation, {}).get(model)
        return endpoint.pictures[0].limits if endpoint and endpoint.pictures else None

    # --- Asking ----------------------------------------------------------------------------------

    def poll(self, remote_id: str, call: Call) -> Made | Pending:
        """202 while it is at it, then the file. It is kept for a day, so what broke on the way is asked again."""
        pace_s = float(self.conf["POLL_S"])
        try:
            answer = self._ask(remote_id, Deadline(min(call.deadline_s, self.conf["TIMEOUT_S"])))
        except errors.ModelGone as error:
            raise errors.AnswerLost(http_status=error.http_status, detail=f"vanished: {error.detail}") from error
        except ProviderError as error:
            if error.ask_again:
                error.retry_after_s = max(error.retry_after_s or 0.0, pace_s)
            raise
        if answer.status == 202:
            answer.spool.close()
            return Pending(remote_id, pace_s)
        return self._made(answer, call)

    def _ask(self, remote_id: str, deadline: Deadline) -> Answer:
        """One question. It counts against the vendor's window like any other call."""
        try:
            windows.take(self.name, *self._windows())
        except errors.RateLimited as full:
            full.ask_again = True
            raise
        headers = {**self.headers(), "Accept": "*/*"}
        answer = self.send(Outgoing("GET", self.url(f"results/{remote_id}"), headers, repeatable=True), deadline)
        if answer.status == 200 and not (answer.headers.get("content-type") or "").startswith("image/"):
            answer.spool.close()
            strange = errors.BadAnswer(http_status=200, detail=f"no picture: {answer.headers.get('content-type')}")
            strange.ask_again = True  # an error page in front of the vendor says nothing about the call
            raise strange
        return answer

    # --- Errors ----------------------------------------------------------------------------------

    def complain(
        self, status: int, headers: Mapping[str, str], body: Mapping[str, Any], detail: str
    ) -> ProviderError | None:
        name, faults = str(body.get("name") or ""), body.get("errors")
        if name in _FILTERED:
            return errors.ContentRejected(http_status=status, detail=detail)
        if name == "invalid_language":
            return errors.Refused("The prompt must be in English.", http_status=status, detail=detail)
        if status == 413:
            return errors.Refused("The pictures are too large.", http_status=status, detail=detail)
        if name == "payment_required":
            return errors.OurAccountEmpty(http_status=status, detail=detail)
        if status == 429:
            wait = retry_after_s(headers) or BLOCKED_S
            return errors.RateLimited(http_status=status, retry_after_s=wait, detail=detail)
        if status == 400 and isinstance(faults, list) and any(str(fault).startswith("model:") for fault in faults):
            return errors.ModelGone(http_status=status, detail=detail)
        return None


def _endpoint(call: Call) -> Endpoint:
    found = ENDPOINTS[call.operation].get(call.model)
    if not found:
        raise errors.ModelGone(detail=f"there is no {call.operation} for the key {call.model}")
    return found
