"""A story from its file to its pictures, with a script of verdicts for each picture; and what everybody is told of it.

The work is done in threads of the test against the simulator over HTTP, one picture after the other, so that the
order of everything that happens is known; see `tests.doors.stories.desk`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from config.models import User
from generation import engine, storage
from generation.models import Attempt, Item, StorySession
from tests.doors.stories.desk import (
    SESSION,
    Author,
    assert_books_are_right,
    do_chores,
    image,
    run_of,
    story,
    work,
)
from tests.generation.support import picture
from tests.live.support import connected, do
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.anyio]

DRAWN, FALLBACK, CHECKED = 0.025, 0.0029, 0.00015
CLEAN: dict[str, Any] = {"fault": "verdict", "no_usage": True}
DIRTY = {**CLEAN, "has_text": True}
DOWN = {"fault": "503"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def media(tmp_path: Path, settings: Any) -> Path:
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": "generation.storage.LocalFiles", "OPTIONS": {"location": str(tmp_path / "media")}},
    }
    return tmp_path / "media"


@pytest.fixture
def author(alice: User) -> Author:
    return Author(alice)


def script(
    simulator: Remote, segment: int, *, drawer: list[str] | None = None, checker: list[Any]
) -> Callable[[], None]:
    """Work one segment's picture off. drawer: the faults that its drawing meets first. checker: what is said of each
    picture that came of it, in turn."""

    def play() -> None:
        for fault in drawer or []:
            simulator.faults("replicate", fault, match=f"hour {segment}")
        for said in checker:
            simulator.faults("openrouter", **said)
        work(image(segment, 1))

    return play


def timeless(document: Any) -> Any:
    """A document without what a clock says."""
    if isinstance(document, dict):
        return {
            key: ""
            if key in ("started_at", "completed_at", "generation_timestamp")
            else 0
            if key.endswith(("time_seconds", "time_per_image"))
            else timeless(value)
            for key, value in document.items()
        }
    return [timeless(one) for one in document] if isinstance(document, list) else document


def progress(
    segment: int | None, step: str = "", *, done: int, total: int = 8, stored: int = 0, images: int = 1, number: int = 1
) -> dict[str, Any]:
    current = {
        "segment_number": segment,
        "images_completed": stored,
        "images_total": images,
        "current_step": step,
        "current_image": number,
    }
    return {
        "type": "story_image_progress",
        "session_id": SESSION,
        "progress": {
            "overall_percentage": 100 * done // total,
            "segments_completed": done,
            "segments_total": total,
            "current_segment": segment,
            "current_segment_progress": current if segment else None,
        },
    }


def told_of(segment: int, *steps: str, ends: str) -> list[dict[str, Any]]:
    """What is told of a segment with one picture: its steps, its picture's end, its own end."""
    stored = int(ends == "completed")
    return [
        *(progress(segment, step, done=segment - 1) for step in steps),
        progress(segment, ends, done=segment - 1, stored=stored),
        progress(segment, ends, done=segment, stored=stored),
    ]


