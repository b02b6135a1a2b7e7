"""The forms of the MakeIt3D door: fields from its catalogue, faults from its own check, the price of what is chosen.

What a form holds becomes the API's own body, in which stands only what differs from the defaults; nothing about an
operation is written down a second time.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from django.http import QueryDict
from django.utils.datastructures import MultiValueDict
from rest_framework.exceptions import ValidationError

from config.api.errors import ApiError
from config.models import User
from generation import storage
from generation.dashboard import bills, fields, sources, wares
from generation.dashboard.bills import Bill
from generation.dashboard.forms import faults_of, in_words
from generation.dashboard.slots import Slot, asked_names, names_of, slots_of
from generation.doors.makeit3d import parameters as kinds
from generation.doors.makeit3d import serializers
from generation.doors.makeit3d.catalogue import BY_NAME, OURSELVES, PROMPT_CHARS, Input, Operation, Prompt
from generation.doors.makeit3d.parameters import Param
from generation.doors.makeit3d.serializers import MOST_TASK_ID, PROMPT, PROVIDER, TASK_ID, Wish
from generation.models import Asset, Item
from providers import registry

USUAL_SIZES = ("1024x1024", "1536x1024", "1024x1536", "1820x1024", "1024x1820")
CHOOSE = "Choose a file, or one of yours."
MISSING = {PROMPT: "Say what it should show.", "select_prompt": "Say what to find.", PROVIDER: "Choose one of these."}
_NTH = re.compile(r"\[(\d+)\]")


class CatalogueForm:
    """What a person chose of one operation. wish: there once it is valid.

    form_key: makes a double click one order.
    """

    wish: Wish

    def __init__(self, operation: Operation, owner: User, base_url: str, data: Mapping[str, Any] | None = None) -> None:
        self.operation, self.owner, self.base_url = operation, owner, base_url
        self._data: QueryDict = data if isinstance(data, QueryDict) else _query(data or {})
        self.faults: dict[str, list[str]] = {}
        self.form_key = self._data.get("form_key") or str(uuid.uuid4())

    # --- What was chosen ---

    @cached_property
    def provider(self) -> str:
        """The alias that is chosen: else the usual one, or the first that is there."""
        named = self._data.get(PROVIDER, "")
        if named in self.operation.offers:
            return named
        there = [alias for alias in self.operation.offers if self._is_there(alias)]
        usual = self.operation.default
        return usual if usual and (usual in there or not there) else next(iter(there or self.operation.offers))

    @property
    def offer(self) -> Any:
        return self.operation.offers[self.provider]

    @cached_property
    def params(self) -> list[Param]:
        """What the provider lets one choose; not what only an API client or a vendor's own words have a use for."""
        return [param for param in self.offer.params if fields.is_asked(param)]

    @cached_property
    def assets(self) -> dict[str, Asset]:
        """The files that are chosen, by their ids. A query for each kind."""
        found: dict[str, Asset] = {}
        for kind in {one.kind for one in self.operation.inputs}:
            names = [name for one in self.operation.inputs if one.kind is kind for name in names_of(one)]
            found |= sources.find(self.owner.pk, kind, [self._data.get(name, "") for name in names])
        return found

    def asset(self, name: str) -> Asset | None:
        return self.assets.get(self._data.get(name, ""))

    @cached_property
    def body(self) -> dict[str, Any]:
        """The API's own body for these values."""
        body: dict[str, Any] = (
            {PROVIDER: self._data.get(PROVIDER) or self.provider} if self.operation.has_provider else {}
        )
        if task := self._data.get(TASK_ID, "").strip():
            body[TASK_ID] = task
        if self.operation.prompt is not Prompt.ABSENT and (prompt := self._data.get(PROMPT, "").strip()):
            body[PROMPT] = prompt
        for one in self.operation.inputs:
            links = [self._link(name) for name in asked_names(one, self.offer)]
            while links and links[-1] is None:
                links.pop()
            if links:
                body[one.name] = links if one.most else links[0]
        for param in self.params:
            value = fields.value(param, self._data)
            if value is not None and value != param.default:
                body[param.name] = value
        return body

    @property
    def order(self) -> dict[str, Any]:
        """What tells this order from another: links are signed anew each time, the files behind them stay."""
        names = [name for one in self.operation.inputs for name in asked_names(one, self.offer)]
        rest = {
            key: value for key, value in self.body.items() if key not in {one.name for one in self.operation.inputs}
        }
        return {**rest, **{name: self._data.get(name, "") for name in names}}

    def _link(self, name: str) -> str | None:
        asset = self.asset(name)
        return storage.link(asset.key, self.base_url) if asset else None

    @staticmethod
    def _is_there(alias: str) -> bool:
        return alias == OURSELVES or registry.is_available(alias)

    # --- Checking ---

    def is_valid(self) -> bool:
        """Check it as the API does, its files aside. Fills `faults`."""
        try:
            self.wish = serializers.read(self.operation, self.body)
        except ValidationError as refusal:
            self.refuse(refusal)
        return not self.faults

    def keep_files(self, files: MultiValueDict) -> None:
        """Keep what was brought with the form, each at its place. Raises ApiError 503 alone; else it is a fault."""
        for one in self.operation.inputs:
            for name in names_of(one):
                if sent := files.get(f"{name}.file"):
                    self.keep(one, name, sent)

    def keep(self, one: Input, name: str, sent: Any) -> None:
        try:
            asset = sources.keep(sent, one.kind, self.owner.pk)
        except ApiError as refusal:
            self.fault(name, refusal.message.replace("It must lead to a", "It must be a"))
            return
        self.put(name, str(asset.pk))

    def put(self, name: str, value: str) -> None:
        data = self._data.copy()
        data[name] = value
        self._data = data
        for known in ("assets", "body"):
            self.__dict__.pop(known, None)

    def fault(self, name: str, text: str) -> None:
        self.faults.setdefault(name, []).append(text)

    def refuse(self, refusal: ValidationError | ApiError) -> None:
        """Show a refusal of the door's at the fields it speaks of."""
        if isinstance(refusal, ApiError):
            path = _NTH.sub(r".\1", refusal.errors[0].field) if refusal.errors else ""
            self.fault(self._place(path), in_words(refusal).replace("It must lead to a", "It must be a"))
            return
        for path, text in faults_of(refusal.detail):
            place = self._place(path)
            self.fault(place, self._in_words(place, text))

    def again(self) -> None:
        """The same values and faults under a fresh key: what was refused may be sent once more."""
        self.form_key = str(uuid.uuid4())

    def _place(self, path: str) -> str:
        shown = {PROMPT, PROVIDER, TASK_ID, *(param.name for param in self.params), *(slot.name for slot in self.slots)}
        return next((place for place in (path, f"{path}.0") if place in shown), "")

    def _in_words(self, place: str, text: str) -> str:
        is_missing = text.startswith("This field is required") or text == "The first link must be there."
        if is_missing and any(slot.name == place for slot in self.slots):
            return CHOOSE
        return MISSING.get(place, "This must be given.") if is_missing else text

    # --- Showing ---

    @property
    def general_faults(self) -> list[str]:
        return self.faults.get("", [])

    @property
    def prompt(self) -> str:
        return str(self._data.get(PROMPT, ""))

    @property
    def prompt_kind(self) -> str:
        return self.operation.prompt.value

    @property
    def most_prompt(self) -> int:
        return PROMPT_CHARS

    @property
    def prompt_faults(self) -> list[str]:
        return self.faults.get(PROMPT, [])

    @property
    def task(self) -> str:
        return str(self._data.get(TASK_ID, ""))

    @property
    def most_task(self) -> int:
        return MOST_TASK_ID

    @property
    def task_faults(self) -> list[str]:
        return self.faults.get(TASK_ID, [])

    @property
    def slots(self) -> list[Slot]:
        places = [name for one in self.operation.inputs for name in asked_names(one, self.offer)]
        return slots_of(self.operation, self.offer, {name: self.asset(name) for name in places}, self.faults)

    def slot(self, name: str) -> Slot | None:
        return next((slot for slot in self.slots if slot.name == name), None)

    @property
    def first_fields(self) -> list[fields.Field]:
        return [
            fields.shown(param, self._data, self.faults.get(param.name, []))
            for param in self.params
            if fields.is_first(param)
        ]

    @property
    def more_fields(self) -> list[fields.Field]:
        return [
            fields.shown(param, self._data, self.faults.get(param.name, []))
            for param in self.params
            if not fields.is_first(param)
        ]

    @property
    def has_more_faults(self) -> bool:
        return any(one.faults for one in self.more_fields) or bool(self.task_faults)

    @cached_property
    def providers(self) -> list[tuple[str, str, int | None, bool]]:
        """Alias, name, price by its defaults (None: not on offer now) and whether it is chosen. A query for each."""
        return [
            (alias, wares.provider_name(alias), self._usual_price(alias), alias == self.provider)
            for alias in self.operation.offers
        ]

    # --- What it costs ---

    def _usual_price(self, alias: str) -> int | None:
        values = {param.name: param.default for param in self.operation.offers[alias].params}
        return bills.price_of(self._wish(alias, {name: value for name, value in values.items() if value is not None}))

    def bill(self, balance: int) -> Bill:
        """What it would cost as it stands, faults or not. One query."""
        values: dict[str, Any] = {}
        for param in self.offer.params:
            value = fields.usable(param, fields.value(param, self._data)) if fields.is_asked(param) else None
            if (value := param.default if value is None else value) is not None:
                values[param.name] = value
        count = next((values[param.name] for param in self.offer.params if isinstance(param, kinds.Count)), 1)
        return Bill(bills.price_of(self._wish(self.provider, values)), count, balance)

    def _wish(self, alias: str, values: Mapping[str, Any]) -> Wish:
        links = {
            one.name: tuple(
                name if self.asset(name) else None
                for name in names_of(one)[: self.operation.offers[alias].takes or None]
            )
            for one in self.operation.inputs
        }
        return Wish(self.operation, alias, "", None, links, values)


def earlier(item: Item) -> dict[str, str]:
    """The values of an earlier result of one's own, to make it again or to change it. One query."""
    asked, made_from = item.params, item.steps[0]["inputs"]
    values = {name: fields.text(value) for name, value in asked["parameters"].items() if value is not None}
    values[PROVIDER] = asked["provider"]
    operation = BY_NAME[asked["operation"]]
    if operation.prompt is not Prompt.ABSENT:
        values[PROMPT] = item.prompt
    if not fields.is_our_task(asked["task_id"]):
        values[TASK_ID] = asked["task_id"]
    for one in operation.inputs:
        keys = made_from.get(one.word) or []
        keys = keys if isinstance(keys, list) else [keys]
        mine = sources.by_keys(item.owner_id, keys)
        for name, key in zip(names_of(one), keys, strict=False):
            if key in mine:
                values[name] = str(mine[key].pk)
    return values


# --- Small things ----------------------------------------------------------------------------------


def _query(values: Mapping[str, Any]) -> QueryDict:
    data = QueryDict(mutable=True)
    data.update({name: str(value) for name, value in values.items()})
    return data
