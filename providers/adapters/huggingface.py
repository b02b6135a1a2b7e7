"""Hugging Face's router: a picture from words, or from pictures and words, by the route that settings name.

    fal-ai        queue mode: submit parks, status, result, link to a file; a question costs nothing
    hf-inference  one blocking call, picture bytes back

Old hosts of this vendor are closed; the router is the only door. Protocol: huggingface_hub 2.4 and
@huggingface/inference 4.13 (queue), fal's own queue pages.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from providers import errors, numbers, shapes, sniff
from providers.base import Call, Made, Pending, Provider
from providers.errors import ProviderError
from providers.transport import Answer, Outgoing, clamp_wait, retry_after_s
from providers.wire import Deadline

MOST_PIXELS, LONGEST = 2_097_152, 1536
MOST_IMAGES = 4
QUEUE = {"_subdomain": "queue"}
# (route, operation) -> the inputs that it reads.
READS = {
    ("fal-ai", "image-to-image"): "prompt images seed width height",
    ("fal-ai", "text-to-image"): "prompt seed steps guidance width height aspect_ratio",
    ("hf-inference", "image-to-image"): "prompt images negative_prompt steps guidance width height",
    ("hf-inference", "text-to-image"): "prompt negative_prompt seed steps guidance width height aspect_ratio",
}

# Operation -> the table of its models' paths in the settings.
APPS = {"text-to-image": "FAL_PATHS", "image-to-image": "FAL_EDIT_PATHS"}

_PATH = re.compile(r"/[\w./-]{1,300}")
_PERCENT = re.compile(r"(\d{1,3})%\|")
_POLICY = "content_policy_violation"
# Infrastructure errors of the company behind the router, which it does not bill.
_PASSING = ("request_timeout", "startup_timeout", "runner_")


class HuggingFace(Provider):
    name = "huggingface"
    chapter = "HUGGINGFACE"
    simulated_path = "/huggingface"
    operations = {"image-to-image": "image_to_image", "text-to-image": "text_to_image"}
    can_cancel = True

    # --- Making ----------------------------------------------------------------------------------

    def text_to_image(self, call: Call) -> Outgoing:
        width, height = shapes.wanted_size(call.inputs, most_pixels=MOST_PIXELS, longest=LONGEST)
        given = _hints(call, "steps", "guidance", "seed")
        if self.conf["ROUTE"] == "hf-inference":
            sizes = {"width": width, "height": height}
            return self._blocking("MODELS", call, _prompt(call), {**given, **sizes, **_hints(call, "negative_prompt")})
        return self._queued("FAL_PATHS", call, {**given, "image_size": {"width": width, "height": height}})

    def image_to_image(self, call: Call) -> Outgoing:
        """The picture gives the size, unless one is asked for."""
        pictures = [self._data_url(picture) for picture in call.inputs.get("images") or ()]
        if not 1 <= len(pictures) <= MOST_IMAGES:
            raise errors.Refused(f"One to {MOST_IMAGES} pictures are needed.")
        size = {}
        if call.inputs.get("width") and call.inputs.get("height"):
            width, height = shapes.wanted_size(call.inputs, most_pixels=MOST_PIXELS, longest=LONGEST)
            size = {"width": width, "height": height}
        if self.conf["ROUTE"] == "hf-inference":
            given = {"prompt": _prompt(call), **_hints(call, "steps", "guidance", "negative_prompt")}
            _, _, data = pictures[0].partition(",")
            return self._blocking("EDIT_MODELS", call, data, {**given, **({"target_size": size} if size else {})})
        # Some of the models behind the router read one picture, some a list; its own clients send both.
        given = {"image_url": pictures[0], "image_urls": pictures, **_hints(call, "seed")}
        return self._queued("FAL_EDIT_PATHS", call, {**given, **({"image_size": size} if size else {})})

    def _blocking(self, models: str, call: Call, inputs: str, parameters: dict[str, Any]) -> Outgoing:
        url = self.url(f"hf-inference/models/{self._id(models, call.model)}")
        headers = {**self.headers(), "Accept": "image/png"}
        return Outgoing("POST", url, headers, json={"inputs": inputs, "parameters": parameters})

    def _queued(self, paths: str, call: Call, given: dict[str, Any]) -> Outgoing:
        format = "jpeg" if call.inputs.get("output_format") == "jpeg" else "png"
        payload = {"prompt": _prompt(call), **given, "num_images": 1, "output_format": format}
        return Outgoing("POST", self._queue_url("/" + self._id(paths, call.model)), self.headers(), json=payload)

    def _id(self, chapter: str, model: str) -> str:
        found = self.conf[chapter].get(model)
        if not found:
            raise errors.ModelGone(detail=f"{chapter} names nothing for the key {model}")
        return str(found)

    def _data_url(self, picture: bytes) -> str:
        """A picture as text. The router takes a few megabytes, so a heavy one goes as a smaller JPEG."""
        kind = sniff.look_at(picture).content_type
        if kind not in sniff.PICTURES:
            raise errors.Refused("A picture must be PNG, JPEG or WebP.")
        if len(picture) > self.conf["INPUT_BYTES"]:
            try:
                picture, kind = shapes.reduced(picture, LONGEST), "image/jpeg"
            except ValueError as error:
                raise errors.Refused("A picture could not be read.", detail=str(error)) from error
        return f"data:{kind};base64,{base64.b64encode(picture).decode()}"

    def read(self, answer: Answer, call: Call, deadline: Deadline) -> Made | Pending:
        if self.conf["ROUTE"] == "hf-inference":
            cost = Decimal(str(round(answer.took_s, 3))) * Decimal(self.conf["SECOND_USD"])
            return Made((self.picture(answer.spool),), cost, call.model, extra={"ignored": self._ignored(call)})
        body = _object(answer)
        # The paths are taken from the reply: they name the app without the model's own sub-path.
        path, cancel_path = (_path(body.get(key)) for key in ("response_url", "cancel_url"))
        return Pending(self._id_of(path, cancel_path), self.conf["POLL_S"])

    def _id_of(self, path: str, cancel_path: str) -> str:
        """The paths as an id that names no vendor: operation, model key and the request's own id.

        Paths of another shape than ever seen are kept as they are: the call is paid for.
        """
        app, found, request_id = path.rpartition("/requests/")
        for operation, table in APPS.items():
            for model, place in self.conf[table].items():
                if found and app == _app(place) and cancel_path == f"{path}/cancel":
                    return f"{operation}:{model} {request_id}"
        return f"{path} {cancel_path}"

    def _paths_of(self, remote_id: str) -> tuple[str, str]:
        """The paths of a request and of its cancel."""
        first, _, last = remote_id.partition(" ")
        if first.startswith("/"):
            return first, last
        operation, _, model = first.partition(":")
        path = f"{_app(self.conf[APPS[operation]][model])}/requests/{last}"
        return path, f"{path}/cancel"

    def _ignored(self, call: Call) -> tuple[str, ...]:
        """Names of inputs that were given and that this route does not read."""
        known = READS[self.conf["ROUTE"], call.operation].split()
        formats = ("png", "jpeg") if self.conf["ROUTE"] == "fal-ai" else ("png",)
        return shapes.unread(
            call.inputs, [*known, *(["output_format"] if call.inputs.get("output_format") in formats else [])]
        )

    # --- Asking ----------------------------------------------------------------------------------

    def poll(self, remote_id: str, call: Call) -> Made | Pending:
        path, _ = self._paths_of(remote_id)
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
        return Made(
            files=(file,),
            cost_usd=Decimal(look.width * look.height) / 1_000_000 * self._rate(call.operation),
            model=call.model,
            seed=numbers.seed(result.get("seed")),
            extra={"ignored": self._ignored(call)},
        )

    def cancel(self, remote_id: str) -> bool:
        """True only for a call that had not begun: one in progress is asked to stop, but may still be made."""
        path, cancel_path = self._paths_of(remote_id)
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

    def estimate(self, operation: str, model: str) -> Decimal:
        """Of about a megapixel; of the other route, which bills by time, nobody knows."""
        return self._rate(operation) if self.conf["ROUTE"] == "fal-ai" else Decimal(0)

    def _rate(self, operation: str) -> Decimal:
        return Decimal(self.conf["MEGAPIXEL_USD" if operation == "text-to-image" else "EDIT_MEGAPIXEL_USD"])

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


def _prompt(call: Call) -> str:
    prompt = str(call.inputs.get("prompt") or "")
    if not prompt:
        raise errors.Refused("A prompt is needed.")
    return prompt


_NAMES = {"steps": "num_inference_steps", "guidance": "guidance_scale"}


def _hints(call: Call, *words: str) -> dict[str, Any]:
    """Those of the words that were given, under the router's names."""
    return {_NAMES.get(word, word): call.inputs[word] for word in words if call.inputs.get(word) not in (None, "")}


def _object(answer: Answer) -> dict[str, Any]:
    body = answer.json()
    if not isinstance(body, dict) or "error" in body and "status" not in body:
        raise errors.BadAnswer(http_status=answer.status, detail=f"not the expected JSON: {str(body)[:200]}")
    return body


def _app(place: str) -> str:
    """The part of a model's path that its requests lie under."""
    return "/" + "/".join(place.split("/")[:2])


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
