"""What the MakeIt3D door wants made: from a checked wish and its files to a Plan.

Prices, the one provider that does it and the words of its call come from the catalogue and the registry (MakeIt3D
contract, sections 3, 6 and 7). Nothing is stored or charged here; the look for a draft is one query.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db.models import Q, QuerySet

from config.api.errors import ApiError, FieldFault
from credits.errors import OperationUnavailable
from credits.pricing import Quote
from generation import storage
from generation.doors.makeit3d.catalogue import OURSELVES, Kind
from generation.doors.makeit3d.inputs import Gathered
from generation.doors.makeit3d.parameters import Count, Earlier, OneOf, Tier
from generation.doors.makeit3d.serializers import Wish
from generation.models import Asset, Attempt, Item, ItemStatus
from generation.plan import Candidate, ItemPlan, Plan, RetryPolicy, StepPlan
from providers import registry

DOOR = "makeit3d"
DRAFT = "draft_model_task_id"
# Of all the steps' time the vendor's own takes by far the most, so its percentage is the item's.
THUMBNAIL = StepPlan(name="thumbnail", operation="thumbnail", share=0, required=False)


def operation_of(wish: Wish) -> str:
    """The operation that a provider is asked for. One with several views is another than one with a single picture."""
    views = [url for links in wish.links.values() for url in links if url]
    several = registry.can(wish.provider, "multiview-to-model") and len(views) > 1
    return "multiview-to-model" if wish.operation.name == "image-to-model" and several else wish.operation.name


def model_of(wish: Wish) -> str:
    """The model key that a wish asks for; empty: the provider's usual one."""
    offer = wish.operation.offers[wish.provider]
    for param in offer.params:
        if isinstance(param, Tier) and param.name in wish.values:
            value = wish.values[param.name]
            return str(param.becomes.get(value, value))
    return offer.model


def price_of(wish: Wish) -> tuple[str, str]:
    """(price key, model key) of one result. Raises OperationUnavailable where no provider is there for it."""
    if wish.provider == OURSELVES:
        return wish.operation.name, ""
    operation, model = operation_of(wish), model_of(wish)
    if not registry.can(wish.provider, operation) or not registry.is_available(wish.provider):
        raise OperationUnavailable(operation)
    prices = registry.offer(wish.provider, operation).prices
    model = model or next(iter(prices))
    if model not in prices:
        raise OperationUnavailable(f"{operation} {model}")
    for param in wish.operation.offers[wish.provider].params:
        if isinstance(param, OneOf) and wish.values.get(param.name) in param.prices:
            return param.prices[wish.values[param.name]], model
    return prices[model], model


def can_have_draft(wish: Wish) -> bool:
    return any(isinstance(param, Earlier) for param in _params(wish))


def draft_of(wish: Wish, owner_id: UUID, files: Gathered) -> str:
    """The vendor's own id of the model that is to be refined; empty when it has none of it, so that the file goes up.

    One query at most, two for a draft that another vendor made. Raises ApiError 404 when the caller names one that is
    none of theirs.
    """
    finished = Item.objects.filter(owner=owner_id, door=DOOR, status=ItemStatus.SUCCEEDED, params__table=Kind.MODEL)
    named = wish.values.get(DRAFT)
    if named is None:
        item_id = files.first.item_id if files.first else None
        return _remote_id(finished.filter(pk=item_id), wish.provider) if item_id else ""
    drafts = finished.filter(_is_named(str(named)))
    remote_id = _remote_id(drafts, wish.provider)
    if not remote_id and not drafts.exists():
        text = "No finished model of yours goes by this id."
        raise ApiError(404, "DRAFT_MODEL_NOT_FOUND", text, errors=[FieldFault(DRAFT, text, "NOT_FOUND")])
    return remote_id


def _remote_id(items: QuerySet[Item], provider: str) -> str:
    made = Attempt.objects.filter(item__in=items, provider=provider, outcome__in=["made", "adopted"])
    return made.exclude(remote_id="").order_by("-pk").values_list("remote_id", flat=True).first() or ""


def _is_named(name: str) -> Q:
    try:
        named = UUID(name)
    except ValueError:
        return Q(pk__in=[])
    return Q(request=named) | Q(public_id=str(named))


