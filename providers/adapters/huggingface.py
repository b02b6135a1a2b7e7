"""Hugging Face's router: FLUX.1-dev text to image, by the route that settings name.

    fal-ai        queue mode: submit parks, status, result, link to a file; a question costs nothing
    hf-inference  one blocking call, picture bytes back

Old hosts of this vendor are closed; the router is the only door. Protocol: huggingface_hub 2.4 and
@huggingface/inference 4.13 (queue), fal's own queue pages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from providers import errors, shapes
from providers.base import Call, Made, Pending, Provider
from providers.errors import ProviderError
from providers.transport import Answer, Outgoing, clamp_wait, retry_after_s
from providers.wire import Deadline

MOST_PIXELS, LONGEST = 2_097_152, 1536
QUEUE = {"_subdomain": "queue"}

_PATH = re.compile(r"/[\w./-]{1,300}")
_PERCENT = re.compile(r"(\d{1,3})%\|")
_POLICY = "content_policy_violation"
# Infrastructure errors of the company behind the router, which it does not bill.
_PASSING = ("request_timeout", "startup_timeout", "runner_")


class HuggingFace(Provider):
    name = "huggingface"
    chapter = "HUGGINGFACE"
    simulated_path = "/huggingface"
    operations = {"text-to-image": "text_to_image"}
    can_cancel = True

    # --- Making ----------------------------------------------------------------------------------

    def text_to_image(self, call: Call) -> Outgoing:
        prompt = str(call.inputs.get("prompt") or "")
        if not prompt:
            raise errors.Refused("A prompt is needed.")
        width, height = shapes.wanted_size(call.inputs, most_pixels=MOST_PIXELS, longest=LONGEST)
        hints = {
            "num_inference_steps": call.inputs.get("steps"),
            "guidance_scale": call.inputs.get("guidance"),
            "seed": call.inputs.get("seed"),
        }
        given = {name: value for name, value in hints.items() if value is not None}
        if self.conf["ROUTE"] == "hf-inference":
            negative = call.inputs.get("negative_prompt")
            sizes = {"width": width, "height": height, **({"negative_prompt": negative} if negative else {})}
            return Outgoing(
                "POST",
                self.url(f"hf-inference/models/{self.model_id(call.model)}"),
                {**self.headers(), "Accept": "image/png"},
                json={"inputs": prompt, "parameters": {**given, **sizes}},
            )
        payload = {
            "prompt": prompt,
            "image_size": {"width": width, "height": height},
            "num_images": 1,
            "output_format": "png",
            **given,
        }
        return Outgoing("POST", self._queue_url("/" + self._fal_path(call.model)), self.headers(), json=payload)

    def read(self, answer: Answer, call: Call, deadline: Deadline) -> Made | Pending:
        if self.conf["ROUTE"] == "hf-inference":
            cost = Decimal(str(round(answer.took_s, 3))) * Decimal(self.conf["SECOND_USD"])
            return Made(files=(self.picture(answer.spool),), cost_usd=cost, model=call.model)
        body = _object(answer)
        # The paths are taken from the reply: they name the app without the model's own sub-path.
        paths = [_path(body.get(key)) for key in ("response_url", "cancel_url")]
        return Pending(" ".join(paths), self.conf["POLL_S"])

    # --- Asking ----------------------------------------------------------------------------------

    def poll(self, remote_id: str, call: Call) -> Made | Pending:
        path, _, _ = remote_id.partition(" ")
        deadline = Deadline(min(call.deadline_s, self.conf["TIMEOUT_S"]))
        state = self._ask(path + "/status", deadline, logs="1")
        if state.get("status") != "COMPLETED":
            return Pending(remote_id, self.conf["POLL_S"], _progress(state))
        if kind := str(state.get("error_type") or ""):
            raise self._by_type(kind, 200, str(state)[:300]) or errors.Unavailable(detail=str(state)[:300])
        return self._collect(self._ask(path, deadline), call, deadline)

    def _collect(self, result: Mapping[str, Any], call: Call, deadline: Deadline) -> Made:
        """Fetch the file. COMPLETED and 200 may still be a picture blacked out by the filter."""
        pictures = result.get("images")
        if not isinstance(pictures, list) or not pictures or not isinstance(pictures[0], dict):
            raise errors.BadAnswer(detail=f"no picture in the result: {str(result)[:200]}")
        if any(result.get("has_nsfw_concepts") or ()):
            raise errors.ContentRejected(detail="has_nsfw_concepts")
        spool, look = self.download(pictures[0].get("url"), deadline)
        file = self.picture(spool)
        seed = result.get("seed")
        return Made(
            files=(file,),
            cost_usd=Decimal(look.width * look.height) / 1_000_000 * Decimal(self.conf["MEGAPIXEL_USD"]),
            model=call.model,
            seed=seed if isinstance(seed, int) else None,
        )

    def cancel(self, remote_id: str) -> bool:
        """True only for a call that had not begun: one in progress is asked to stop, but may still be made."""
        path, _, cancel_path = remote_id.partition(" ")
        deadline = Deadline(30.0)
        state = self._ask(path + "/status", deadline)
        if state.get("status") == "COMPLETED":
            return False
        try:
            asked = self.send(Outgoing("PUT", self._queue_url(cancel_path), self.headers(), repeatable=True), deadline)
        except (errors.Refused, errors.ModelGone):  # already completed, or no longer known
            return False
        return _object(asked).get("status") == "CANCELLATION_REQUESTED" and state.get("status") == "IN_QUEUE"

    def _ask(self, path: str, deadline: Deadline, **query: str) -> dict[str, Any]:
        """One question about a parked call. A call that the vendor no longer knows is an answer lost."""
        try:
            answer = self.send(
                Outgoing("GET", self._queue_url(path, **query), self.headers(), repeatable=True), deadline
            )
            return _object(answer)
        except errors.ModelGone as error:
            raise errors.AnswerLost(http_status=error.http_status, detail=f"vanished: {error.detail}") from error
        except errors.BadAnswer as error:
            error.ask_again = True  # an error page in front of the vendor says nothing about the call
            raise

    # --- Errors ----------------------------------------------------------------------------------

    def complain(
        self, status: int, headers: Mapping[str, str], body: Mapping[str, Any], detail: str
    ) -> ProviderError | None:
        fault, faults = body.get("error"), body.get("detail")
        text = str(fault or faults or body.get("message") or "").lower()
        if kind := str(body.get("error_type") or headers.get("x-fal-error-type") or ""):
            return self._by_type(kind, status, detail)
        if isinstance(faults, list) and any(isinstance(one, dict) and one.get("type") == _POLICY for one in faults):
            return errors.ContentRejected(http_status=status, detail=detail)
        if status == 400 and "not supported" in text:
            return errors.ModelGone(http_status=status, detail=detail)
        if status == 503 and isinstance(body.get("estimated_time"), int | float):
            wait = retry_after_s(headers) or clamp_wait(float(body["estimated_time"]))
            return errors.Unavailable(http_status=status, retry_after_s=wait, detail=detail)
        return None

    def _by_type(self, kind: str, status: int, detail: str) -> ProviderError | None:
        if kind == _POLICY:
            return errors.ContentRejected(http_status=status, detail=detail)
        if kind.startswith(_PASSING):
            timed_out = kind.endswith("_timeout")
            found = (errors.ProviderTimeout if timed_out else errors.Unavailable)(http_status=status, detail=detail)
            found.ask_again = False  # the run itself ended so; asking again would only hear it again
            return found
        return None

    # --- URLs and headers ------------------------------------------------------------------------

    def headers(self) -> dict[str, str]:
        bill = self.conf["BILL_TO"]
        return {**super().headers(), **({"X-HF-Bill-To": bill} if bill else {})}

    def _queue_url(self, path: str, **query: str) -> str:
        words = "&".join(f"{key}={value}" for key, value in {**QUEUE, **query}.items())
        return f"{self.url('fal-ai' + path)}?{words}"

    def _fal_path(self, model: str) -> str:
        found = self.conf["FAL_PATHS"].get(model)
        if not found:
            raise errors.ModelGone(detail=f"no path is set for the key {model}")
        return str(found)


def _object(answer: Answer) -> dict[str, Any]:
    body = answer.json()
    if not isinstance(body, dict) or "error" in body and "status" not in body:
        raise errors.BadAnswer(http_status=answer.status, detail=f"not the expected JSON: {str(body)[:200]}")
    return body


def _path(url: object) -> str:
    """The path of a URL in the reply; its host is never used, so a strange one leads nowhere."""
    path = urlsplit(url).path if isinstance(url, str) else ""
    if not _PATH.fullmatch(path) or ".." in path:
        raise errors.AnswerLost(code="SERVICE_UNAVAILABLE", detail="accepted, but the reply names no usable paths")
    return path


def _progress(state: Mapping[str, Any]) -> int | None:
    """The last percentage in the run's log; the queue itself reports none."""
    logs = state.get("logs")
    for entry in reversed(logs if isinstance(logs, list) else []):
        if isinstance(entry, dict) and (found := _PERCENT.findall(str(entry.get("message")))):
            return min(99, int(found[-1]))
    return None
