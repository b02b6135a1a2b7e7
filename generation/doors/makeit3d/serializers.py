"""The JSON that the MakeIt3D door takes, as the catalogue has it. What it answers is in `answers`.

One form for each operation and provider, built once per process; `read` finds every fault at once. Null counts as
absent everywhere, unknown fields are ignored, and so are the parameters of other providers, which one body may
carry: the record names them.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from config.api import fields
from generation.doors.makeit3d import parameters as kinds
from generation.doors.makeit3d.catalogue import OPERATIONS, PROMPT_CHARS, URL_CHARS, Input, Operation, Prompt
from generation.doors.makeit3d.parameters import Param
from providers import registry

PROVIDER, TASK_ID, PROMPT = "provider", "task_id", "prompt"
MOST_TASK_ID = 200
_TASK_ID = re.compile(r"[A-Za-z0-9._:-]+")


@dataclass(frozen=True)
class Wish:
    """A request as a client made it, checked.

    links: input field -> its URLs in order, None for a missing view. values: parameter -> value, defaults included,
    without those that are None. given: the parameters that the client named. ignored: those of them, and of other
    providers, that come to nothing.
    """

    operation: Operation
    provider: str
    task_id: str
    prompt: str | None
    links: Mapping[str, tuple[str | None, ...]]
    values: Mapping[str, Any]
    given: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


def read(operation: Operation, body: Any) -> Wish:
    """Check a body that the parser left. Raises ValidationError with every fault, an unsuitable provider first."""
    sent = {name: value for name, value in body.items() if value is not None}
    alias, fault = _provider(operation, sent)
    form = _FORMS[operation.name, alias]
    offer = operation.offers[alias] if alias else None
    lenient = [param for param in offer.params if param.lenient] if offer else []
    unusable = {param.name for param in lenient if param.name in sent and not _is_usable(param, sent[param.name])}
    try:
        checked = form.run_validation({name: value for name, value in sent.items() if name not in unusable})
    except ValidationError as error:
        raise ValidationError({**fault, **error.detail}) if fault else error from None  # type: ignore[dict-item]
    if fault or offer is None:
        raise ValidationError(fault)
    known = {param.name for param in offer.params}
    given = [name for name in operation.names if name in sent]
    if operation.prompt is Prompt.OPTIONAL and sent.get(PROMPT):
        given.append(PROMPT)  # not every model listens to it
    useless = {param.name for param in offer.params if not param.word} | unusable
    values = {param.name: checked.get(param.name, param.default) for param in offer.params}
    return Wish(
        operation=operation,
        provider=alias,
        task_id=checked.get(TASK_ID) or new_task_id(operation.name),
        prompt=checked.get(PROMPT) or None,
        links={one.name: _links_of(one, checked) for one in operation.inputs},
        values={name: value for name, value in values.items() if value not in (None, "")},
        given=tuple(given),
        ignored=tuple(name for name in given if name != PROMPT and (name not in known or name in useless)),
    )


def new_task_id(operation: str) -> str:
    return f"{operation}-{int(time.time())}-{secrets.token_hex(4)}"


def is_task_id(text: str) -> bool:
    """Letters, digits and `._:-`, at most 200; no `..`, because it becomes a folder."""
    fits = 0 < len(text) <= MOST_TASK_ID and _TASK_ID.fullmatch(text) is not None
    return fits and ".." not in text and text != "."


def _provider(operation: Operation, sent: Mapping[str, Any]) -> tuple[str, dict[str, list[ErrorDetail]]]:
    """The alias that is to do it, or what is wrong with the one that was named."""
    named = sent.get(PROVIDER) if operation.has_provider else None
    if named in (None, ""):
        if operation.default:
            return operation.default, {}
        return "", {PROVIDER: [ErrorDetail("This field is required.", "required")]}
    alias = (registry.alias_of(named) if isinstance(named, str) else None) or ""
    if alias in operation.offers:
        return alias, {}
    text = "Must be a provider that does this, by alias or name." if isinstance(named, str) else "Must be text."
    return "", {PROVIDER: [ErrorDetail(text, "invalid_choice" if isinstance(named, str) else "invalid")]}


def _links_of(one: Input, checked: Mapping[str, Any]) -> tuple[str | None, ...]:
    found = checked[one.name]
    return tuple(url or None for url in found) if one.most else (found,)


def _is_usable(param: Param, value: Any) -> bool:
    try:
        field_of(param).run_validation(value)
    except ValidationError:
        return False
    return True


# --- Fields of the catalogue ---------------------------------------------------------------------


class TaskId(fields.Text):
    default_error_messages = {
        "unusable": "Must be letters, digits and . _ : - without two dots in a row.",
        "max_length": "Must be at most {max_length} characters long.",
    }

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if not is_task_id(text) and len(text) <= MOST_TASK_ID:
            self.fail("unusable")
        return text


class Links(serializers.ListField):
    """URLs in order. The first one must be there; a later one may be null or empty: a missing view."""

    default_error_messages = {
        "not_a_list": "Must be a list of links.",
        "empty": "Must hold at least one link.",
        "first": "The first link must be there.",
    }

    def to_internal_value(self, data: Any) -> list[Any]:
        found = super().to_internal_value(data)
        if not found[0]:
            self.fail("first")
        return found


def field_of(param: Param) -> serializers.Field:
    """The field that checks a parameter's value. Its default is filled in by `read`, not here."""
    rest: dict[str, Any] = {"required": param.required, "help_text": param.help or None}
    match param:
        case kinds.Size(among=()):
            return fields.Size(param.low, param.high, **rest)
        case kinds.OneOf():
            return fields.Choice(param.among, also=param.also, **rest)
        case kinds.Words():
            return fields.Text(max_length=param.most, allow_blank=not param.required, **rest)
        case kinds.Whole():
            return fields.Whole(param.low, param.high, step=param.step, **rest)
        case kinds.Number():
            return fields.Number(param.low, param.high, **rest)
        case kinds.Flag():
            return fields.Flag(**rest)
    raise TypeError(f"no field for {param}")