async def test_a_story_with_a_script_of_verdicts(author: Author, simulator: Remote) -> None:
    async with connected("/ws/story-images", author.user) as client:
        await client.say(type="subscribe", session_id=SESSION)
        assert await client.hear() == {"type": "subscribed", "session_id": SESSION}
        assert await client.hears_nothing()

        await do(author.put, "segments.md", story(8))
        await do(author.start, num_images=1, max_passes=3, max_verification_passes=2)
        for play in (
            script(simulator, 1, checker=[CLEAN]),
            script(simulator, 2, checker=[DIRTY, CLEAN]),
            script(simulator, 3, checker=[DIRTY, {**CLEAN, "has_annotations": True}, {**CLEAN, "content": '{"x": 1}'}]),
            script(simulator, 4, checker=[DOWN, CLEAN]),
            script(simulator, 5, drawer=["503", "failed"], checker=[CLEAN]),
            script(simulator, 6, drawer=["503", "500", "failed"], checker=[]),
            script(simulator, 7, checker=[DOWN] * 6),
            script(simulator, 8, drawer=["filtered"], checker=[]),
        ):
            await do(play)
        await do(do_chores)
        heard = await client.hear_until(lambda message: message["type"] == "story_image_complete")

        assert heard[:-1] == [
            progress(None, done=0),
            *told_of(1, "generating", "verifying", "saving", ends="completed"),
            *told_of(2, "generating", "verifying", "generating", "verifying", "saving", ends="completed"),
            *told_of(3, *["generating", "verifying"] * 3, ends="failed"),
            *told_of(4, "generating", "verifying", "saving", ends="completed"),
            *told_of(5, "generating", "verifying", "saving", ends="completed"),
            *told_of(6, "generating", ends="failed"),
            *told_of(7, *["generating", "verifying"] * 3, ends="failed"),
            *told_of(8, "generating", ends="failed"),
        ]
        assert await client.hears_nothing()

    status = await do(author.file)
    errors = [
        error(3, "IMAGE_VERIFICATION_FAILED", "Every picture had text or marks in it after 3 attempts.", 3),
        error(
            6,
            "IMAGE_GENERATION_FAILED",
            "No picture was made after 3 attempts. The provider could not make this.",
            3,
        ),
        error(7, "VERIFICATION_UNAVAILABLE", "The pictures could not be checked after 3 attempts.", 3),
        error(8, "CONTENT_REJECTED", "The content filter refused the words of this picture after 1 attempt.", 1),
    ]
    report_path = "s3://pipeline-backend-assets/" + author.path(name="Tides/generation_report.json")
    assert timeless(status) == {
        "session_id": SESSION,
        "status": "completed",
        "template_title": "Tides",
        "started_at": "",
        "segments_total": 8,
        "segments_completed": 8,
        "segments_succeeded": 4,
        "segments_failed": 4,
        "options": {"num_images": 1, "max_passes": 3, "max_verification_passes": 2, "fast_mode": False},
        "warnings": [
            {
                "code": "DIAGRAM_MISSING",
                "message": "There is no diagram.png; the pictures follow no style of yours.",
            }
        ],
        "generation_report_s3_path": report_path,
        "segment_results": [
            result(author, 1, DRAWN + CHECKED),
            result(author, 2, 2 * (DRAWN + CHECKED)),
            result(author, 3, 3 * (DRAWN + CHECKED), failed=True),
            result(author, 4, DRAWN + CHECKED),
            result(author, 5, FALLBACK + CHECKED),
            result(author, 6, 0, failed=True),
            result(author, 7, 3 * DRAWN, failed=True),
            result(author, 8, 0, failed=True),
        ],
        "completed_at": "",
        "total_images_generated": 4,
        "total_cost_usd": round(10 * DRAWN + FALLBACK + 8 * CHECKED, 6),
        "total_time_seconds": 0,
        "errors": errors,
    }
    assert timeless(heard[-1]) == {
        "type": "story_image_complete",
        "session_id": SESSION,
        "status": "partial",
        "results": {
            "template_title": "Tides",
            "segments_total": 8,
            "segments_succeeded": 4,
            "segments_failed": 4,
            "total_images_generated": 4,
            "total_cost_usd": status["total_cost_usd"],
            "total_time_seconds": 0,
            "generation_report_s3_path": report_path,
            "status_s3_key": author.path(name="status.json"),
            "errors": errors,
        },
    }
    await do(the_report_is_right, author, status)
    await do(the_books_are_right, author)


def error(segment: int, code: str, message: str, tries: int) -> dict[str, Any]:
    return {
        "segment_number": segment,
        "segment_title": f"Part {segment}",
        "image_number": 1,
        "error_code": code,
        "error_message": message,
        "retry_count": tries,
    }


