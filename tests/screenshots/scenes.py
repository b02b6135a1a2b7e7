"""Which rows of the demo desk the table of pages looks at: the best of each kind."""

from __future__ import annotations

from typing import Any

from config.models import Approval, User
from generation.admin import bulk
from generation.admin.verbs import ITEM_VERBS
from generation.models import Avatar, Item, ItemStatus, LibraryPose, PoseWish, Request, RequestStatus, StorySession
from tests.screenshots import wishes
from tests.site.house import House


def house(staffs_work: dict[str, Any]) -> House:
    """The demo desk as `tests.site.pages` knows one: the first customer is its Alice, the first of staff its Stella."""
    mara, (noor, finn) = _person(next(iter(wishes.CUSTOMERS))), map(_person, wishes.STAFF)
    hers = Request.objects.filter(owner=mara).order_by("-created_at")
    ended = hers.filter(status=RequestStatus.COMPLETED)
    session = StorySession.objects.get(owner=mara)
    assert session.request
    poses = ended.filter(door="poses", group__regex="^[0-9a-f-]{36}$")[0]
    running = hers.filter(items__status__in=[ItemStatus.RUNNING, ItemStatus.WAITING])
    tomas = Item.objects.filter(owner__username="tomas", status=ItemStatus.QUEUED).order_by("pk")
    verbs = {verb.name: verb for verb in ITEM_VERBS}
    return House(
        alice=mara,
        newcomer=_person(wishes.NEWCOMER),
        stella=noor,
        sam=finn,
        picture=ended.filter(door="visuals", description__endswith="illustration")[0],
        batch=ended.filter(door="visuals", items__status=ItemStatus.FAILED)[0],
        model=ended.filter(items__price_key__startswith="image_to_model")[0],
        failed=hers.filter(status=RequestStatus.FAILED)[0],
        waiting=hers.filter(items__status=ItemStatus.QUEUED)[0],
        running=running[0],
        held=hers.filter(items__status=ItemStatus.HELD)[0],
        story=session.request,
        session=session,
        poses=poses,
        pose=poses.items.filter(status=ItemStatus.SUCCEEDED).order_by("index")[0],
        library_pose=LibraryPose.objects.order_by("category__display_order", "name")[0],
        avatar=Avatar.objects.get(owner=mara),
        wish=PoseWish.objects.filter(status="pending")[0],
        approval=Approval.objects.filter(decided_at=None)[0],
        asked_bulk=bulk.choose(verbs["cancel"], [tomas], chosen="Customer: tomas; state: queued", actor=noor),
        **staffs_work,
    )


def _person(name: str) -> User:
    return User.objects.get(username=name)
