"""OpenAI Images: generations and edits, synchronous, base64 in JSON (spec 2.3.0).

One picture per call. There is no seed, negative prompt, guidance, job id or cancel, so a lost answer
is lost. `style` and `response_format` belong to retired models and are refused by the current ones; the words of
those models for quality are understood.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.conf import settings

from providers import errors, numbers, shapes, sniff
from providers.base import Call, Made, Provider
from providers.errors import ProviderError
from providers.lift import NotJSON, lift
from providers.limits import Limits
from providers.transport import Answer, Outgoing, clamp_wait, error_for, retry_after_s
from providers.wire import Deadline

QUALITIES = {"auto": "auto", "low": "low", "medium": "medium", "high": "high", "standard": "medium", "hd": "high"}
BACKGROUNDS = ("auto", "opaque", "transparent")
FORMATS = ("png", "jpeg", "webp")
# Older models know these sizes only; current ones any multiple of 16 from 1:3 to 3:1.
FIXED_SIZES = ((1024, 1024), (1536, 1024), (1024, 1536))
MOST_PIXELS, LONGEST = 2560 * 1440, 3840
MOST_IMAGES, PROMPT_CHARS = 16, 32_000
PICTURES = Limits(file_bytes=50_000_000 - 1)
MOST_TOKENS = 10_000_000  # more than any picture takes: such a number would be damage
KNOWN = ("prompt", "width", "height", "aspect_ratio", "quality", "background", "output_format")

_FILES = ("images", "mask")
_FILTERED = ("moderation_blocked", "content_policy_violation")
_EMPTY = (
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "billing_hard_limit_reached",
    "billing_not_active",
)


class OpenAI(Provider):
    name = "openai"
    chapter = "OPENAI"
    simulated_path = "/openai/v1"
    operations = {"text-to-image": "generation", "image-to-image": "edit", "image-inpaint": "edit"}

    def generation(self, call: Call) -> Outgoing:
        payload = {**self._options(call, call.inputs), "n": 1}
        return Outgoing("POST", self.url("images/generations"), self.headers(), json=payload)

    def edit(self, call: Call) -> Outgoing:
        pictures = [_file("image[]", f"image-{n}", data) for n, data in enumerate(call.inputs.get("images") or ())]
        if not 1 <= len(pictures) <= MOST_IMAGES:
            raise errors.Refused(f"One to {MOST_IMAGES} pictures are needed.")
        if mask := call.inputs.get("mask"):
            pictures.append(("mask", ("mask.png", _mask(mask, call.inputs["images"][0]), "image/png")))
        elif call.operation == "image-inpaint":
            raise errors.Refused("A mask is needed.")
        options = self._options(call, _sized_like(call.inputs, call.inputs["images"][0]))
        fields = {name: str(value) for name, value in {**options, "n": 1}.items()}
        return Outgoing("POST", self.url("images/edits"), self.headers(), fields=fields, files=tuple(pictures))

    def estimate(self, operation: str, model: str) -> Decimal:
        return self._estimate(self.conf["QUALITY"])

    def limits(self, operation: str, model: str) -> Limits:
        return PICTURES

    def read(self, answer: Answer, call: Call, deadline: Deadline) -> Made:
        try:
            document, pictures = lift(answer.spool.file, "b64_json", settings.PROVIDER_MAX_BYTES)
        except NotJSON as error:
            raise errors.BadAnswer(http_status=answer.status, detail=f"{error}: {answer.excerpt(120)}") from error
        finally:
            answer.spool.close()
        if not pictures or not isinstance(document.get("data"), list):
            raise errors.BadAnswer(detail=f"no picture in the answer: {str(document)[:200]}")
        for spare in pictures[1:]:
            spare.close()
        return Made(
            files=(self.picture(pictures[0]),),
            cost_usd=self._cost(document.get("usage"), str(document.get("quality"))),
            model=call.model,
            extra={
                **{key: document[key] for key in ("size", "quality") if isinstance(document.get(key), str)},
                "ignored": shapes.unread(
                    call.inputs, KNOWN if call.operation == "text-to-image" else (*KNOWN, *_FILES)
                ),
            },
        )

    def complain(
        self, status: int, headers: Mapping[str, str], body: Mapping[str, Any], detail: str
    ) -> ProviderError | None:
        fault = body.get("error")
        if not isinstance(fault, dict):
            return None
        code, kind, text = (str(fault.get(key) or "") for key in ("code", "type", "message"))
        if code in _EMPTY or kind in _EMPTY:
            return errors.OurAccountEmpty(http_status=status, detail=detail)
        if code in _FILTERED:
            return errors.ContentRejected(http_status=status, detail=detail)
        if code == "model_not_found":
            return errors.ModelGone(http_status=status, detail=detail)
        if status == 429:  # of the waits, the header's is the more exact
            wait = retry_after_s(headers) or _wait_in(text)
            return errors.RateLimited(http_status=status, retry_after_s=wait, detail=detail)
        return error_for(status, headers, detail)

    def _options(self, call: Call, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """What generations and edits share."""
        prompt = str(inputs.get("prompt") or "")[:PROMPT_CHARS]
        if not prompt:
            raise errors.Refused("A prompt is needed.")
        model = self.model_id(call.model)
        background, format = inputs.get("background"), inputs.get("output_format")
        if model.startswith("gpt-image-1"):
            width, height = shapes.nearest_size(inputs, FIXED_SIZES)
        else:
            width, height = shapes.wanted_size(inputs, most_pixels=MOST_PIXELS, longest=LONGEST)
        if format not in FORMATS or format == "jpeg" and background == "transparent":  # which JPEG has no place for
            format = "png"
        return {
            "model": model,
            "prompt": prompt,
            "size": f"{width}x{height}",
            "quality": QUALITIES.get(str(inputs.get("quality")), self.conf["QUALITY"]),
            "output_format": format,
            **({"background": background} if background in BACKGROUNDS else {}),
        }

    def _cost(self, usage: Any, quality: str) -> Decimal:
        """From the tokens that the answer names, at the rates of the day; else the estimate for the quality."""
        try:
            details = usage.get("input_tokens_details") or {}
            image = numbers.whole(details.get("image_tokens", 0), MOST_TOKENS)
            text = numbers.whole(details.get("text_tokens", usage["input_tokens"] - (image or 0)), MOST_TOKENS)
            made = numbers.whole(usage["output_tokens"], MOST_TOKENS)
        except (AttributeError, KeyError, TypeError):
            text = image = made = None
        if text is None or image is None or made is None:
            return self._estimate(quality)
        rates = self.conf["TOKEN_RATES_USD"]
        today = max((day for day in rates if day <= datetime.now(UTC).date().isoformat()), default=min(rates))
        per_text, per_image, per_made = (Decimal(rate) / 1_000_000 for rate in rates[today])
        return text * per_text + image * per_image + made * per_made

    def _estimate(self, quality: str) -> Decimal:
        estimates = self.conf["ESTIMATES_USD"]
        return Decimal(estimates.get(quality, estimates["medium"]))


def _wait_in(text: str) -> float | None:
    """The wait in "… Please try again in 12s."; this vendor often says it only there."""
    _, found, tail = text.partition("try again in ")
    number, unit, _ = tail.partition("s")
    try:
        return clamp_wait(float(number)) if found and unit else None
    except ValueError:
        return None


def _sized_like(inputs: Mapping[str, Any], picture: bytes) -> Mapping[str, Any]:
    """Inputs that ask for the picture's own shape, at about a megapixel, when they ask for none."""
    if any(inputs.get(word) for word in ("width", "height", "aspect_ratio")):
        return inputs
    look = sniff.look_at(picture)
    scale = math.sqrt(2**20 / max(1, look.width * look.height))
    return {**inputs, "width": max(1, round(look.width * scale)), "height": max(1, round(look.height * scale))}


def _file(field: str, stem: str, data: bytes) -> tuple[str, tuple[str, bytes, str]]:
    """A part with a real media type; without one this vendor refuses it."""
    kind = sniff.look_at(data).content_type
    if kind not in sniff.PICTURES:
        raise errors.Refused("A picture must be PNG, JPEG or WebP.")
    if fault := PICTURES.weight_fault([len(data)]):
        raise errors.Refused(fault)
    return field, (f"{stem}.{kind.removeprefix('image/')}", data, kind)


def _mask(mask: bytes, picture: bytes) -> bytes:
    look = sniff.look_at(picture)
    try:
        return shapes.alpha_mask(mask, (look.width, look.height))
    except ValueError as error:
        raise errors.Refused("The mask is not a usable picture.", detail=str(error)) from error
