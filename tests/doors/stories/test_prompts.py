"""The words that providers get for a segment's pictures."""

from __future__ import annotations

import pytest

from generation.doors.stories.prompts import LIKE_DIAGRAM, NO_TEXT, prompts, without_text_words
from generation.doors.stories.segments import Segment

MOON = Segment(1, "Moon", 8, "Why does the sea\nrise at noon?", "Moon over the sea, no labels", 3)


@pytest.mark.parametrize(
    ("guidance", "left"),
    [
        ("Earth with a text overlay and labels", "Earth with a and"),
        ("TEXT, Captions; writing", "Earth"),
        ("the context of a retextured wall, relabelled", "the context of a retextured wall, relabelled"),
        ("an annotation  and\nlettering here", "an and here"),
        ("x " * 3000, ("x " * 1000).strip()),
    ],
)
def test_words_that_ask_for_letters_are_taken_out_whole(guidance: str, left: str) -> None:
    cleaned = without_text_words(guidance if left != "Earth" else f"Earth {guidance}")
    assert cleaned == left if left != "Earth" else cleaned.startswith("Earth")
    assert "text" not in cleaned.lower().split()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_each_picture_demands_at_its_end_that_there_be_no_text(count: int) -> None:
    made = prompts(MOON, count, has_diagram=False)
    assert len(set(made)) == len(made) == count
    assert all(prompt.endswith(NO_TEXT) and "cinematic" in prompt and "16:9" in prompt for prompt in made)
    assert all(LIKE_DIAGRAM not in prompt for prompt in made)


def test_one_picture_tells_all_and_several_share_it_out() -> None:
    (only,) = prompts(MOON, 1, has_diagram=False)
    assert "Moon over the sea" in only
    assert "Why does the sea rise at noon?" in only

    opening, answer = prompts(MOON, 2, has_diagram=False)
    assert "Establishing shot" in opening
    assert "Moon over the sea" in opening
    assert "Why does" not in opening
    assert "Why does the sea" in answer

    opening, middle, closing = prompts(MOON, 3, has_diagram=False)
    assert "Moon over the sea" in opening
    assert "discovery" in middle
    assert "Closing scene" in closing


def test_with_a_diagram_every_picture_follows_its_style() -> None:
    assert all(LIKE_DIAGRAM in prompt for prompt in prompts(MOON, 3, has_diagram=True))


def test_a_long_narration_does_not_crowd_out_the_demand() -> None:
    long = Segment(1, "Moon", 8, "word " * 200_000, "Moon", 3)
    (prompt,) = prompts(long, 1, has_diagram=False)
    assert prompt.endswith(NO_TEXT)
    assert len(prompt) < 3000