def input_field(one: Input) -> serializers.Field:
    if not one.most:
        return fields.Text(max_length=URL_CHARS, help_text=one.help)
    link = fields.Text(max_length=URL_CHARS, allow_blank=True, allow_null=True)
    count = f"Must hold 1 to {one.most} links."
    return Links(
        child=link,
        allow_empty=False,
        max_length=one.most,
        help_text=one.help,
        error_messages={"max_length": count, "empty": count},
    )


def common_fields(operation: Operation) -> dict[str, serializers.Field]:
    """What every body of an operation may hold, whichever provider makes it."""
    found: dict[str, serializers.Field] = {
        TASK_ID: TaskId(
            required=False,
            trim_whitespace=False,  # it is looked up as it was sent
            max_length=MOST_TASK_ID,
            help_text="Your own id; what belongs together shares one. Absent: we make one",
        )
    }
    if operation.prompt is not Prompt.ABSENT:
        must = operation.prompt is Prompt.REQUIRED
        found[PROMPT] = fields.Text(
            required=must, allow_blank=not must, max_length=PROMPT_CHARS, help_text=f"At most {PROMPT_CHARS} characters"
        )
    return found | {one.name: input_field(one) for one in operation.inputs}


def _form(name: str, members: Mapping[str, serializers.Field]) -> serializers.Serializer[Any]:
    messages = {"default_error_messages": {"invalid": "Must be an object."}}
    made: serializers.Serializer[Any] = type(name, (serializers.Serializer,), {**members, **messages})()
    return made


def _forms(operations: Iterable[Operation]) -> dict[tuple[str, str], serializers.Serializer[Any]]:
    """Operation and alias -> its form; under an empty alias what can be checked without a provider."""
    found = {}
    for operation in operations:
        found[operation.name, ""] = _form("Common", common_fields(operation))
        for alias, offer in operation.offers.items():
            params = {param.name: field_of(param) for param in offer.params}
            found[operation.name, alias] = _form("Form", common_fields(operation) | params)
    return found


# Validation keeps nothing in a serializer, so one of each serves all threads.
_FORMS = _forms(OPERATIONS)