def result(author: Author, segment: int, cost: float, *, failed: bool = False) -> dict[str, Any]:
    key = author.path(name=f"Tides/{segment}. Part {segment}/generated_images/image_1.png")
    return {
        "segment_number": segment,
        "segment_title": f"Part {segment}",
        "status": "failed" if failed else "success",
        "images_expected": 1,
        "images_generated": 0 if failed else 1,
        "cost_usd": round(cost, 6),
        "time_seconds": 0,
        "images": [] if failed else [{"image_number": 1, "s3_key": key}],
    }


def the_report_is_right(author: Author, status: dict[str, Any]) -> None:
    report = author.file("Tides/generation_report.json")
    assert report["generation_timestamp"] == status["completed_at"]
    assert {key: value for key, value in timeless(report).items() if key not in ("segments", "failed_segments")} == {
        "session_id": SESSION,
        "template_title": "Tides",
        "generation_timestamp": "",
        "segments_requested": 8,
        "segments_succeeded": 4,
        "segments_failed": 4,
        "total_images_requested": 8,
        "total_images_generated": 4,
        "summary": {
            "total_cost_usd": status["total_cost_usd"],
            "total_time_seconds": 0,
            "average_cost_per_image": 0.025912,  # (4 * DRAWN + FALLBACK + 5 * CHECKED) / 4, in decimals
            "average_time_per_image": 0,
            "mode": "quality",
            "aspect_ratio": "16:9",
            "max_regeneration_passes": 3,
            "max_verification_passes": 2,
        },
        "cost_breakdown": {
            "total_generation_cost": round(10 * DRAWN + FALLBACK, 6),
            "total_verification_cost": round(8 * CHECKED, 6),
            "cost_rates_used": {"fallback": FALLBACK, "main": DRAWN, "verifier": CHECKED},
        },
    }
    assert [(one["segment_number"], one["error_message"]) for one in report["failed_segments"]] == [
        (one["segment_number"], f"Image 1: {one['error_message']}") for one in status["errors"]
    ]
    by_number = {one["segment_number"]: one["images"] for one in report["segments"]}
    assert sorted(by_number) == list(range(1, 9))
    assert [number for number, images in sorted(by_number.items()) if images] == [1, 2, 4, 5]
    (second,), (fourth,), (fifth,) = by_number[2], by_number[4], by_number[5]
    assert timeless(second) == {
        "image_number": 1,
        "filename": "image_1.png",
        "s3_key": author.path(name="Tides/2. Part 2/generated_images/image_1.png"),
        "total_cost": round(2 * (DRAWN + CHECKED), 6),
        "total_time_seconds": 0,
        "generation_attempts": 2,
        "verification_attempts": 2,
        "final_model": "main",
        "prompt_snippet": second["prompt_snippet"],
        "verification_confidence": 0.97,
        "generation_details": [{"model_used": "main", "cost": DRAWN, "time_seconds": 0}] * 2,
        "verification_details": [{"cost": CHECKED, "time_seconds": 0, "attempts_made": 1, "confidence": 0.97}] * 2,
    }
    assert len(second["prompt_snippet"]) == 100
    assert [one["attempts_made"] for one in fourth["verification_details"]] == [2]
    assert (fifth["final_model"], fifth["generation_attempts"]) == ("fallback", 3)
    assert [(one["model_used"], one["cost"]) for one in fifth["generation_details"]] == [
        ("main", 0),
        ("main", 0),
        ("fallback", FALLBACK),
    ]


def the_books_are_right(author: Author) -> None:
    """Four pictures were delivered, and they alone were paid for; what is shown is what is stored."""
    assert author.balance == 100 - 4
    assert_books_are_right()
    document = author.status()
    for segment in document["segment_results"]:
        for one in segment["images"]:
            answer = author.http.get(one["url"].removeprefix("http://testserver"))
            body = b"".join(answer.streaming_content)  # type: ignore[arg-type]
            answer.close()
            assert Image.open(io.BytesIO(body)).format == "PNG"
            assert body == storage.read(one["s3_key"])
    paid = Attempt.objects.filter(cost_usd__gt=0)
    assert float(sum(one.cost_usd for one in paid)) == pytest.approx(document["total_cost_usd"])


