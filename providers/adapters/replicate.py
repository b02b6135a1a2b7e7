"""Replicate: predictions that park. Official models by name, any other by its version; results behind links.

    run     pictures in, if any -> create a prediction -> parked
    poll    starting, processing -> parked on; succeeded -> download; failed, canceled, aborted -> an error

A result is kept for an hour. Which model serves an operation is a setting; what each takes stands in
`replicate_models.py`. Protocol: the `replicate` client 1.0.7 and Replicate's own pages on its HTTP API.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from providers import errors, numbers, shapes, sniff, webhooks
from providers.adapters.replicate_models import MODELS, Model
from providers.base import Call, Made, Pending, Provider
from providers.errors import ProviderError
from providers.spool import Spool
from providers.transport import Answer, Outgoing, clamp_wait, error_for, retry_after_s
from providers.wire import Deadline

# Up to here a picture goes along inside the call; the vendor wants larger ones uploaded first.
INLINE_BYTES = 256 * 1024
MOST_SECONDS = 7 * 24 * 3600  # longer has no call been at work

_ID = re.compile(r"[\w-]{1,100}")
_PERCENT = re.compile(r"(\d{1,3})%\|")
_SEED = re.compile(r"Using seed: (\d+)")
_RESETS = re.compile(r"resets in ~?(\d+(?:\.\d+)?)s")
# What a failed prediction says of itself, in the order in which it is asked.
_FILTERED = ("flagged as sensitive", "e005", "nsfw")
_TOO_BIG = ("e1001", "out of memory")
_OURS = ("e4875",)
_PASSING = ("e1000",)


class Replicate(Provider):
    name = "replicate"
    chapter = "REPLICATE"
    simulated_path = "/replicate/v1"
    operations = {
        "image-inpaint": "prediction",
        "image-to-image": "prediction_from_picture",
        "pose-to-image": "prediction",
        "segment": "prediction",
        "text-to-image": "prediction",
    }
    can_cancel = True

    # --- Making ----------------------------------------------------------------------------------

    def prediction(self, call: Call) -> Outgoing:
        name, version, model = self._model(call)
        pictures = self._pictures(call, model)
        fields = {**model.fields(call.inputs, has_picture=bool(pictures)), **pictures}
        for needed in model.needs:
            if needed not in fields:
                raise errors.Refused(f"{_WANTED.get(needed, 'A picture')} is needed.")
        body: dict[str, Any] = {"input": fields, **({"version": version} if version else {}), **self._hook()}
        path = "predictions" if version else f"models/{name}/predictions"
        ends = self.conf["CANCEL_AFTER_S"]
        headers = {**self.headers(), **({"Cancel-After": f"{ends}s"} if ends else {})}
        return Outgoing("POST", self.url(path), headers, json=body)

    def prediction_from_picture(self, call: Call) -> Outgoing:
        if not call.inputs.get("images"):
            raise errors.Refused("A picture is needed.")
        return self.prediction(call)

    def read(self, answer: Answer, call: Call, deadline: Deadline) -> Made | Pending:
        body = _object(answer)
        if not _ID.fullmatch(str(body["id"])):
            raise errors.AnswerLost(code="SERVICE_UNAVAILABLE", detail="accepted, but the reply names no usable id")
        return self._state(body, call, deadline)

    def _model(self, call: Call) -> tuple[str, str, Model]:
        """Name, version ("" for an official model) and table of what serves this call."""
        ref = str(self.conf["MODELS"].get(call.operation, {}).get(call.model) or "")
        name, _, version = ref.partition(":")
        if name not in MODELS:
            raise errors.ModelGone(detail=f"no model, or none with a table, for {call.operation} {call.model}: {ref!r}")
        return name, version, MODELS[name]

    # --- Pictures in -----------------------------------------------------------------------------

    def _pictures(self, call: Call, model: Model) -> dict[str, str]:
        """The call's pictures as this model takes them: the first one, and the mask in its size."""
        images, mask = call.inputs.get("images") or (), call.inputs.get("mask")
        if not images or "image" not in model.pictures:
            return {}
        look = sniff.look_at(images[0])
        if look.content_type not in sniff.PICTURES:
            raise errors.Refused("A picture must be PNG, JPEG or WebP.")
        found = {model.pictures["image"]: self._sent(images[0], look.content_type, call)}
        if mask and "mask" in model.pictures:
            try:
                found[model.pictures["mask"]] = self._sent(
                    shapes.plain_mask(mask, (look.width, look.height)), "image/png", call
                )
            except ValueError as error:
                raise errors.Refused("The mask is not a usable picture.", detail=str(error)) from error
        return found

    def _sent(self, data: bytes, kind: str, call: Call) -> str:
        """A small picture as a data URL; a larger one is uploaded, which costs nothing, and named by its URL."""
        if len(data) <= INLINE_BYTES:
            return f"data:{kind};base64,{base64.b64encode(data).decode()}"
        part = ("content", (f"input.{kind.removeprefix('image/')}", data, kind))
        outgoing = Outgoing("POST", self.url("files"), self.headers(), files=(part,), repeatable=True)
        try:
            # A third of the call's time at most, so that two of them leave one for the call itself.
            kept = self.send(outgoing, Deadline(min(call.deadline_s, self.conf["TIMEOUT_S"]) / 3)).json()
            return str(kept["urls"]["get"])
        except ProviderError as error:
            error.ask_again = None  # nothing is at the vendor yet to be asked about
            raise
        except (KeyError, TypeError) as error:
            raise errors.BadAnswer(detail="an upload was answered without a URL") from error

    # --- Asking ----------------------------------------------------------------------------------

    def poll(self, remote_id: str, call: Call) -> Made | Pending:
        deadline = Deadline(min(call.deadline_s, self.conf["TIMEOUT_S"]))
        return self._state(self._ask("GET", f"predictions/{remote_id}", deadline), call, deadline)

    def cancel(self, remote_id: str) -> bool:
        """True when the vendor says that it has ended without a result; one that winds down is asked about later."""
        try:
            body = self._ask("POST", f"predictions/{remote_id}/cancel", Deadline(30.0))
        except errors.AnswerLost:  # no longer known
            return False
        return body.get("status") in ("canceled", "aborted")

    def _ask(self, method: str, path: str, deadline: Deadline) -> dict[str, Any]:
        """One question about a parked call. A call that the vendor no longer knows is an answer lost."""
        try:
            return _object(self.send(Outgoing(method, self.url(path), self.headers(), repeatable=True), deadline))
        except errors.ModelGone as error:
            raise errors.AnswerLost(http_status=error.http_status, detail=f"vanished: {error.detail}") from error
        except errors.BadAnswer as error:
            error.ask_again = True  # an error page in front of the vendor says nothing about the call
            raise

    def _state(self, body: Mapping[str, Any], call: Call, deadline: Deadline) -> Made | Pending:
        """An unknown state counts as still at work, until our own deadline."""
        match body["status"]:
            case "succeeded":
                return self._collect(body, call, deadline)
            case "failed":
                raise _failure(str(body.get("error") or ""))
            case "canceled":
                raise errors.ProviderTimeout(detail="canceled at the vendor, by its deadline or by hand")
            case "aborted":
                raise errors.Unavailable(detail="its deadline passed before it was started")
        return Pending(str(body["id"]), self.conf["POLL_S"], _progress(body), self.conf["POLL_SOONEST_S"])

    def _collect(self, body: Mapping[str, Any], call: Call, deadline: Deadline) -> Made:
        name, _, model = self._model(call)
        output = body.get("output")
        if output is None and body.get("data_removed"):
            raise errors.AnswerLost(detail="made, and removed again before it was asked for")
        link = _link(output, *model.result)
        spool = _inline(link) if isinstance(link, str) and link.startswith("data:") else None
        file = self.picture(spool or self.download(link, deadline)[0])
        return Made(
            files=(file,),
            cost_usd=self._cost(name, body.get("metrics")),
            model=call.model,
            seed=_seed(body),
            extra={"ignored": model.ignored(call.inputs)},
        )

    def _cost(self, name: str, metrics: Any) -> Decimal:
        """The list price of a picture, or for a model billed by time its seconds of hardware."""
        if price := self.conf["PICTURE_USD"].get(name):
            return Decimal(price)
        seconds = numbers.amount(metrics.get("predict_time"), MOST_SECONDS) if isinstance(metrics, dict) else None
        rate = Decimal(self.conf["SECOND_USD"].get(name, self.conf["SECOND_USD"][""]))
        return round((seconds or 0) * rate, 6)

    def estimate(self, operation: str, model: str) -> Decimal:
        """Of a model that is billed by time nobody knows."""
        ref = str(self.conf["MODELS"].get(operation, {}).get(model) or "")
        return self._cost(ref.partition(":")[0], None)

    # --- Webhooks --------------------------------------------------------------------------------

    def _hook(self) -> dict[str, Any]:
        """Ask for a webhook at the end, when the vendor can reach us and we can tell its word from a stranger's."""
        address = webhooks.address(self.alias) if self.alias else ""
        if not address.startswith("https://") or not self._signing_key():
            return {}
        return {"webhook": address, "webhook_events_filter": ["completed"]}

    def verify_webhook(self, headers: Mapping[str, str], body: bytes) -> str | None:
        """Svix' scheme: HMAC-SHA256 over id, time and body, as one of several signatures."""
        id_, at, given = (headers.get(f"webhook-{name}") or "" for name in ("id", "timestamp", "signature"))
        key = self._signing_key()
        if not id_ or not key or not webhooks.is_recent(at):
            return None
        wanted = base64.b64encode(hmac.digest(key, f"{id_}.{at}.".encode() + body, "sha256"))
        if not any(hmac.compare_digest(f"v1,{wanted.decode()}".encode(), one.encode()) for one in given.split()):
            return None
        try:
            told = json.loads(body)
        except ValueError:
            return ""
        return str(told.get("id") or "") if isinstance(told, dict) else ""

    def webhook_secret_fault(self) -> str:
        is_set = bool(self.webhook_secret())
        return "is not the vendor's: whsec_ and base64 behind it" if is_set and not self._signing_key() else ""

    def _signing_key(self) -> bytes:
        """The key in the secret; empty without one or where it is none of the vendor's: then nobody is believed."""
        try:
            return base64.b64decode(self.webhook_secret().removeprefix("whsec_"), validate=True)
        except ValueError:
            return b""

    # --- Errors ----------------------------------------------------------------------------------

    def complain(
        self, status: int, headers: Mapping[str, str], body: Mapping[str, Any], detail: str
    ) -> ProviderError | None:
        if status == 422 and "version" in str(body.get("title")).lower():
            return errors.ModelGone(http_status=status, detail=detail)
        if status == 429 and (found := _RESETS.search(str(body.get("detail")))):
            wait = retry_after_s(headers) or clamp_wait(float(found[1]))
            return errors.RateLimited(http_status=status, retry_after_s=wait, detail=detail)
        return error_for(status, headers, detail)


