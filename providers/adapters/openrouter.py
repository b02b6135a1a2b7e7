"""OpenRouter chat completions: is this picture fit to be shown? (its OpenAPI document of August 2026)

A check makes no file: its verdict is `Made.extra`. Whatever is no verdict (a refusal, half an answer, an answer
that never came) is retryable, so that the desk asks again: a picture without a verdict is never delivered. To ask
twice costs a hundredth of a cent and changes nothing, so an answer that got lost is no loss.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from providers import errors, looks
from providers.base import Call, Made, Provider
from providers.errors import ProviderError
from providers.numbers import amount
from providers.transport import JSON_BYTES, Answer, Outgoing, clamp_wait, error_for, retry_after_s
from providers.wire import Deadline

QUESTION = (
    "Look closely at the whole picture. Is there any text, label, word, lettering or readable character in it?"
    " Is there any watermark, signature or annotation in it? How sure are you, from 0 to 1?"
)
ANSWER = 'Answer with JSON alone, like this: {"has_text": false, "has_annotations": false, "confidence": 0.95}'
SCHEMA = {
    "type": "object",
    "properties": {
        "has_text": {"type": "boolean"},
        "has_annotations": {"type": "boolean"},
        "confidence": {"type": "number"},
    },
    "required": ["has_text", "has_annotations", "confidence"],
    "additionalProperties": False,
}

_FENCE = re.compile(r"\s*```(?:json)?\s*(.*?)\s*```\s*", re.DOTALL)
_SOUND_ENDS = (None, "stop")
_BY_TYPE: Mapping[str, type[errors._Decided]] = {
    "authentication": errors.OurKeyRefused,
    "model_not_found": errors.ModelGone,
    "not_found": errors.ModelGone,
    "payment_required": errors.OurAccountEmpty,
    "permission_denied": errors.OurKeyRefused,
    "rate_limit_exceeded": errors.RateLimited,
    "region_restricted": errors.ModelGone,
    "timeout": errors.ProviderTimeout,
}
# A picture or question that this model's guard refuses: that says nothing of what is in it.
_GUARD = ("reasons", "flagged_input", "patterns")
_GUARDED = ("content_policy_violation", "refusal")


class OpenRouter(Provider):
    name = "openrouter"
    chapter = "OPENROUTER"
    simulated_path = "/openrouter/api/v1"
    operations = {"verify-image": "check"}

    def check(self, call: Call) -> Outgoing:
        pictures = list(call.inputs.get("images") or ())
        if len(pictures) != 1:
            raise errors.Refused("One picture is needed.")
        try:
            picture, kind = looks.of(pictures[0])
        except ValueError as error:
            raise errors.Refused("The picture is not usable.", detail=str(error)) from error
        url = f"data:{kind};base64,{base64.b64encode(picture).decode()}"
        payload = {
            "model": self.model_id(call.model),
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": f"{call.inputs.get('question') or QUESTION}\n{ANSWER}"},
                        {"type": "image_url", "image_url": {"url": url, "detail": self.conf["DETAIL"]}},
                    ],
                }
            ],
            "response_format": self._response_format(),
            # Without it a company behind the router may pass over the format.
            "provider": {"require_parameters": True},
            "temperature": 0,
            "max_tokens": self.conf["ANSWER_TOKENS"],
        }
        return Outgoing(
            "POST",
            self.url("chat/completions"),
            self.headers(),
            json=payload,
            repeatable=True,
            limit_bytes=JSON_BYTES,
        )

    def read(self, answer: Answer, call: Call, deadline: Deadline) -> Made:
        try:
            document = answer.json()
        except errors.BadAnswer as error:
            raise _no_verdict(error.detail) from error
        if not isinstance(document, dict):
            raise _no_verdict(f"not an object: {str(document)[:200]}")
        choice = _first(document.get("choices"))
        for fault in (document.get("error"), choice.get("error")):  # a good status does not mean a good answer
            if fault:
                raise self._fault(fault, answer.headers)
        verdict = _verdict(choice)
        return Made((), self._cost(document.get("usage")), call.model, extra=verdict)

    def _response_format(self) -> dict[str, Any]:
        if self.conf["RESPONSE_FORMAT"] == "json_object":
            return {"type": "json_object"}
        return {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": SCHEMA}}

    def _cost(self, usage: object) -> Decimal:
        """What the answer says that we were charged, and a company whose key is our own besides; else the estimate."""
        said = usage if isinstance(usage, dict) else {}
        cost = amount(said.get("cost"))
        if cost is None:
            return self.estimate("verify-image", "main")
        details = said.get("cost_details")
        if said.get("is_byok") is True and isinstance(details, dict):
            cost += amount(details.get("upstream_inference_cost")) or 0
        return cost

    def estimate(self, operation: str, model: str) -> Decimal:
        return Decimal(self.conf["CHECK_USD"])

    def headers(self) -> dict[str, str]:
        site = self.conf["SITE_URL"]
        return {**super().headers(), **({"HTTP-Referer": site} if site else {})}

    # --- Errors ----------------------------------------------------------------------------------

    def complain(
        self, status: int, headers: Mapping[str, str], body: Mapping[str, Any], detail: str
    ) -> ProviderError | None:
        """Two layouts are in use: codes under `metadata`, or straight under `error`; `availability` beside both."""
        fault = body.get("error")
        fault = fault if isinstance(fault, dict) else {}
        metadata, availability = (_dict(fault.get(key)) for key in ("metadata", "availability"))
        kind = str(metadata.get("error_type") or fault.get("error_type") or availability.get("code") or "")
        wait = retry_after_s(headers)
        if wait is None and (seconds := amount(availability.get("retry_after"))) is not None:
            wait = clamp_wait(float(seconds))
        if kind in _GUARDED or any(metadata.get(key) for key in _GUARD):
            return _no_verdict(detail, status)
        if availability.get("retryable") is True and status != 429:
            return errors.Unavailable(http_status=status, retry_after_s=wait, detail=detail)
        if decided := _BY_TYPE.get(kind):
            return decided(http_status=status, retry_after_s=wait, detail=detail)
        if status == 429:
            return errors.RateLimited(http_status=status, retry_after_s=wait, detail=detail)
        found = error_for(status, headers, detail)
        # Of a picture that it cannot judge nothing is known, and the next model may well judge it.
        return _no_verdict(detail, status) if type(found) is errors.Refused or found.unclassified else found

    def _fault(self, fault: object, headers: Mapping[str, str]) -> ProviderError:
        """An error inside a 200: its code is the status that it would have had."""
        code = fault.get("code") if isinstance(fault, dict) else None
        status = code if isinstance(code, int) and 400 <= code < 600 else 502
        detail = f"200 with an error in it: {str(fault)[:300]}"
        return self.complain(status, headers, {"error": fault}, detail) or _no_verdict(detail)


def _no_verdict(detail: str, status: int | None = None) -> ProviderError:
    return errors.Unavailable(http_status=status, detail=f"no verdict: {detail}")


def _verdict(choice: Mapping[str, Any]) -> dict[str, Any]:
    """What the model says of the picture. Raises Unavailable for anything but a JSON object.

    A key that is missing, or no boolean, counts as true: only a clear false is clean.
    """
    message = _dict(choice.get("message"))
    content, end = message.get("content"), choice.get("finish_reason")
    if end not in _SOUND_ENDS or message.get("refusal") or not isinstance(content, str):
        raise _no_verdict(f"finish_reason {end}, refusal {str(message.get('refusal'))[:200]}")
    fenced = _FENCE.fullmatch(content)
    try:
        said = json.loads(fenced[1] if fenced else content)
    except (ValueError, RecursionError) as error:
        raise _no_verdict(f"not JSON: {content[:200]!r}") from error
    if not isinstance(said, dict):
        raise _no_verdict(f"not an object: {content[:200]!r}")
    confidence = amount(said.get("confidence"))
    return {
        "has_text": said.get("has_text") is not False,
        "has_annotations": said.get("has_annotations") is not False,
        "confidence": None if confidence is None else float(confidence),
    }


def _first(found: object) -> Mapping[str, Any]:
    return _dict(found[0]) if isinstance(found, list) and found else {}


def _dict(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}