async def test_a_story_of_which_nothing_came_has_failed(author: Author, simulator: Remote) -> None:
    simulator.faults("replicate", "filtered", times=9)
    await do(author.started, story(1))
    async with connected(f"/ws/{SESSION}", author.user) as client:
        await client.hear()
        await do(work)
        heard = await client.hear_until(lambda message: message["type"] == "story_image_complete")
    assert heard[-1]["status"] == "failed"
    assert heard[-1]["error"]["code"] == "CONTENT_REJECTED"
    document = await do(author.status)
    assert (document["status"], document["segments_failed"], author.user.pk) == ("failed", 1, author.user.pk)
    assert await do(lambda: author.balance) == 100


def test_a_failed_segment_keeps_its_good_pictures_and_stops_no_other(author: Author, simulator: Remote) -> None:
    author.started(story(3), num_images=2)
    simulator.faults("openrouter", **DIRTY, times=5)
    work(image(2, 2))
    work()
    document = author.status()
    assert (document["segments_succeeded"], document["segments_failed"], document["status"]) == (2, 1, "completed")
    assert document["total_images_generated"] == 5
    failed = document["segment_results"][1]
    assert (failed["status"], failed["images_generated"], failed["images_expected"]) == ("failed", 1, 2)
    assert [one["image_number"] for one in failed["images"]] == [1]
    assert [(one["segment_number"], one["image_number"], one["retry_count"]) for one in document["errors"]] == [
        (2, 2, 5)
    ]
    assert author.balance == 100 - 5
    assert_books_are_right()


def test_a_call_without_an_answer_costs_a_story_nothing(author: Author, simulator: Remote) -> None:
    """The desk's own books count it as probably billed; the contract's do not."""
    author.started(story(1), num_images=1)
    simulator.faults("replicate", "drop-after-accept", times=1, operation="submit")
    simulator.faults("openrouter", "drop-after-accept", times=1)
    simulator.faults("openrouter", **CLEAN)
    work()

    assert Attempt.objects.filter(outcome="lost", cost_usd__gt=0).exists()
    both = round(DRAWN + CHECKED, 6)
    document, report = author.file(), author.file("Tides/generation_report.json")
    assert document["total_cost_usd"] == document["segment_results"][0]["cost_usd"] == both
    assert report["summary"]["total_cost_usd"] == both
    assert report["summary"]["average_cost_per_image"] == both
    assert report["cost_breakdown"] == {
        "total_generation_cost": DRAWN,
        "total_verification_cost": CHECKED,
        "cost_rates_used": {"main": DRAWN, "verifier": CHECKED},
    }
    ((drawn,),) = [one["images"] for one in report["segments"]]
    assert drawn["total_cost"] == both
    assert [one["cost"] for one in drawn["generation_details"]] == [0, DRAWN]
    assert [(one["cost"], one["attempts_made"]) for one in drawn["verification_details"]] == [(CHECKED, 2)]


def test_fast_mode_draws_with_the_fast_model_and_checks_all_the_same(author: Author, simulator: Remote) -> None:
    author.started(story(1), num_images=3, fast_mode=True)
    work()
    assert {
        call["path"].split("/models/")[1] for call in simulator.calls("replicate") if "/models/" in call["path"]
    } == {"black-forest-labs/flux-schnell/predictions"}
    assert len(simulator.calls("openrouter")) == 3
    assert author.file("Tides/generation_report.json")["summary"]["mode"] == "fast"


def test_a_picture_is_asked_for_wide_and_as_png(author: Author, simulator: Remote) -> None:
    author.started(story(1), num_images=1)
    simulator.faults("replicate", "503", times=2)
    simulator.faults("openrouter", **DIRTY)
    work()
    asked = [call["fields"]["input"] for call in simulator.calls("replicate") if call["fields"].get("input")]
    by_name, by_version = asked[0], asked[-1]
    assert (by_name["aspect_ratio"], by_name["output_format"]) == ("16:9", "png")
    assert "negative_prompt" not in by_name
    assert (by_version["width"], by_version["height"], by_version["scheduler"]) == (1792, 1024, "K_EULER")
    assert "watermark" in by_version["negative_prompt"]
    assert {one["prompt"] for one in asked} == {Item.objects.get().steps[0]["inputs"]["prompt"]}


