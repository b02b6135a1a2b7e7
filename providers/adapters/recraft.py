"""Recraft v1: pictures from words, edits and tools, synchronous (its OpenAPI document of August 2026).

One picture per call; no job id, no cancel, no sign of its filter in a good answer. The answer holds a link or,
when asked so, the picture itself. It says what the call cost, in units of a tenth of a cent. Masks: white is
where to change, as ours, but pure black and white and exactly as large as the picture.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from providers import errors, shapes, sniff
from providers.base import Call, Made, Pending, Provider
from providers.errors import ProviderError
from providers.lift import NotJSON, lift
from providers.limits import Limits
from providers.spool import Spool
from providers.transport import Answer, Outgoing
from providers.wire import Deadline


def _sizes(text: str) -> list[tuple[int, int]]:
    return [(int(width), int(height)) for width, _, height in (size.partition("x") for size in text.split())]


# Which models share sizes and words. The second and third generation know curated styles and negative prompts.
CURATED = ("recraftv2", "recraftv3", "recraft20b")
SIZES = {
    "curated": _sizes(
        "1024x1024 1365x1024 1024x1365 1536x1024 1024x1536 1820x1024 1024x1820 1024x2048 2048x1024 1434x1024"
        " 1024x1434 1024x1280 1280x1024 1024x1707 1707x1024"
    ),
    "later": _sizes(
        "1024x1024 1536x768 768x1536 1280x832 832x1280 1216x896 896x1216 1152x896 896x1152 832x1344 1280x896"
        " 896x1280 1344x768 768x1344"
    ),
    "pro": _sizes(
        "2048x2048 3072x1536 1536x3072 2560x1664 1664x2560 2432x1792 1792x2432 2304x1792 1792x2304 1664x2688"
        " 2560x1792 1792x2560 2688x1536 1536x2688"
    ),
}
VECTOR_STYLES = ("icon", "vector_illustration")
PROMPT_BYTES = {"curated": 1000, "later": 10_000, "pro": 10_000}
SHORTEST_SIDE, SHORTEST_UPSCALED, LONGEST_SIDE, MOST_PIXELS = 256, 32, 4096, 16_000_000
STRENGTH = 0.2  # how far an edit may go from its picture when nobody says
UNIT_USD, MOST_UNITS = Decimal("0.001"), 1_000_000

_FILTERED = re.compile(r"moderat|nsfw|safety|prohibited|inappropriate|content[ _]policy", re.IGNORECASE)
_EMPTY = re.compile(r"(not enough|insufficient|no|out of)[\W_]+(\w+[\W_]+)?(credit|unit|balance)", re.IGNORECASE)
# What each operation reads, beside the words of the models that draw.
_READS = {
    "image-inpaint": {"images", "mask"},
    "image-to-image": {"images", "strength"},
    "remove-background": {"images"},
    "replace-background": {"images", "background_prompt"},
    "text-to-image": {"width", "height", "aspect_ratio"},
    "upscale": {"images"},
}
_TOOLS = ("remove-background", "upscale")


class Recraft(Provider):
    name = "recraft"
    chapter = "RECRAFT"
    simulated_path = "/recraft/v1"
    operations = {
        "image-inpaint": "inpaint",
        "image-to-image": "edit",
        "remove-background": "remove_background",
        "replace-background": "replace_background",
        "text-to-image": "generation",
        "upscale": "upscale",
    }

    # --- Making ----------------------------------------------------------------------------------

    def generation(self, call: Call) -> Outgoing:
        width, height = shapes.nearest_size(call.inputs, SIZES[_family(self._model(call))])
        payload = {**self._options(call, call.inputs.get("prompt")), "size": f"{width}x{height}"}
        return Outgoing("POST", self.url("images/generations"), self.headers(), json=payload)

    def edit(self, call: Call) -> Outgoing:
        strength = call.inputs.get("strength")
        strength = STRENGTH if strength is None else min(1.0, max(0.0, float(strength)))
        return self._edit(call, "imageToImage", call.inputs.get("prompt"), strength=strength)

    def inpaint(self, call: Call) -> Outgoing:
        _, look = self._picture(call)
        try:
            mask = shapes.plain_mask(call.inputs.get("mask") or b"", (look.width, look.height))
        except ValueError as error:
            raise errors.Refused("A mask is needed, and it must be a picture.", detail=str(error)) from error
        part = ("mask", ("mask.png", mask, "image/png"))
        return self._edit(call, "inpaint", call.inputs.get("prompt"), mask=(part,))

    def replace_background(self, call: Call) -> Outgoing:
        wanted = call.inputs.get("background_prompt") or call.inputs.get("prompt")
        return self._edit(call, "replaceBackground", wanted)

    def remove_background(self, call: Call) -> Outgoing:
        return self._tool(call, "removeBackground")

    def upscale(self, call: Call) -> Outgoing:
        return self._tool(call, "crispUpscale")

    def _edit(self, call: Call, path: str, prompt: object, *, mask: tuple[Any, ...] = (), **more: Any) -> Outgoing:
        """A picture, words and perhaps a mask, as multipart."""
        options = {**self._options(call, prompt), **more}
        fields = {name: str(value) for name, value in options.items()}
        files = (_part(*self._picture(call)), *mask)
        return Outgoing("POST", self.url(f"images/{path}"), self.headers(), fields=fields, files=files)

    def _tool(self, call: Call, path: str) -> Outgoing:
        """A picture and nothing else."""
        part = _part(*self._picture(call))
        return Outgoing("POST", self.url(f"images/{path}"), self.headers(), fields=self._formats(call), files=(part,))

    def _options(self, call: Call, prompt: object) -> dict[str, Any]:
        """What generations and edits share. A prompt that is longer than the model reads is cut."""
        model, inputs = self._model(call), call.inputs
        words = str(prompt or "").strip().encode()[: PROMPT_BYTES[_family(model)]].decode(errors="ignore")
        if not words:
            raise errors.Refused("A prompt is needed.")
        options = {"prompt": words, "n": 1, "model": model, **self._formats(call)}
        if inputs.get("seed") is not None:
            options["random_seed"] = int(inputs["seed"]) % 2**32
        if inputs.get("style_id"):  # a style of one's own excludes the curated ones
            options["style_id"] = inputs["style_id"]
        if _family(model) == "curated":
            if inputs.get("style") in VECTOR_STYLES:
                raise errors.Refused("Styles that draw vectors are not made here; choose one that makes pictures.")
            names = ("negative_prompt",) if inputs.get("style_id") else ("negative_prompt", "style", "substyle")
            options |= {name: inputs[name] for name in names if inputs.get(name)}
        return options

    def _formats(self, call: Call) -> dict[str, str]:
        answer = call.inputs.get("response_format")
        return {
            "response_format": answer if answer in ("url", "b64_json") else self.conf["RESPONSE_FORMAT"],
            "image_format": "webp" if call.inputs.get("output_format") == "webp" else "png",
        }

    def _model(self, call: Call) -> str:
        """The vendor's id of the call's model: not every model that draws can edit."""
        if call.operation == "text-to-image":
            return self.model_id(call.model)
        found = self.conf["EDIT_MODELS"].get(call.model)
        if not found:
            raise errors.ModelGone(detail=f"no model for edits is set for the key {call.model}")
        return str(found)

    def estimate(self, operation: str, model: str) -> Decimal:
        return Decimal(self.conf["ESTIMATES_USD"][operation])

    def limits(self, operation: str, model: str) -> Limits:
        shortest = SHORTEST_UPSCALED if operation == "upscale" else SHORTEST_SIDE
        return Limits(shortest, LONGEST_SIDE, most=MOST_PIXELS, file_bytes=self.conf["INPUT_BYTES"] - 1)

    def _picture(self, call: Call) -> tuple[bytes, sniff.Look]:
        """The picture to work on. Raises Refused for what this vendor does not take."""
        pictures = call.inputs.get("images") or ()
        if not pictures or pictures[0] is None:
            raise errors.Refused("A picture is needed.")
        data: bytes = pictures[0]
        look, limits = sniff.look(io.BytesIO(data), len(data)), self.limits(call.operation, call.model)
        if fault := limits.fault(look) or limits.weight_fault([len(data)]):
            raise errors.Refused(fault)
        return data, look

    # --- Reading ---------------------------------------------------------------------------------

    def read(self, answer: Answer, call: Call, deadline: Deadline) -> Made | Pending:
        try:
            document, pictures = lift(answer.spool.file, "b64_json", settings.PROVIDER_MAX_BYTES)
        except NotJSON as error:
            raise errors.BadAnswer(http_status=answer.status, detail=f"{error}: {answer.excerpt(120)}") from error
        finally:
            answer.spool.close()
        cost_usd = self._cost(document.get("credits"), call)
        for spare in pictures[1:]:
            spare.close()
        if pictures:
            return self._made(pictures[0], cost_usd, call)
        link = _link(document)
        try:
            spool, _ = self.download(link, deadline)
        except errors.NetworkError as error:
            return self._parked(link, cost_usd, error)
        return self._made(spool, cost_usd, call)

    def _parked(self, link: str, cost_usd: Decimal, error: ProviderError) -> Pending:
        """Leave a picture that is paid for where it lies, and fetch it later; links live for a day.

        The id holds no host: it counts the origins that the settings name.
        """
        parts = urlsplit(link)
        try:
            place = self._origins().index(f"{parts.scheme}://{parts.netloc}")
        except ValueError:
            raise errors.AnswerLost(detail=f"{error.detail}; and its host is not one to come back to") from error
        return Pending(f"{cost_usd} {place}{link.partition(parts.netloc)[2]}", self.conf["POLL_S"])

    def poll(self, remote_id: str, call: Call) -> Made:
        """Fetch a picture that could not be fetched when it was made."""
        cost_usd, _, place = remote_id.partition(" ")
        number, slash, path = place.partition("/")
        spool, _ = self.download(f"{self._origins()[int(number)]}{slash}{path}", Deadline(call.deadline_s))
        return self._made(spool, Decimal(cost_usd), call)

    def _origins(self) -> list[str]:
        if settings.PROVIDERS_MODE == "simulated":
            return [settings.SIMULATOR_URL]
        return [f"https://{host}" for host in self.conf["RESULT_HOSTS"] if "*" not in host]

    def _made(self, spool: Spool, cost_usd: Decimal, call: Call) -> Made:
        file = self.picture(spool)
        seed = None if call.operation in _TOOLS else call.inputs.get("seed")
        return Made((file,), cost_usd, call.model, seed, extra={"ignored": self._ignored(call)})

    def _cost(self, units: object, call: Call) -> Decimal:
        """From the units that the answer names; else the price list's."""
        if isinstance(units, int) and not isinstance(units, bool) and 0 <= units < MOST_UNITS:
            return units * UNIT_USD
        return self.estimate(call.operation, call.model)

    def _ignored(self, call: Call) -> tuple[str, ...]:
        """Names of inputs that were given and that this operation or its model does not know."""
        known = _READS[call.operation] | {"response_format"}
        if call.operation not in _TOOLS:
            known = known | {"prompt", "seed", "style_id"}
            if _family(self._model(call)) == "curated":
                known = known | {"negative_prompt"} | (set() if call.inputs.get("style_id") else {"style", "substyle"})
        if call.inputs.get("output_format") in ("png", "webp"):
            known = known | {"output_format"}
        given = {name for name, value in call.inputs.items() if value not in (None, "", [])}
        return tuple(sorted(given - known))

    # --- Errors ----------------------------------------------------------------------------------

    def complain(
        self, status: int, headers: Mapping[str, str], body: Mapping[str, Any], detail: str
    ) -> ProviderError | None:
        """Its errors are plain text or JSON as they come, and few are documented, so words decide a little."""
        text = f"{body.get('code')} {body.get('message')}" if body else detail
        if status in (400, 402, 403) and _EMPTY.search(text):
            return errors.OurAccountEmpty(http_status=status, detail=detail)
        if status in (400, 403, 422) and _FILTERED.search(text):
            return errors.ContentRejected(http_status=status, detail=detail)
        return None


def _family(model: str) -> str:
    if model.startswith(CURATED):
        return "curated"
    return "pro" if "_pro" in model else "later"


def _part(picture: bytes, look: sniff.Look) -> tuple[str, tuple[str, bytes, str]]:
    return "image", (f"image.{look.content_type.removeprefix('image/')}", picture, look.content_type)


def _link(document: Mapping[str, Any]) -> str:
    """The link of the one picture, in a list's answer or a tool's."""
    found = document.get("data")
    one = found[0] if isinstance(found, list) and found else document.get("image")
    link = one.get("url") if isinstance(one, dict) else None
    if not isinstance(link, str) or not link:
        raise errors.BadAnswer(detail=f"no picture in the answer: {str(document)[:200]}")
    return link