_WANTED = {"prompt": "A prompt", "mask_prompt": "A prompt", "mask": "A mask"}


def _failure(text: str) -> ProviderError:
    """What a prediction failed of. The text goes to staff; an unknown one is worth one more try."""
    said, detail = text.lower(), text[:300]
    if any(word in said for word in _FILTERED):
        return errors.ContentRejected(detail=detail)
    if any(word in said for word in _TOO_BIG):
        return errors.Refused("This input needs more memory than there is.", detail=detail)
    if any(word in said for word in _OURS):
        return errors.Misconfigured(detail=detail)
    if any(word in said for word in _PASSING):
        return errors.Unavailable(detail=detail)
    return errors.BadAnswer("The provider could not make this.", code="SERVICE_UNAVAILABLE", detail=detail)


def _object(answer: Answer) -> dict[str, Any]:
    body = answer.json()
    if not isinstance(body, dict) or not isinstance(body.get("id"), str) or not isinstance(body.get("status"), str):
        raise errors.BadAnswer(http_status=answer.status, detail=f"not a prediction: {str(body)[:200]}")
    return body


def _link(output: Any, name: str, place: int) -> Any:
    """The link in any form of output: text, a list, or an object by name."""
    if isinstance(output, dict):
        output = output.get(name)
    if isinstance(output, list):
        named = [one for one in output if re.search(rf"/{name}\.\w+$", str(one))] if name else []
        output = next(iter(named or output[place:]), None)
    return output


def _inline(link: str) -> Spool:
    """A data URL's bytes; small ones come so."""
    try:
        data = base64.b64decode(link.partition(";base64,")[2], validate=True)
    except binascii.Error as error:
        raise errors.BadAnswer(detail="damaged base64") from error
    spool = Spool(len(data))
    spool.write(data)
    return spool


def _progress(body: Mapping[str, Any]) -> int | None:
    """The last percentage in the run's log."""
    found = _PERCENT.findall(str(body.get("logs") or ""))
    return min(99, int(found[-1])) if found else None


def _seed(body: Mapping[str, Any]) -> int | None:
    """The seed that the run's log names, else the one that was asked for."""
    if found := _SEED.search(str(body.get("logs") or "")):
        return numbers.seed(found[1])
    asked = body.get("input")
    return numbers.seed(asked.get("seed")) if isinstance(asked, dict) else None