def plan_request(wish: Wish, owner_id: UUID, files: Gathered, quote: Quote, model: str, draft: str = "") -> Plan:
    """Plan every result that a wish asks for, each under its final name. model, quote: of `price_of`."""
    plan_id = uuid4()
    results = next((wish.values[one.name] for one in _params(wish) if isinstance(one, Count)), 1)
    params = _record(wish, files)
    return Plan(
        id=plan_id,
        door=DOOR,
        owner_id=owner_id,
        items=tuple(_item(wish, files, quote, model, draft, params, plan_id, index) for index in range(results)),
        description=f"Generation: {wish.operation.name}",
        group=wish.task_id,
    )


def _item(
    wish: Wish, files: Gathered, quote: Quote, model: str, draft: str, params: dict[str, Any], plan_id: UUID, index: int
) -> ItemPlan:
    made = _made_by_ourselves(wish, files) if wish.provider == OURSELVES else _generate(wish, files, model, draft)
    operation = wish.operation
    final = storage.task_key(operation.kind, wish.task_id, f"{plan_id}_{operation.file or index}.{{extension}}")
    publish = StepPlan(name="publish", operation="publish", inputs={"from": made.name, "to": final, "as": ""}, share=0)
    return ItemPlan(
        public_id=str(uuid4()),
        steps=(made, publish, THUMBNAIL),
        prompt=wish.prompt or operation.written or "",
        params=params,
        price_key=quote.key,
        price=quote.credits,
        cost_usd=str(quote.cost_usd or 0),
        deadline_s=settings.MAKEIT3D_DEADLINE_S,
    )


def _generate(wish: Wish, files: Gathered, model: str, draft: str) -> StepPlan:
    inputs: dict[str, Any] = {"prompt": wish.prompt} if wish.prompt else {}
    inputs |= {"draft_remote_id": draft} if draft else {}
    for param in _params(wish):
        inputs |= param.inputs(wish.values.get(param.name))
    if "style_id" in inputs:  # a style of one's own takes the place of a named one
        inputs.pop("style", None), inputs.pop("substyle", None)
    for one in wish.operation.inputs:
        keys = files.keys(one)
        inputs[one.word] = keys if one.word == "images" else keys[0]
    return StepPlan(
        name="generate",
        operation=operation_of(wish),
        inputs=inputs,
        candidates=(Candidate(wish.provider, model),),
        timeout_s=settings.MAKEIT3D_CALL_TIMEOUT_S,
        park_s=settings.MAKEIT3D_DEADLINE_S,
        retry=RetryPolicy(base_s=settings.MAKEIT3D_RETRY_BASE_S),
        share=100,
    )


def _made_by_ourselves(wish: Wish, files: Gathered) -> StepPlan:
    picture = files.first
    assert picture is not None
    return StepPlan(
        name=wish.operation.name,
        operation=wish.operation.name,
        inputs={**wish.values, "images": [picture.key]},
        share=100,
    )


def _record(wish: Wish, files: Gathered) -> dict[str, Any]:
    """What the client's own record of a result says. Nothing in it may tell a vendor."""
    source = files.first
    hidden = {param.name for param in _params(wish) if not param.shown}
    shown = {name: value for name, value in wish.values.items() if name not in hidden}
    return {
        "table": wish.operation.kind,
        "operation": wish.operation.name,
        "task_id": wish.task_id,
        "provider": wish.provider,
        "style": wish.values.get("style"),
        "parameters": {**shown, **({"sent_as": files.sent_as} if files.adapted else {})},
        "given": list(wish.given),
        "ignored": list(wish.ignored),
        "source_input_asset_id": str(source.pk) if source else None,
        "source_image_id": _source_image(source),
    }


def _source_image(source: Asset | None) -> str | None:
    """The record of the picture that this was made from, when it was one of this door's results."""
    item = source.item if source else None
    return item.public_id if item and item.door == DOOR and item.params.get("table") == Kind.IMAGE else None


def _params(wish: Wish) -> Sequence[Any]:
    return wish.operation.offers[wish.provider].params
