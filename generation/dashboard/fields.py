"""How a parameter of the catalogue is asked for in a form, and read from it again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from django.http import QueryDict
from rest_framework.exceptions import ValidationError

from generation.dashboard import wares
from generation.doors.makeit3d import parameters as kinds
from generation.doors.makeit3d.catalogue import BY_NAME
from generation.doors.makeit3d.parameters import Param
from generation.doors.makeit3d.serializers import field_of

_OUR_TASK = re.compile(r"[a-z0-9-]+-\d{10}-[0-9a-f]{8}")
USUAL_SIZES = ("1024x1024", "1536x1024", "1024x1536", "1820x1024", "1024x1820")


@dataclass(frozen=True)
class Field:
    """One parameter as it is shown. kind: which widget; choices: (value, words, whether it stands)."""

    name: str
    label: str
    hint: str
    kind: str
    value: str
    faults: Sequence[str]
    choices: Sequence[tuple[str, str, bool]] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    is_required: bool = False


def is_asked(param: Param) -> bool:
    """Whether a person is asked: not for what only shapes an API's answer, names a vendor, or has one answer."""
    match param:
        case kinds.Earlier():
            return False  # who chooses the model itself has named its draft
        case kinds.Tier():
            return len(param.among) > 1
        case kinds.Count():
            return True
    return param.shown and bool(param.word)


def is_first(param: Param) -> bool:
    return param.required or param.name in wares.FIRST


def shown(param: Param, data: QueryDict, faults: Sequence[str]) -> Field:
    """A parameter with what stands in the form, or its default."""
    sent = data.getlist(param.name)
    stands = sent[-1] if sent else "" if param.default in (None, param.nothing) else text(param.default)
    kind, attributes, choices = _widget(param, stands)
    label, hint = wares.name_of(param), wares.hint_of(param)
    return Field(param.name, label, hint, kind, stands, faults, choices, attributes, param.required)


def value(param: Param, data: QueryDict) -> Any:
    """What stands in the form, as JSON has it; what cannot be read is left for the check to refuse."""
    sent = data.getlist(param.name)
    if not sent:
        return None
    written = sent[-1].strip()
    if isinstance(param, kinds.Flag):
        return True if written == "on" else False if param.default else None
    if not written:
        return None
    match param:
        case kinds.OneOf():
            return next((one for one in param.among if str(one) == written), written)
        case kinds.Whole():
            return int(written) if re.fullmatch(r"-?[0-9]{1,12}", written) else written
        case kinds.Number():
            return float(written) if re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]{0,20})?", written) else written
    return written


def usable(param: Param, value: Any) -> Any:
    if value is None:
        return None
    try:
        return field_of(param).run_validation(value)
    except ValidationError:
        return None


def text(value: Any) -> str:
    return (
        ("on" if value else "") if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    )


def told(operation: str, provider: str, stored: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was chosen for a result, as name and value: what one is asked, where it is not the default."""
    offer = BY_NAME[operation].offers.get(provider)
    asked = [param for param in offer.params if is_asked(param)] if offer else []
    chosen = [(param, stored[param.name]) for param in asked if param.name in stored]
    return [(wares.name_of(param), wares.spoken_value(value)) for param, value in chosen if value != param.default]


def is_our_task(task_id: str) -> bool:
    """Whether it is a name that the door made, because its client gave none."""
    return _OUR_TASK.fullmatch(task_id) is not None


def _widget(param: Param, value: str) -> tuple[str, dict[str, Any], list[tuple[str, str, bool]]]:
    """Which widget asks for a parameter: its kind, its attributes, its choices."""
    match param:
        case kinds.Size(among=()):
            sizes = [
                size for size in USUAL_SIZES if all(param.low <= int(side) <= param.high for side in size.split("x"))
            ]
            return "size", {"maxlength": 11}, [(size, wares.spoken(size), False) for size in sizes]
        case kinds.OneOf():
            nothing = [] if param.default is not None else [("", "As the provider likes", not value)]
            listed = [(text(one), wares.spoken(one), text(one) == value) for one in param.among]
            return "choice", {}, [*nothing, *listed]
        case kinds.Count():
            counts = range(param.low, param.high + 1)
            return "choice", {}, [(str(nth), str(nth), str(nth) == value) for nth in counts]
        case kinds.Flag():
            return "flag", {}, []
        case kinds.Number(default=None):
            return "number", {"min": param.low, "max": param.high, "step": "any"}, []
        case kinds.Number():
            # Defaults lie on these steps: a browser would move one that does not.
            step = 0.05 if param.high - param.low <= 2 else 0.5
            return "slider", {"min": param.low, "max": param.high, "step": step}, []
        case kinds.Whole():
            ends = {"min": param.low, "max": param.high} if param.high < kinds.LARGEST else {"min": param.low}
            return "number", {**ends, "step": param.step}, []
    most = cast(kinds.Words, param).most
    return ("area" if most > 1000 and not param.required else "words"), {"maxlength": most}, []
