"""From a wish to a plan: prompts, sizes, candidates, retries."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from credits.errors import OperationUnavailable
from credits.pricing import Quote
from generation.doors.visuals import plan
from generation.doors.visuals.plan import Wish

PROMPT = "A friendly dragon playing in a garden"
OWNER = uuid.uuid4()
QUOTES = {f"visual_{kind.replace('-', '_')}": Quote(f"visual_{kind}", "", "", 1, None) for kind in plan.INGREDIENTS}


def wish(kind: str = "cover", **metadata: Any) -> Wish:
    return Wish(kind, PROMPT, metadata=metadata)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("coloring-page", ["coloring book style", "black and white line art", "clear outlines", "no shading"]),
        ("cover", ["book cover design", "professional", "eye-catching", "title"]),
        ("illustration", ["detailed", "professional quality"]),
        ("character-reference", ["reference sheet", "several angles", "clean design"]),
        ("background", ["background scene", "detailed surroundings"]),
    ],
)
def test_the_prompt_sent_is_the_callers_text_and_then_the_types_ingredients(kind: str, words: list[str]) -> None:
    sent = plan.enhanced_prompt(wish(kind))
    assert sent.startswith(PROMPT)
    places = [sent.index(word) for word in words]
    assert places == sorted(places)
    assert min(places) > len(PROMPT)


def test_only_coloring_pages_get_colouring_words() -> None:
    for kind in plan.INGREDIENTS:
        is_page = kind == "coloring-page"
        assert ("color" in plan.enhanced_prompt(wish(kind))) is is_page
        (item,) = plan.plan_one(wish(kind), OWNER, QUOTES).items
        assert ("negative_prompt" in item.steps[0].inputs) is is_page


def test_style_and_ratio_follow_the_ingredients_when_they_were_sent() -> None:
    sent = plan.enhanced_prompt(wish("cover", imageStyle="whimsical", aspectRatio="portrait"))
    assert sent.endswith("title, whimsical style, portrait format")
    assert "style" not in plan.enhanced_prompt(wish("cover"))
    assert "format" not in plan.enhanced_prompt(wish("cover"))


@pytest.mark.parametrize(("prompt", "start"), [("A dragon sleeps.", "A dragon sleeps. b"), ("A dragon", "A dragon, b")])
def test_a_sentence_that_has_ended_is_not_ended_again(prompt: str, start: str) -> None:
    assert plan.enhanced_prompt(Wish("cover", prompt)).startswith(start)


@pytest.mark.parametrize(
    ("named", "ratio"),
    [
        (None, "1:1"),  # square when nothing is said
        ("square", "1:1"),
        ("portrait", "3:4"),
        ("landscape", "4:3"),
        ("wide", "16:9"),
        ("9:16", "9:16"),
        ("4:3", "4:3"),
    ],
)
def test_a_ratio_by_name_or_as_numbers(named: str | None, ratio: str) -> None:
    (item,) = plan.plan_one(wish("cover", aspectRatio=named), OWNER, QUOTES).items
    assert item.steps[0].inputs["aspect_ratio"] == ratio


def test_an_item_is_generated_and_then_made_small() -> None:
    (item,) = plan.plan_one(wish(), OWNER, QUOTES).items
    generate, thumbnail = item.steps
    assert (generate.name, generate.operation, generate.share, generate.required) == (
        "generate",
        "text-to-image",
        95,
        True,
    )
    assert (thumbnail.name, thumbnail.candidates, thumbnail.share, thumbnail.required) == ("thumbnail", (), 5, False)
    assert item.prompt == PROMPT
    assert generate.inputs["prompt"] != PROMPT


def test_the_retry_policy_is_the_callers_and_the_settings(settings: Any) -> None:
    settings.VISUAL_RETRY_BASE_S, settings.VISUAL_RETRY_CAP_S, settings.VISUAL_CALL_TIMEOUT_S = 10.0, 300.0, 77.0
    (item,) = plan.plan_one(wish(maxAttempts=7), OWNER, QUOTES).items
    generate = item.steps[0]
    assert (generate.retry.max_starts, generate.retry.base_s, generate.retry.cap_s) == (7, 10.0, 300.0)
    assert generate.retry.text_rule
    assert generate.timeout_s == 77.0


@pytest.mark.parametrize("given", [{}, {"maxAttempts": 0}, {"maxAttempts": None}])
def test_three_starts_unless_the_caller_says_otherwise(given: dict[str, Any]) -> None:
    assert wish("cover", **given).attempts == 3


@pytest.mark.parametrize(
    ("preferred", "aliases"),
    [
        (None, ["provider_d", "provider_g"]),  # our order
        ("none", ["provider_d", "provider_g"]),
        ("provider_g", ["provider_g", "provider_d"]),  # the preferred one first, then our order
        ("provider_d", ["provider_d", "provider_g"]),
    ],
)
def test_the_preferred_provider_is_tried_first(settings: Any, preferred: str | None, aliases: list[str]) -> None:
    settings.VISUAL_PROVIDER_ORDER = ["openai", "tripo", "huggingface"]  # one of them makes no pictures
    (item,) = plan.plan_one(wish("cover", provider=preferred), OWNER, QUOTES).items
    assert [candidate.provider for candidate in item.steps[0].candidates] == aliases


def test_providers_without_credentials_are_left_out(settings: Any) -> None:
    settings.PROVIDERS_MODE, settings.PROVIDER_KEYS = "real", {"huggingface": "hf-secret", "openai": ""}
    (item,) = plan.plan_one(wish(), OWNER, QUOTES).items
    assert [candidate.provider for candidate in item.steps[0].candidates] == ["provider_g"]


def test_without_any_provider_it_is_not_offered(settings: Any) -> None:
    settings.VISUAL_PROVIDER_ORDER = ["openrouter"]
    with pytest.raises(OperationUnavailable):
        plan.plan_one(wish(), OWNER, QUOTES)


def test_a_single_submit_is_a_request_without_an_id_of_its_own() -> None:
    made = plan.plan_one(wish(), OWNER, QUOTES)
    assert made.public_id is None
    assert made.max_open_bundles is None
    assert re.fullmatch(r"vga_\d{13}_[0-9a-z]{9}", made.items[0].public_id)


def test_a_batch_is_one_request_whose_members_count_against_its_cap() -> None:
    wishes = [wish(), wish("background"), wish("illustration")]
    made = plan.plan_batch(wishes, OWNER, QUOTES, max_concurrent=2)
    assert re.fullmatch(r"batch_\d{13}_[0-9a-z]{9}", made.public_id or "")
    assert made.max_open_bundles == 2
    assert [item.bundle for item in made.items] == [0, 1, 2]
    assert len({item.public_id for item in made.items}) == 3


def test_a_batch_without_a_cap_has_no_bundles() -> None:
    made = plan.plan_batch([wish(), wish()], OWNER, QUOTES)
    assert made.max_open_bundles is None
    assert [item.bundle for item in made.items] == [None, None]


def test_a_request_is_grouped_by_the_project_that_all_of_it_belongs_to() -> None:
    one, other = Wish("cover", PROMPT, project_id="p1"), Wish("cover", PROMPT, project_id="p2")
    assert plan.plan_batch([one, one], OWNER, QUOTES).group == "p1"
    assert plan.plan_batch([one, other], OWNER, QUOTES).group == ""
    assert plan.plan_one(one, OWNER, QUOTES).group == "p1"
