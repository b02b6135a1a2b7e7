"""A desk with something on every page: all doors have been used, things went well, badly and are still going on.

Made by the doors, the engine and the simulator themselves, so that rows are what real work leaves behind. Needs a
database with commits, a simulator and a folder for files; `tests/site/conftest.py` brings them.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from config.api import personal
from config.models import Approval, PersonalToken, StaffAct, User
from config.staff import Order, act, ask_second
from credits import ledger
from credits.models import Account, Entry, Price
from generation import audit, chores, engine
from generation.admin import bulk
from generation.admin.verbs import ITEM_VERBS
from generation.claim import claim
from generation.models import (
    Asset,
    AssetKind,
    Attempt,
    AuditRun,
    Avatar,
    Bulk,
    Chore,
    Event,
    HoldReason,
    Item,
    ItemStatus,
    LibraryPose,
    PoseWish,
    Request,
    StorySession,
)
from providers.models import Lane
from tests.doors.makeit3d.desk import Customer as Modeller
from tests.doors.poses.desk import Customer as Poser
from tests.doors.poses.desk import make_pose
from tests.doors.stories.desk import Author, let_time_pass, story
from tests.doors.visuals.desk import Customer
from tests.simulator import Remote

PROMPT = "A lighthouse on a cliff at dawn, gulls around it"
SESSION = "the-tides"


@dataclass(frozen=True)
class House:
    """Alice owns all work; newcomer has none. stella may do everything, sue is the second one; sam may do nothing."""

    alice: User
    newcomer: User
    stella: User
    sam: User
    picture: Request
    batch: Request
    model: Request
    failed: Request
    waiting: Request
    running: Request
    held: Request
    story: Request
    session: StorySession
    poses: Request
    pose: Item
    quarantined: Item
    library_pose: LibraryPose
    avatar: Avatar
    wish: PoseWish
    approval: Approval
    asked_bulk: Bulk
    done_bulk: Bulk

    @property
    def item(self) -> Item:
        """One that ended well: a call, a picture, its thumbnail."""
        return self.picture.items.get()

    @property
    def asset(self) -> Asset:
        return Asset.objects.get(request=self.picture, kind=AssetKind.IMAGE)

    @property
    def attempt(self) -> Attempt:
        return Attempt.objects.filter(item=self.item).latest("pk")

    @property
    def event(self) -> Event:
        return Event.objects.filter(request=self.picture).latest("seq")

    @property
    def entry(self) -> Entry:
        return Entry.objects.filter(account__owner=self.alice).latest("pk")

    @property
    def token(self) -> PersonalToken:
        return PersonalToken.objects.get(owner=self.alice)

    @property
    def price(self) -> Price:
        return Price.objects.get(operation_key="visual_cover", provider="", model="")

    @property
    def chore(self) -> Chore:
        return Chore.objects.latest("pk")

    @property
    def audit(self) -> AuditRun:
        return AuditRun.objects.latest()

    @property
    def staff_act(self) -> StaffAct:
        return StaffAct.objects.latest("pk")


def build(simulator: Remote) -> House:
    """Use the whole desk. Takes a few seconds."""
    simulator.reset()
    alice = person("alice", 2000)
    personal.make(alice, "The nightly import", days=90)
    stella = person("stella", is_staff=True, is_superuser=True)
    sue = person("sue", is_staff=True, is_superuser=True)
    asked = _ask(simulator, alice)
    change_background(alice, asked["poses"])
    lane = Lane.objects.get(name="provider_b")
    engine.pause(lane.name, actor="stella", reason="Their answers have been slow since noon")
    open_work: dict[str, Any] = {
        name: _submitted(alice, prompt=f"{PROMPT}, {name}") for name in ("waiting", "running", "held")
    }
    engine.hold(open_work["held"].pk, actor="stella")
    Item.objects.filter(request=open_work["running"]).update(
        status=ItemStatus.RUNNING, progress=40, lease_until=timezone.now(), first_started_at=timezone.now()
    )
    return House(
        alice=alice,
        newcomer=person("newcomer"),
        stella=stella,
        sam=person("sam", is_staff=True),
        session=StorySession.objects.get(session_id=SESSION),
        pose=asked["poses"].items.order_by("index")[0],
        avatar=Avatar.objects.create(owner=alice, name="Robin", attributes={"hairStyle": "curls"}),
        wish=PoseWish.objects.create(owner=alice, pose_name="Handstand", description="On one hand, please"),
        **asked,
        **open_work,
        **_staffs_work(stella, sue, alice, asked["failed"], asked["batch"]),
    )


def person(name: str, credits: int = 0, **fields: bool) -> User:
    """Make a person whose password is their name."""
    with transaction.atomic():
        user = User.objects.create_user(username=name, password=name, email=f"{name}@example.com", **fields)
        ledger.open_account(user, signup_grant=False)
        if credits:
            ledger.grant(user.pk, credits, reference=f"house:{user.pk}", description="Credits to begin with")
    return user


def _ask(simulator: Remote, alice: User) -> dict[str, Any]:
    """Ask at every door, and let all of it be made."""
    for vendor in ("openai", "huggingface"):
        simulator.faults(vendor, "bad-input", times=9, match="impossible")
    library_pose = make_pose("Arms folded")
    make_pose("Hand on hip")
    picture = _submitted(alice)
    failed = _submitted(alice, prompt="An impossible staircase in a garden")
    answer = Customer(alice).batch({}, {"type": "cover", "prompt": "An impossible harbour at noon"}, {})
    batch = Request.objects.get(public_id=answer.json()["batchId"])
    model = Request.objects.get(pk=Modeller(alice).asked("text-to-model", prompt="A wooden chair, studio light"))
    author = Author(alice)
    drawn = author.started(story_text(), SESSION, num_images=1)
    generation = Poser(alice).generated(
        library_pose, make_pose("Walking"), exportFormats=["instagram_post", "twitter_post"]
    )
    work()
    quarantined = failed.items.get()
    Item.objects.filter(pk=quarantined.pk).update(quarantined_at=timezone.now(), losses=3)
    return {
        "picture": fresh(picture),
        "failed": fresh(failed),
        "batch": fresh(batch),
        "model": fresh(model),
        "story": fresh(drawn),
        "poses": Request.objects.get(pk=generation),
        "library_pose": library_pose,
        "quarantined": fresh(quarantined),
    }


def change_background(alice: User, generation: Request) -> None:
    pose = generation.items.order_by("index")[0]
    answer = Poser(alice).change(pose.public_id, backgroundMode="solid_color", backgroundColor="#f4d0c0")
    assert answer.status_code == 202, answer.json()
    work()


def _submitted(alice: User, **fields: Any) -> Request:
    answer = Customer(alice).submit(type="cover", **{"prompt": PROMPT, **fields})
    assert answer.status_code == 200, answer.json()
    return Item.objects.select_related("request").get(public_id=answer.json()["requestId"]).request


def _staffs_work(stella: User, sue: User, alice: User, failed: Request, batch: Request) -> dict[str, Any]:
    """What staff have done, and what waits for one of them."""
    verbs = {verb.name: verb for verb in ITEM_VERBS}
    ended = batch.items.filter(status=ItemStatus.SUCCEEDED).order_by("pk")
    first, second = ended[:2]
    act(verbs["refund"], first, f"item:{first.pk}", _order(stella, "The sky came out green"))
    ask_second(verbs["refund"], second, f"item:{second.pk}", str(second), _order(sue, "So it did here"))
    account = Account.objects.get(owner=alice)
    with transaction.atomic():
        ledger.grant(account.pk, 5, reference=f"staff:{uuid.uuid4()}", description="With our thanks", actor="stella")
    open_items = [Item.objects.filter(owner=alice).order_by("pk")]
    done = bulk.choose(verbs["hold"], [Item.objects.filter(request=failed)], chosen="Door: visuals", actor=stella)
    bulk.begin(done.pk, reason="Wait for the new key", values={})
    while chores.do_next():
        pass
    audit.run(full=True)
    AuditRun.objects.create(at=timezone.now(), faults=[{"rule": "balance", "subject": "account 7", "text": "off by 2"}])
    Chore.objects.create(kind="prune", key="2026-01-01", run_after=timezone.now())
    return {
        "approval": Approval.objects.get(),
        "asked_bulk": bulk.choose(verbs["cancel"], open_items, chosen="Customer: alice", actor=stella),
        "done_bulk": done,
    }


def _order(actor: User, reason: str) -> Order:
    return Order(actor, reason, str(uuid.uuid4()), {"credits": None})


def story_text() -> str:
    return story(2)


def work() -> None:
    """Play the worker until nothing is left to do. Time passes as it is needed."""
    for _ in range(1000):
        if taken := claim(1):
            engine.work(taken[0])
        elif not chores.do_next():
            waiting = Item.objects.filter(status__in=[ItemStatus.HELD, ItemStatus.WAITING])
            if not waiting.exclude(hold_reason=HoldReason.STAFF).exists():
                return
            let_time_pass()
    raise AssertionError("the work does not end")


def fresh(row: Any) -> Any:
    return type(row).objects.get(pk=row.pk)
