"""Working: one claimed item through one step.

    work    adopt what is stored | our own image work | begin -> call -> keep, judge or park | stumble

The database connection goes back to the pool around the provider's call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db import connection
from django.db.models.functions import Now

from generation import images, states, storage
from generation.claim import Claim
from generation.engine import closing
from generation.engine.again import survives_restart
from generation.engine.attempts import Gone, end_attempt
from generation.engine.judging import take
from generation.engine.keeping import adopted, made_by_us, park
from generation.engine.publishing import publish
from generation.engine.settling import settle
from generation.engine.stumbling import bug_of, lose, stumble
from generation.models import Attempt, Item, Outcome, rows
from generation.plan import INTERNAL, StepPlan
from generation.steps import PUBLISH, STEPS, Piece, key_of
from providers import registry
from providers.base import Call, Made, Pending
from providers.errors import ProviderError

log = logging.getLogger(__name__)


def work(claim: Claim) -> None:
    """Do one claimed step, whatever comes of it; raises only what a restart of the database outlasts."""
    try:
        if claim.item.adopts:
            adopt(claim, claim.item.adopts)
        elif claim.item.lane == INTERNAL:
            _work_ourselves(claim)
        else:
            _ask_provider(claim)
    except Gone:
        log.info("the item was taken away", extra={"item": claim.item.public_id, "attempt": claim.attempt_id})


def _ask_provider(claim: Claim) -> None:
    plan, following = claim.item.step_plan, None
    try:
        begin(claim)
    except Gone:
        _not_sent(claim)
        return
    try:
        answer = _call(claim, plan)
        if isinstance(answer, Made):
            following = take(claim, answer, carries_on=True)
        else:
            park(claim, answer)
    except ProviderError as error:
        stumble(claim, error)
    except Gone:
        raise
    except Exception as bug:
        log.exception("a bug in a step", extra={"item": claim.item.public_id, "attempt": claim.attempt_id})
        stumble(claim, bug_of(bug))
    if following:
        _work_ourselves(following)


@survives_restart
def begin(claim: Claim) -> None:
    """Write down that a call goes out now, and move the request on when it is the first. Raises Gone.

    A crash between the claim and this is mended by the next claim's begin.
    """
    if not states.begin(claim.item, claim.fence):
        raise Gone


def _call(claim: Claim, plan: StepPlan) -> Made | Pending:
    candidate = plan.candidates[claim.item.candidate]
    inputs, unread = _inputs(claim.item, plan.inputs)
    if unread:
        rows.update(Attempt, claim.attempt_id, to={"said": {"unread": unread}})
    call = Call(
        operation=plan.operation,
        model=candidate.model,
        inputs=inputs,
        deadline_s=plan.timeout_s,
        attempt_ref=str(claim.attempt_id),
    )
    connection.close()  # back to the pool: nobody holds one while a provider works
    return registry.adapter(candidate.provider).run(call)


def _inputs(item: Item, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Read the files that inputs name, by storage key or as an earlier step's result; and those that could not be."""

    def read(name: str | None) -> bytes | None:
        return None if name is None else storage.read(key_of(item, name))

    read_in: dict[str, Any] = {name: read(inputs[name]) for name in ("mask", "model") if inputs.get(name)}
    if inputs.get("images"):
        read_in["images"] = [read(name) for name in inputs["images"]]
    optional: Sequence[str] = inputs.get("optional_images", ())
    found = {name: picture for name in optional if (picture := _framed(name, inputs["width"], inputs["height"]))}
    if found:
        read_in["images"] = [*read_in.get("images", ()), *found.values()]
    given = {name: value for name, value in inputs.items() if name != "optional_images"}
    return {**given, **read_in}, [name for name in optional if name not in found]


def _framed(key: str, width: int, height: int) -> bytes | None:
    """Read a picture that may be missing or of no use. Raises StorageError when the store is away."""
    try:
        return images.framed(storage.open_file(key), (width, height)).data
    except (storage.KeyMissing, storage.StoreRefuses, images.BadPicture) as fault:
        log.info("an optional picture was left out: %s", fault, extra={"key": key})
        return None


def _work_ourselves(claim: Claim) -> None:
    """Do a step of our own. One that is not required never fails the item: the step ends without a result."""
    plan = claim.item.step_plan
    connection.close()
    try:
        if plan.name == PUBLISH:
            publish(claim)
        else:
            settle(claim, made_by_us(claim.item, claim.fence, _work_of(plan)))
    except Gone:
        raise
    except Exception as error:
        log.warning("a step of our own failed", exc_info=True, extra={"item": claim.item.public_id})
        if plan.required:
            stumble(claim, bug_of(error))
        else:
            settle(claim, None, error=f"{type(error).__name__}: {error}")


def _work_of(plan: StepPlan) -> Callable[[Item], Sequence[Piece]]:
    if work := STEPS[plan.name].work:
        return work
    raise LookupError(f"step {plan.name} has no work of its own")


def adopt(claim: Claim, attempt_id: int) -> None:
    """Take over what an earlier attempt had stored before its worker died: no provider is asked again.

    When the stored object does not match what that attempt received, its call is a loss.
    """
    item = claim.item
    old = Attempt.objects.get(pk=attempt_id)
    connection.close()
    found = adopted(item, old)
    if found is None:
        end_attempt(claim.attempt_id, Outcome.NOT_SENT, None, Now())
        lose(item, claim.fence, old)
        return
    settle(claim, found)
    Attempt.objects.filter(pk=old.pk).update(outcome=Outcome.ADOPTED)


def _not_sent(claim: Claim) -> None:
    """The item was taken away between claim and begin: no call went out, so a cancel owes its owner everything."""
    closing.end_without_result(claim.attempt_id, Outcome.NOT_SENT)
