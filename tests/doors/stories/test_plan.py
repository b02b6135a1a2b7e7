"""What the story-images door wants made: its steps, and how the desk's own pages are told of a picture."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from credits.errors import OperationUnavailable
from credits.pricing import Quote
from generation.doors.stories import plan as door
from generation.doors.stories import present
from generation.doors.stories.places import usual
from generation.doors.stories.plan import Story
from generation.doors.stories.segments import parse
from generation.doors.stories.serializers import Options
from generation.plan import Plan
from providers import registry
from tests.doors.stories.desk import Author, image, work
from tests.doors.stories.samples import GOOD

QUOTE = Quote("story_image", "", "", 3, None)


def planned(*, has_diagram: bool = False, **options: Any) -> Plan:
    story = Story("s", usual("u", "s"), parse(GOOD.encode()), Options(**options), [], has_diagram)
    return door.plan(story, uuid4(), QUOTE)


def test_each_picture_is_an_item_and_each_segment_a_bundle(settings: Any) -> None:
    settings.STORY_MAX_PARALLEL_SEGMENTS = 2
    plan = planned(num_images=3)
    assert [(item.bundle, item.params["segment"], item.params["image"]) for item in plan.items] == [
        (number - 1, number, image) for number in (1, 2, 3, 4) for image in (1, 2, 3)
    ]
    assert (plan.price, plan.max_open_bundles, plan.mirrored, plan.group) == (36, 2, True, "s")
    assert {item.cancel_refund for item in plan.items} == {"always"}
    assert plan.items[7].params["key"] == (
        "users/u/s/images/How Tides Work/3. Two Tides a Day/generated_images/image_2.png"
    )


def test_drawing_and_checking_share_their_passes() -> None:
    generate, thumbnail, verify, publish = planned(max_passes=4, max_verification_passes=2).items[0].steps
    assert [step.name for step in (generate, thumbnail, verify, publish)] == [
        "generate",
        "thumbnail",
        "verify",
        "publish",
    ]
    assert (generate.passes, generate.failure_ends_pass, generate.retry.max_starts) == (4, True, 1)
    assert (generate.retry.next_candidate_after, generate.rate_limit_starts) == (2, 5)
    assert [one.model for one in generate.candidates] == ["main", "fallback"]
    assert (verify.passes, verify.failure_ends_pass, verify.retry.max_starts, verify.again_from) == (
        4,
        True,
        2,
        "generate",
    )
    assert (verify.checks, verify.asks_again) == (("no-text",), False)
    assert (thumbnail.required, publish.required, publish.inputs["overwrite"]) == (False, True, True)
    assert (generate.retry.base_s, generate.retry.cap_s) == (2.0, 15.0)
    assert (generate.retry.by_code["RATE_LIMITED"], generate.retry.cap_by_code["RATE_LIMITED"]) == (5.0, 60.0)


def test_fast_mode_changes_the_model_and_nothing_else() -> None:
    quick, usual_ = planned(fast_mode=True).items[0], planned().items[0]
    assert [one.model for one in quick.steps[0].candidates] == ["fast", "fallback"]
    assert quick.steps[1:3] == usual_.steps[1:3]


def test_a_diagram_is_named_and_taken_along() -> None:
    inputs = planned(has_diagram=True).items[0].steps[0].inputs
    assert inputs["optional_images"] == ["users/u/s/images/diagram.png"]
    assert "optional_images" not in planned().items[0].steps[0].inputs


def test_without_somebody_to_draw_and_to_check_nothing_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "is_available", lambda alias: alias != "provider_h")
    with pytest.raises(OperationUnavailable):
        planned()


@pytest.mark.django_db(transaction=True)
def test_the_desks_own_pages_are_told_of_a_picture_in_the_contracts_words(alices: Author, simulator: Any) -> None:
    alices.started(GOOD, num_images=1)
    waiting = present.present_event(image(2, 1), None, 7, "http://testserver/")
    assert (waiting["event"], waiting["seq"], waiting["current_step"], waiting["url"]) == (
        "snapshot",
        7,
        "generating",
        None,
    )
    work(image(2, 1))
    told = present.present_event(image(2, 1), "succeeded", 9, "http://testserver/")
    assert (told["event"], told["current_step"], told["segment_number"], told["image_number"]) == (
        "succeeded",
        "completed",
        2,
        1,
    )
    assert told["url"].startswith("http://testserver/files/users/")
