"""The table of moves: each arrow works from its sources, refuses elsewhere, and the second hand gets False."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

from config.models import User
from generation import events, states
from generation.models import Event, Item, ItemStatus, Request, RequestStatus
from generation.states import Move
from tests.generation.support import fresh, submit, submit_one

pytestmark = pytest.mark.django_db

# A self-loop that takes nothing away: doing it twice is doing it again.
REPEATABLE = {"hold", "carry on"}


@pytest.fixture
def item(alice: User) -> Item:
    """An item that costs nothing, so that the rules of money do not forbid a state."""
    return submit_one(alice, price=0)


def stand(item: Item, status: str) -> None:
    Item.objects.filter(pk=item.pk).update(status=status, fence=7)


@pytest.mark.parametrize("arrow", states.ITEM_MOVES, ids=lambda arrow: arrow.name)
@pytest.mark.parametrize("status", ItemStatus.values)
def test_an_item_moves_along_an_arrow_from_its_sources_only(item: Item, arrow: Move, status: str) -> None:
    stand(item, status)
    before = Event.objects.count()
    with events.change(item.request_id) as change:
        moved = states.move(change, item.pk, arrow, fence=7)
    assert moved is (status in arrow.sources)
    now = fresh(item)
    assert now.status == (arrow.target if moved else status)
    assert now.fence == (8 if moved and arrow.takes_away else 7)
    assert Event.objects.count() - before == (1 if moved and arrow.event else 0)


def test_who_carries_on_twice_finds_that_the_step_is_done(item: Item) -> None:
    stand(item, "RUNNING")
    with events.change(item.request_id) as change:
        assert states.move(change, item.pk, states.CARRY_ON, fence=7, at_step=0, step=1) is True
        assert states.move(change, item.pk, states.CARRY_ON, fence=7, at_step=0, step=1) is False


@pytest.mark.parametrize("arrow", states.ITEM_MOVES, ids=lambda arrow: arrow.name)
def test_the_second_hand_gets_false(item: Item, arrow: Move) -> None:
    stand(item, arrow.sources[0])
    with events.change(item.request_id) as change:
        assert states.move(change, item.pk, arrow, fence=7) is True
        assert states.move(change, item.pk, arrow, fence=7) is (arrow.name in REPEATABLE)


@pytest.mark.parametrize("arrow", states.ITEM_MOVES, ids=lambda arrow: arrow.name)
def test_an_old_fence_moves_nothing(item: Item, arrow: Move) -> None:
    stand(item, arrow.sources[0])
    with events.change(item.request_id) as change:
        assert states.move(change, item.pk, arrow, fence=6) is False
    assert fresh(item).status == arrow.sources[0]


def test_an_item_of_another_request_is_not_moved(alice: User, item: Item) -> None:
    other = submit_one(alice, price=0)
    with events.change(other.request_id) as change:
        assert states.move(change, item.pk, states.CANCEL) is False
    assert fresh(item).status == "QUEUED"


def test_many_are_moved_and_those_that_stand_elsewhere_are_left(alice: User, item: Item) -> None:
    stand(item, "RUNNING")
    with events.change(item.request_id) as change:
        locked = list(Item.objects.filter(request=item.request_id).select_for_update())
        assert states.move_many(change, locked, states.HOLD) == []
        assert [one.pk for one in states.move_many(change, locked, states.CANCEL)] == [item.pk]
    assert (fresh(item).status, fresh(item).fence) == ("CANCELLED", 8)


@pytest.mark.parametrize("arrow", states.REQUEST_MOVES, ids=lambda arrow: arrow.name)
@pytest.mark.parametrize("status", RequestStatus.values)
def test_a_request_moves_along_an_arrow_from_its_sources_only(item: Item, arrow: Move, status: str) -> None:
    Request.objects.filter(pk=item.request_id).update(status=status)
    with events.change(item.request_id) as change:
        moved = states.move_request(change, arrow)
        again = states.move_request(change, arrow)
    assert moved is (status in arrow.sources)
    assert again is False
    assert Request.objects.get().status == (arrow.target if moved else status)


def test_every_state_can_be_entered_and_every_open_one_left() -> None:
    entered = {arrow.target for arrow in states.ITEM_MOVES} | {"QUEUED"}
    left = {source for arrow in states.ITEM_MOVES for source in arrow.sources}
    assert entered == set(ItemStatus.values)
    assert left == set(ItemStatus.values) - {"SUCCEEDED", "CANCELLED"}


def test_statuses_are_written_in_two_places_only() -> None:
    """`states` and the one statement of `claim`; a new row's first status is the intake's."""
    writes = re.compile(r"\.update\([^)]*\bstatus=|SET status|\bto=\{[^}]*.status.:|\.status = ItemStatus")
    writers = {
        path.name
        for path in (Path(settings.BASE_DIR) / "generation").rglob("*.py")
        if "migrations" not in path.parts and writes.search(path.read_text())
    }
    assert writers == {"states.py", "claim.py"}


def test_numbers_of_events_only_rise_also_beyond_what_was_reserved(item: Item) -> None:
    for _ in range(3):
        with events.change(item.request_id, reserve=2) as change:
            for _ in range(5):
                change.record(events.EventKind.PROGRESS, item.pk)
    numbers = list(Event.objects.order_by("pk").values_list("seq", flat=True))
    assert numbers == sorted(set(numbers))
    assert Request.objects.get().seq == numbers[-1]


def test_a_change_of_a_request_that_does_not_exist_is_a_lookup_error(alice: User) -> None:
    with pytest.raises(LookupError), events.change(alice.pk):
        pass


def test_the_first_item_that_begins_moves_its_request_on_and_the_next_does_not(alice: User) -> None:
    request = submit(alice, 2)
    for nth, item in enumerate(request.items.order_by("pk"), start=1):
        stand(item, "RUNNING")
        assert states.begin(fresh(item), 7) is True
        assert fresh(item).deadline_at is not None
        request.refresh_from_db()
        assert (request.status, request.started_at is not None) == ("RUNNING", True)
        told = list(Event.objects.filter(seq__gt=1).order_by("seq").values_list("kind", flat=True))
        assert told == ["request-started", *["started"] * nth]
    assert request.seq == Event.objects.order_by("-seq").values_list("seq", flat=True)[0]


@pytest.mark.parametrize(("status", "fence"), [("RUNNING", 6), ("QUEUED", 7), ("CANCELLED", 7)])
def test_what_is_no_longer_held_does_not_begin(item: Item, status: str, fence: int) -> None:
    stand(item, status)
    before = Request.objects.get(), Event.objects.count()
    assert states.begin(fresh(item), fence) is False
    after = Request.objects.get()
    assert (after.status, after.seq, Event.objects.count()) == (before[0].status, before[0].seq, before[1])
    assert fresh(item).deadline_at is None
