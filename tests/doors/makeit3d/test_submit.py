"""POST /generate/*: what is taken, how it is planned and paid for, and how it is refused."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import pytest

from credits.models import Entry, Price
from generation.doors.makeit3d.catalogue import BY_NAME, OPERATIONS
from generation.models import Event, Item, Request
from tests.doors.makeit3d.desk import PROMPT, Customer, faults_of, inputs_of, item_of, items_of, refusal_of

pytestmark = pytest.mark.django_db


def assert_nothing_happened(customer: Customer, balance: int = 100) -> None:
    assert customer.balance == balance
    assert not Request.objects.exists()
    assert not Item.objects.exists()
    assert not Event.objects.exists()


# --- Taken ---------------------------------------------------------------------------------------


def test_a_submit_answers_with_the_id_to_poll_under_both_names(alices: Customer) -> None:
    answer = alices.post("text-to-image", provider="openai", task_id="task-workspace-abc")

    assert answer.status_code == 200
    body = answer.json()
    request = Request.objects.get()
    assert body == {
        "celery_task_id": str(request.pk),
        "task_id": str(request.pk),
        "client_task_id": "task-workspace-abc",
    }
    assert (request.group, request.door) == ("task-workspace-abc", "makeit3d")
    assert alices.balance == 98


@pytest.mark.parametrize("operation", OPERATIONS, ids=[one.name for one in OPERATIONS])
def test_the_other_prefix_is_the_same_route(alices: Customer, operation: Any) -> None:
    answer = alices.call("POST", f"/generation/{operation.name}", alices.body_of(operation.name))
    assert answer.status_code == 200
    assert alices.status(answer.json()["task_id"])["status"] == "pending"


@pytest.mark.parametrize("absent", [{}, {"task_id": None}])
def test_without_a_task_id_one_is_made(alices: Customer, absent: dict[str, Any]) -> None:
    body = {"provider": "openai", "prompt": PROMPT, **absent}
    task_id = alices.post("text-to-image", body).json()["client_task_id"]
    assert re.fullmatch(r"text-to-image-\d{10}-[0-9a-f]{8}", task_id)
    assert alices.status(task_id)["client_task_id"] == task_id


@pytest.mark.parametrize("task_id", ["t", "A" * 200, "a.b_c:d-1", "6f1c2a52-3d5b-4f0e-9a41-0f6d1f3f9a10"])
def test_a_task_id_is_kept_as_it_is(alices: Customer, task_id: str) -> None:
    assert alices.post("text-to-image", provider="openai", task_id=task_id).json()["client_task_id"] == task_id
    assert alices.status(task_id)["client_task_id"] == task_id


@pytest.mark.parametrize(
    "task_id", ["x" * 201, "", " ", "a/b", "../x", "a..b", ".", "a b", "a ", "ä", "a\\b", "a\n", 7, ["a"]]
)
def test_a_task_id_that_could_not_be_a_folder_is_refused(alices: Customer, task_id: Any) -> None:
    assert faults_of(alices.post("text-to-image", provider="openai", task_id=task_id)).keys() == {"task_id"}
    assert_nothing_happened(alices)


def test_unknown_fields_and_those_of_other_providers_are_ignored_and_the_record_names_them(alices: Customer) -> None:
    request_id = alices.asked("text-to-image", provider="recraft", n=2, style_preset="no such", seed="x", whatever=[1])
    row = alices.rows("images")[0]
    assert row["metadata"]["ignored"] == ["style_preset", "seed"]
    assert "seed" not in row["metadata"]
    assert len(items_of(request_id)) == 2


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_a_json_body_is_taken_whatever_its_content_type(alices: Customer, content_type: str) -> None:
    body = '{"provider": "openai", "prompt": "A wooden chair"}'
    assert alices.call("POST", "/generate/text-to-image", body, content_type=content_type).status_code == 200


@pytest.mark.parametrize(
    ("given", "alias"),
    [
        ("stability", "provider_a"),
        ("Recraft", "provider_b"),
        ("OPENAI", "provider_d"),
        ("replicate", "provider_e"),
        ("flux", "provider_f"),
        ("provider_a", "provider_a"),
        (" Provider_F ", "provider_f"),
    ],
)
def test_a_provider_is_taken_by_name_or_alias_and_told_as_alias(alices: Customer, given: str, alias: str) -> None:
    alices.asked("text-to-image", provider=given)
    assert alices.rows("images")[0]["provider"] == alias
    assert Item.objects.get().steps[0]["candidates"] == [{"provider": alias, "model": "main"}]


@pytest.mark.parametrize(
    ("operation", "default"),
    [(one.name, one.default) for one in OPERATIONS if one.default and one.has_provider],
)
def test_where_only_one_provider_does_it_none_need_be_named(alices: Customer, operation: str, default: str) -> None:
    alices.asked(operation)
    table = BY_NAME[operation].kind
    assert alices.rows(table)[0]["provider"] == default


# --- Each result is an item ----------------------------------------------------------------------


def test_n_results_are_n_items_at_n_times_the_price(alices: Customer) -> None:
    request_id = alices.asked("text-to-image", provider="openai", n=3, quality="hd", task_id="t1")

    items = items_of(request_id)
    assert [(item.index, item.price, item.price_key) for item in items] == [
        (index, 3, "text_to_image_hd") for index in range(3)
    ]
    assert alices.balance == 91
    (charge,) = Entry.objects.filter(kind="charge")
    assert (charge.amount, charge.operation_key, charge.metadata["task_id"]) == (-9, "text_to_image_hd", "t1")
    assert [item.steps[1]["inputs"]["to"] for item in items] == [
        f"images/t1/{request_id}_{index}.{{extension}}" for index in range(3)
    ]
    assert alices.status(request_id)["credits_charged"] == 9


@pytest.mark.parametrize(
    ("operation", "fields", "inputs"),
    [
        (
            "text-to-image",
            {"provider": "stability", "seed": 7, "negative_prompt": "legs", "style_preset": "anime"},
            {
                "aspect_ratio": "1:1",
                "output_format": "png",
                "seed": 7,
                "negative_prompt": "legs",
                "style_preset": "anime",
            },
        ),
        ("text-to-image", {"provider": "stability", "seed": 0}, {"aspect_ratio": "1:1", "output_format": "png"}),
        (
            "text-to-image",
            {"provider": "openai", "size": "1792x1024"},
            {"width": 1792, "height": 1024, "quality": "medium"},
        ),
        (
            "text-to-image",
            {"provider": "openai", "quality": "hd", "style": "vivid"},
            {"width": 1024, "height": 1024, "quality": "high"},
        ),
        (
            "text-to-image",
            {"provider": "recraft", "style": "line_art"},
            {"width": 1024, "height": 1024, "style": "line_art"},
        ),
        (
            "text-to-image",
            {"provider": "recraft", "style": "line_art", "substyle": "x", "style_id": "s-1"},
            {"width": 1024, "height": 1024, "style_id": "s-1"},
        ),
        (
            "text-to-image",
            {"provider": "flux", "width": 1440, "safety_tolerance": 0},
            {"width": 1440, "height": 1024, "safety_tolerance": 0, "prompt_upsampling": False},
        ),
        ("image-to-image", {"provider": "stability"}, {"fidelity": 0.8, "output_format": "png"}),
        ("image-to-image", {"provider": "recraft"}, {"style": "realistic_image", "strength": 0.2}),
        (
            "image-to-image",
            {"provider": "openai", "background": "opaque", "size": "wide", "quality": "best"},
            {"background": "opaque"},
        ),
        ("sketch-to-image", {}, {"control_strength": 0.8, "style_preset": "3d-model", "output_format": "png"}),
        (
            "search-and-recolor",
            {"grow_mask": 20},
            {"select_prompt": "the seat", "grow_mask": 20, "output_format": "png"},
        ),
        ("text-to-model", {"provider": "tripo"}, {"texture": True}),
        (
            "text-to-model",
            {"provider": "tripo", "texture": False, "face_limit": 900},
            {"texture": False, "face_limit": 900},
        ),
        (
            "image-to-model",
            {"provider": "stability"},
            {
                "texture_resolution": 2048,
                "foreground_ratio": 1.3,
                "target_type": "none",
                "target_count": 10000,
                "guidance_scale": 6,
            },
        ),
    ],
)
def test_a_call_gets_the_parameters_under_its_own_words(
    alices: Customer, operation: str, fields: dict[str, Any], inputs: dict[str, Any]
) -> None:
    assert inputs_of(alices.asked(operation, **fields)) == inputs


def test_the_tiers_choose_the_model_and_are_no_input(alices: Customer) -> None:
    for provider, word, model in (
        ("stability", "ultra", "ultra"),
        ("stability", "core", "main"),
        ("recraft", "v2", "v2"),
        ("recraft", "recraftv2", "v2"),
        ("recraft", "recraftv3", "main"),
    ):
        request_id = alices.asked("text-to-image", provider=provider, model=word)
        assert item_of(request_id).steps[0]["candidates"][0]["model"] == model
        assert "model" not in inputs_of(request_id)
    # The vendor's own word for a tier is taken, and never told again.
    assert [row["metadata"]["model"] for row in alices.rows("images")] == ["v3", "v2", "v2", "core", "ultra"]


def test_a_models_version_is_passed_on_and_not_shown(alices: Customer) -> None:
    request_id = alices.asked("text-to-model", provider="tripo", model_version="v2.5-20250123", pbr=True)
    assert inputs_of(request_id)["model_version"] == "v2.5-20250123"
    assert "model_version" not in alices.rows("models")[0]["metadata"]


def test_views_keep_their_places_and_one_view_is_a_single_picture(alices: Customer) -> None:
    front, back = alices.link_to(), alices.link_to()
    several = alices.asked("image-to-model", provider="tripo", input_image_asset_urls=[front, None, back, ""])
    step = item_of(several).steps[0]
    assert step["operation"] == "multiview-to-model"
    assert [bool(key) for key in step["inputs"]["images"]] == [True, False, True, False]
    single = alices.asked("image-to-model", provider="tripo", input_image_asset_urls=[front, None])
    assert item_of(single).steps[0]["operation"] == "image-to-model"


def test_a_provider_that_looks_at_the_first_view_alone_is_given_no_other(alices: Customer) -> None:
    links = [alices.link_to(), "https://not.allowed.example/b.png"]
    request_id = alices.asked("image-to-model", provider="stability", input_image_asset_urls=links)
    assert len(item_of(request_id).steps[0]["inputs"]["images"]) == 1


# --- Refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "provider"),
    [
        ("text-to-image", "tripo"),
        ("text-to-image", "huggingface"),
        ("text-to-image", "midjourney"),
        ("text-to-image", ""),
        ("text-to-image", 7),
        ("text-to-image", ...),
        ("text-to-image", None),
        ("image-to-model", "openai"),
        ("text-to-model", "stability"),
        ("image-inpaint", "stability"),
        ("refine-model", "provider_a"),
    ],
)
def test_a_provider_that_does_not_do_it_is_the_first_fault(alices: Customer, operation: str, provider: Any) -> None:
    answer = alices.post(operation, provider=provider, task_id="a/b")
    assert faults_of(answer).keys() == {"provider", "task_id"}
    assert answer.json()["errors"][0]["field"] == "provider"
    assert_nothing_happened(alices)


def test_all_faults_are_listed_at_once(alices: Customer) -> None:
    body = {"provider": "stability", "task_id": "..", "prompt": " ", "seed": -1, "output_format": "gif", "fidelity": 2}
    answer = alices.post("image-to-image", body)
    fields = {"task_id", "prompt", "input_image_asset_url", "seed", "output_format", "fidelity"}
    assert faults_of(answer).keys() == fields
    assert answer.json()["error"] == "6 fields are invalid."
    assert_nothing_happened(alices)


@pytest.mark.parametrize("prompt", [..., None, "", "   ", "x" * 4001, 7, ["a chair"]])
def test_a_prompt_of_up_to_4000_characters_is_needed(alices: Customer, prompt: Any) -> None:
    assert faults_of(alices.post("text-to-image", provider="openai", prompt=prompt)).keys() == {"prompt"}


def test_a_prompt_is_trimmed_before_it_is_counted(alices: Customer) -> None:
    alices.asked("text-to-image", provider="openai", prompt=f"  {'x' * 4000}\n")
    assert alices.rows("images")[0]["prompt"] == "x" * 4000


@pytest.mark.parametrize("links", [[], "https://a.example/b.png", [None], ["", "x"], ["a"] * 5, [7], None, ...])
def test_one_to_four_pictures_the_first_of_them_there(alices: Customer, links: Any) -> None:
    faults = faults_of(alices.post("image-to-model", provider="tripo", input_image_asset_urls=links))
    assert {field.partition("[")[0] for field in faults} == {"input_image_asset_urls"}
    assert_nothing_happened(alices)


def test_too_few_credits_leave_no_trace(make_customer: Any) -> None:
    poor = Customer(make_customer("poor", 1))
    answer = poor.post("text-to-image", provider="openai")
    assert refusal_of(answer) == (402, "INSUFFICIENT_CREDITS")
    assert (answer.json()["required"], answer.json()["available"]) == (2, 1)
    assert_nothing_happened(poor, 1)


@pytest.mark.parametrize("reason", ["no price", "no key"])
def test_what_is_not_offered_is_refused_and_never_free(alices: Customer, settings: Any, reason: str) -> None:
    if reason == "no price":
        Price.objects.update(is_active=False)
    else:
        settings.PROVIDERS_MODE, settings.PROVIDER_KEYS = "real", {"openai": "sk-secret"}
    answer = alices.post("text-to-image", provider="stability")
    assert refusal_of(answer) == (503, "OPERATION_UNAVAILABLE")
    assert_nothing_happened(alices)


@pytest.mark.parametrize("body", ["{", "[]", "null", '"text"', '{"a": NaN}', b"\xff{}"])
def test_what_is_not_a_json_object_is_malformed(alices: Customer, body: str | bytes) -> None:
    answer = alices.call("POST", "/generate/text-to-image", body)
    assert refusal_of(answer) == (400, "MALFORMED_JSON")


@pytest.mark.parametrize(
    ("method", "path", "refusal"),
    [
        ("GET", "/generate/text-to-image", (405, "METHOD_NOT_ALLOWED")),
        ("PUT", "/generation/text-to-image", (405, "METHOD_NOT_ALLOWED")),
        ("POST", "/tasks/x/status", (405, "METHOD_NOT_ALLOWED")),
        ("POST", "/api/images", (405, "METHOD_NOT_ALLOWED")),
        ("GET", "/api/assets", (405, "METHOD_NOT_ALLOWED")),
        ("POST", "/generate/text-to-video", (404, "NOT_FOUND")),
        ("POST", "/generate/text-to-image/", (404, "NOT_FOUND")),
        ("GET", "/tasks/x", (404, "NOT_FOUND")),
    ],
)
def test_wrong_methods_and_paths_are_refused_in_the_apis_shape(
    alices: Customer, method: str, path: str, refusal: tuple[int, str]
) -> None:
    assert refusal_of(alices.call(method, path)) == refusal


# --- Who calls -----------------------------------------------------------------------------------


def test_an_api_key_is_no_token(db: None) -> None:
    answer = Customer(None).call("GET", "/api/images", **{"X-API-Key": "makeit3d"})
    assert refusal_of(answer) == (401, "NOT_AUTHENTICATED")


# --- Once ----------------------------------------------------------------------------------------


def test_a_repeat_under_the_same_key_is_answered_and_not_charged(alices: Customer) -> None:
    first = alices.post("text-to-image", provider="openai", key="order-0001")
    again = alices.post("text-to-image", provider="openai", key="order-0001")
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert alices.balance == 98
    assert Request.objects.count() == 1


@pytest.mark.parametrize("operation", OPERATIONS, ids=[one.name for one in OPERATIONS])
def test_every_route_that_charges_knows_keys(alices: Customer, operation: Any) -> None:
    body = alices.body_of(operation.name)
    answers = [alices.post(operation.name, body, key="order-0001") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len({answer.json()["task_id"] for answer in answers}) == 1
    assert Request.objects.count() == 1


@pytest.mark.parametrize("first", ["generate", "generation"])
def test_a_key_holds_under_the_routes_other_name_too(alices: Customer, first: str) -> None:
    body = alices.body_of("text-to-image")
    paths = ["/generate/text-to-image", "/generation/text-to-image"]
    answers = [
        alices.call("POST", path, body, **{"Idempotency-Key": "order-0001"})
        for path in sorted(paths, key=lambda path: path.split("/")[1] != first)
    ]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert alices.balance == 98


def test_a_key_is_for_one_body(alices: Customer) -> None:
    alices.post("text-to-image", provider="openai", key="order-0001")
    other = alices.post("text-to-image", provider="openai", n=2, key="order-0001")
    assert refusal_of(other) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert alices.balance == 98


@pytest.mark.parametrize("key", ["short", "x" * 256, "käse-käse"])
def test_a_malformed_key_is_refused(alices: Customer, key: str) -> None:
    answer = alices.post("text-to-image", provider="openai", key=key)
    assert refusal_of(answer) == (400, "IDEMPOTENCY_KEY_INVALID")
    assert_nothing_happened(alices)


def test_a_refusal_for_lack_of_credits_is_kept_and_a_fault_leaves_the_key_free(make_customer: Any) -> None:
    poor = Customer(make_customer("poor", 1))
    assert poor.post("text-to-image", provider="openai", n=0, key="order-0001").status_code == 422
    for _ in range(2):
        assert poor.post("text-to-image", provider="openai", key="order-0001").status_code == 402
    assert_nothing_happened(poor, 1)


def test_the_ids_are_random_uuids(alices: Customer) -> None:
    request_id = alices.asked("text-to-image", provider="openai")
    assert UUID(request_id).version == UUID(item_of(request_id).public_id).version == 4