# --- The diagram ---------------------------------------------------------------------------------


def test_a_diagram_goes_along_to_the_model_that_takes_one(author: Author, simulator: Remote) -> None:
    author.put("diagram.png", picture(size=(100, 300)))
    author.started(story(1), num_images=1)
    assert author.status()["warnings"] == []

    work()

    (asked,) = [call["fields"]["input"] for call in simulator.calls("replicate") if call["fields"].get("input")]
    assert asked["image"]
    assert asked["prompt_strength"] == 0.9
    assert "reference diagram" in asked["prompt"]
    width, height = Image.open(io.BytesIO(storage.read(image(1, 1).params["key"]))).size
    assert width / height == pytest.approx(16 / 9, abs=0.05), "the frame decides, not the diagram's own shape"


@pytest.mark.parametrize("body", [None, b"no picture"])
def test_a_diagram_that_is_of_no_use_when_it_is_needed_is_a_warning(
    author: Author, simulator: Remote, body: bytes | None
) -> None:
    author.put("diagram.png", picture())
    author.started(story(1), num_images=1)
    if body is None:
        storage.delete(author.path(name="diagram.png"))
    else:
        storage.replace(author.path(name="diagram.png"), io.BytesIO(body))

    work()

    document = author.file()
    assert (document["status"], [one["code"] for one in document["warnings"]]) == ("completed", ["DIAGRAM_UNREADABLE"])
    (asked,) = [call["fields"]["input"] for call in simulator.calls("replicate") if call["fields"].get("input")]
    assert "image" not in asked


# --- It is called off, it is worked at again -----------------------------------------------------


def test_a_cancelled_run_refunds_what_was_not_delivered_and_says_so(author: Author) -> None:
    run = author.started(story(2), num_images=1)
    work(image(1, 1))
    engine.cancel(run.pk)
    do_chores()
    document = author.file()
    assert (document["status"], document["segments_succeeded"], document["segments_failed"]) == ("completed", 1, 1)
    assert [one["error_code"] for one in document["errors"]] == ["CANCELLED"]
    assert author.balance == 99
    assert_books_are_right()


def test_a_run_that_staff_reopen_is_told_to_its_end_again(author: Author, simulator: Remote) -> None:
    simulator.faults("replicate", "filtered", times=1)
    run = author.started(story(2), num_images=1)
    work()
    assert author.file()["segments_failed"] == 1

    assert engine.reopen(run.pk, actor="stella") == 1
    assert author.start().json()["code"] == "SESSION_IN_PROGRESS"
    work()

    document = author.file()
    assert (document["segments_succeeded"], document["segments_failed"], document["errors"]) == (2, 0, [])
    assert StorySession.objects.get().mirrored_round == 1
    assert run_of().round == 1
    assert_books_are_right()


def test_an_earlier_run_is_not_reopened_beside_a_newer_one(author: Author, simulator: Remote) -> None:
    simulator.faults("replicate", "filtered", times=1)
    first = author.started(story(1), num_images=1)
    work()
    author.start(num_images=1)
    assert engine.reopen(first.pk, actor="stella") == 0
    work()
    assert author.file()["status"] == "completed"
    assert_books_are_right()


def test_an_earlier_run_is_not_reopened_after_a_newer_one(author: Author, simulator: Remote) -> None:
    """Its pictures would take the places of the newer run's, and no file would tell of them."""
    simulator.faults("replicate", "filtered", times=1)
    first = author.started(story(1), num_images=1)
    work()
    author.start(num_images=1)
    work()
    key = author.status()["segment_results"][0]["images"][0]["s3_key"]
    newer = storage.read(key)

    assert engine.reopen(first.pk, actor="stella") == 0
    work()

    assert storage.read(key) == newer
    assert_books_are_right()
