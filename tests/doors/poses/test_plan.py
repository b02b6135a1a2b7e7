"""What a wish comes to: steps, prompts, prices and keys, without a database."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from credits.errors import OperationUnavailable
from credits.pricing import Quote
from generation.doors.poses import chain, plan, prompts, words
from generation.doors.poses.chain import Background
from generation.models import Item
from generation.plan import StepPlan
from tests.doors.poses.desk import _figure

ALICE, PROJECT, POSE = UUID(int=1), UUID(int=2), UUID(int=3)
QUOTES = {
    "pose_generation": Quote("pose_generation", "", "", 30, Decimal("0.03")),
    "pose_background_change": Quote("pose_background_change", "", "", 10, Decimal("0.05")),
}
LEAN = plan.LibraryPose(POSE, "Lean", "Leans at a wall.", _figure("Lean"), "library/poses/lean.png")


def wish(**fields: Any) -> plan.Wish:
    return plan.Wish(**{"owner_id": ALICE, "project_id": PROJECT, "type": plan.TEXT, "text": "a dancer"} | fields)


def steps(made: plan.Plan) -> dict[str, StepPlan]:
    return {step.name: step for step in made.items[0].steps}


def planned(*, uses_quota: bool = False, **fields: Any) -> plan.Plan:
    return plan.plan_generation(wish(**fields), QUOTES, uses_quota=uses_quota)


# --- Steps ---------------------------------------------------------------------------------------


def test_a_pose_from_words() -> None:
    made = planned(count=3)
    assert (made.door, made.group, len(made.items), made.price) == ("poses", str(PROJECT), 3, 90)
    assert [item.params["variationKey"] for item in made.items] == ["text-v1", "text-v2", "text-v3"]
    assert list(steps(made)) == ["generate", "thumbnail", "publish"]
    generate = steps(made)["generate"]
    assert generate.operation == "text-to-image"
    asked = generate.inputs
    assert (asked["width"], asked["height"], asked["steps"], asked["guidance"]) == (1024, 1024, 28, 3.5)
    assert (asked["output_format"], asked["seed"]) == ("png", made.items[0].params["seed"])
    assert (generate.retry.max_starts, generate.retry.by_code["RATE_LIMITED"]) == (3, 10)


def test_a_pose_of_the_library_is_steered_by_its_map() -> None:
    generate = steps(planned(type=plan.GALLERY, text="", poses=(LEAN,)))["generate"]
    assert generate.operation == "pose-to-image"
    assert (generate.inputs["images"], generate.inputs["control_strength"]) == (["library/poses/lean.png"], 0.75)
    assert [candidate.provider for candidate in generate.candidates] == ["provider_e", "provider_a"]


@pytest.mark.parametrize(
    ("background", "middle"),
    [
        (Background("solid_color", color="#fff000"), ["cut-out", "compose"]),
        (Background("ai_generate", prompt="a beach"), ["cut-out", "background", "compose", "seam"]),
        (Background("upload", image_key="inputs/me.png"), ["cut-out", "compose", "seam"]),
    ],
)
def test_a_background_is_a_part_of_its_pose(background: Background, middle: list[str]) -> None:
    made = planned(background=background, exports=("tiktok",))
    assert list(steps(made)) == ["generate", *middle, "thumbnail", "exports", "publish"]
    assert {step.part for step in made.items[0].steps if step.name in middle} == {"background"}
    assert (made.items[0].price, made.items[0].parts) == (40, {"background": 10})
    assert Decimal(made.items[0].cost_usd) == Decimal("0.08")
    assert steps(made)["compose"].inputs["figure"] == "step:cut-out"
    assert not steps(made)["thumbnail"].required
    assert not steps(made)["exports"].required


def test_final_keys_are_named_by_generation_and_pose() -> None:
    made = planned(background=Background("upload", image_key="k"), exports=("ig-story", "print_a4"))
    pose, folder = made.items[0].public_id, f"poses/{made.id}"
    assert steps(made)["publish"].inputs["moves"] == {
        "generate": f"{folder}/{pose}.png",
        "compose": f"{folder}/{pose}_bg.png",
        "seam": f"{folder}/{pose}_bg_seam.png",
        "thumbnail": f"{folder}/{pose}_thumb.png",
        "exports": {
            "ig-story": f"{folder}/exports/{pose}_ig-story.jpg",
            "print_a4": f"{folder}/exports/{pose}_print_a4.png",
        },
    }
    assert set(steps(made)["publish"].inputs["as"]) == {"generate", "compose", "seam", "thumbnail"}


def test_quota_pays_for_everything_and_credits_for_nothing() -> None:
    item = planned(uses_quota=True, background=Background("solid_color", color="#fff000")).items[0]
    assert (item.price, item.uses_quota, item.parts) == (0, True, {"background": 0})


def test_the_content_filters_refusals_are_kept_unless_a_setting_says_otherwise(settings: Any) -> None:
    assert planned().items[0].keep_codes == ("CONTENT_REJECTED",)
    settings.POSE_REFUND_FILTERED = True
    assert planned().items[0].keep_codes == ()


def test_the_seam_is_left_as_it_is_where_nobody_paints_it(settings: Any) -> None:
    settings.POSE_SEAM_PROVIDER_ORDER = ["huggingface"]
    assert "seam" not in steps(planned(background=Background("upload", image_key="k")))
    settings.POSE_SEAM_PROVIDER_ORDER = ["recraft"]
    assert "seam" in steps(planned(background=Background("upload", image_key="k")))
    settings.POSE_INPAINT_SEAM = False
    assert "seam" not in steps(planned(background=Background("upload", image_key="k")))


def test_without_anybody_who_makes_it_it_is_not_offered(settings: Any) -> None:
    settings.POSE_TEXT_PROVIDER_ORDER = ["tripo"]
    with pytest.raises(OperationUnavailable):
        planned()


def test_the_figures_box_goes_to_the_exports() -> None:
    made = planned(type=plan.GALLERY, poses=(LEAN,), exports=("tiktok",))
    left, top, right, bottom = steps(made)["exports"].inputs["figure"]
    assert 0 <= left < 0.4 < 0.6 < right <= 1
    assert 0 <= top < 0.2 < 0.8 < bottom <= 1
    assert steps(planned(exports=("tiktok",)))["exports"].inputs["figure"] is None


def test_a_change_begins_at_the_cut_out_and_fails_as_a_whole() -> None:
    pose = Item(public_id=str(uuid4()), owner_id=ALICE, request_id=UUID(int=9), params={"figure": None})
    behind = Background("solid_color", color="#fff000")
    made = plan.plan_change(pose, "poses/x/y.png", behind, ["tiktok"], QUOTES["pose_background_change"])
    assert (made.group, made.price) == (f"pose:{pose.public_id}", 10)
    assert list(steps(made)) == ["cut-out", "compose", "thumbnail", "exports", "publish"]
    assert steps(made)["cut-out"].inputs["images"] == ["poses/x/y.png"]
    assert {step.part for step in made.items[0].steps} == {""}
    stem = f"poses/{UUID(int=9)}/{pose.public_id}_bg_{made.id}"
    assert steps(made)["publish"].inputs["moves"] == {
        "compose": f"{stem}.png",
        "seam": f"{stem}_seam.png",
        "thumbnail": f"{stem}_thumb.png",
        "exports": {"tiktok": f"poses/{UUID(int=9)}/exports/{pose.public_id}_bg_{made.id}_tiktok.jpg"},
    }


# --- Words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "description", "attributes", "prompt"),
    [
        ("", "", "", {}, "a person"),
        ("a dancer", "", "", {}, "a dancer"),
        ("", "Lean", "Leans at a wall.", {}, "a person, lean: Leans at a wall"),
        ("in red", "Lean", "", {"gender": "male"}, "male, in red, lean"),
        ("", "", "", {"gender": "female", "ageRange": "adult", "style": "formal"}, "adult female, formal style"),
        ("", "", "", {"style": "formal", "ethnicity": None}, "formal style, a person"),
        ("", "Lean", "", {"ageRange": "25-35", "ethnicity": "Javanese"}, "25-35 Javanese, a person, lean"),
    ],
)
def test_a_prompt_begins_with_the_person_and_ends_with_quality(
    text: str, name: str, description: str, attributes: dict[str, Any], prompt: str
) -> None:
    assert prompts.of_pose(text, name, description, attributes) == f"{prompt}, {prompts.QUALITY}"


@pytest.mark.parametrize(
    "text",
    ["sex", "SEX!", "a (sex) b", "hello\n kitty", "-sex-", "sex_change", "hello-kitty", "Hello_Kitty"]
    + ["s\u00adex", "s\u200bex", "ｓｅｘ", "séx", "𝐬𝐞𝐱"],
)
def test_banned_words_are_found_whole(text: str) -> None:
    assert words.is_banned(text, ["sex", "hello kitty"])


@pytest.mark.parametrize("text", ["", "Essex", "sexy", "hello, kitty", "séxy"])
def test_other_words_are_not(text: str) -> None:
    assert not words.is_banned(text, ["sex", "hello kitty"])


def test_without_banned_words_nothing_is_banned() -> None:
    assert not words.is_banned("anything", [])
    assert not words.is_banned("anything", ["", " "])


def test_the_waits_are_the_contracts() -> None:
    assert chain.WAITS_S == {"RATE_LIMITED": 10.0, "HTTP_503": 30.0, "HTTP_500": 4.0}
