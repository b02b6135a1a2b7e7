"""The forms that the catalogue makes: every operation at every provider, its files, its price, its faults."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.models import User
from credits import ledger
from credits.models import Price
from generation.dashboard import fields, wares
from generation.doors.makeit3d import parameters as kinds
from generation.doors.makeit3d.catalogue import OPERATIONS, OURSELVES, Operation, Prompt
from generation.doors.makeit3d.parameters import Param
from generation.models import Asset, Item, Request
from providers.models import Lane
from tests.db import race
from tests.doors.makeit3d.desk import Customer, glb, picture
from tests.doors.visuals.desk import assert_no_vendor
from tests.pages import NASTY, finish, live_nodes, submit

pytestmark = pytest.mark.django_db

PROMPT = "A wooden chair, studio light"
OFFERS = [(operation, alias) for operation in OPERATIONS for alias in operation.offers]
NAMES = [f"{operation.name}-{alias}" for operation, alias in OFFERS]


@pytest.fixture(autouse=True)
def unlimited(settings: Any) -> None:
    settings.MAKEIT3D_PER_MINUTE = {operation.name: 0 for operation in OPERATIONS}
    settings.MAKEIT3D_UPLOADS_PER_MINUTE = 0


@pytest.fixture
def browser(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


@pytest.fixture
def alices(alice: User) -> Customer:
    return Customer(alice)


def address(operation: str, part: str = "operation", *args: str) -> str:
    return reverse(f"app-make-{part}", args=[operation, *args])


def files(customer: Customer, operation: Operation) -> dict[str, str]:
    """A file of one's own for every place that has to have one."""
    return {
        f"{one.name}.0" if one.most else one.name: str(customer.asset("model" if one.word == "model" else "picture").pk)
        for one in operation.inputs
    }


def least(customer: Customer, operation: Operation, alias: str = "", **values: str) -> dict[str, str]:
    """The least that a form has to hold."""
    required = {"select_prompt": "the seat", "max_size_mb": "1"}
    offer = operation.offers[alias or operation.default or next(iter(operation.offers))]
    return {
        "form_key": str(uuid.uuid4()),
        **({"provider": alias} if alias and alias != OURSELVES else {}),
        **({"prompt": PROMPT} if operation.prompt is Prompt.REQUIRED else {}),
        **files(customer, operation),
        **{param.name: required[param.name] for param in offer.params if param.required},
        **values,
    }


def another(param: Param) -> Any:
    """A value that is not the default."""
    match param:
        case kinds.Size(among=()):
            return "512x768"
        case kinds.OneOf():
            return next(one for one in reversed(param.among) if one != param.default)
        case kinds.Flag():
            return not param.default
        case kinds.Whole():
            return param.low + param.step
        case kinds.Number():
            return round(param.low + (param.high - param.low) / 2, 2)
    return "oak"


def written(value: Any) -> str:
    return ("on" if value else "") if isinstance(value, bool) else str(value)


def test_everything_one_can_make_is_offered_on_one_page(browser: Client) -> None:
    page = browser.get(reverse("app-make")).text
    for operation in OPERATIONS:
        assert address(operation.name) in page
    for name in ("app-make-visual", "app-story-new", "app-poses-new"):
        assert reverse(name) in page


@pytest.mark.parametrize(("operation", "alias"), OFFERS, ids=NAMES)
def test_whatever_is_chosen_is_asked_for_as_by_the_api(
    browser: Client, alices: Customer, operation: Operation, alias: str
) -> None:
    asked = [param for param in operation.offers[alias].params if fields.is_asked(param)]
    chosen = {param.name: another(param) for param in asked}
    form = least(alices, operation, alias, task_id="room-7", **{name: written(value) for name, value in chosen.items()})

    shown = browser.post(address(operation.name, "fields") if alias != OURSELVES else address(operation.name), form)
    response = browser.post(address(operation.name), form)

    made = Item.objects.order_by("pk")[0]
    assert response["Location"] == reverse("app-request", args=[made.request_id]), response.text
    body = {**chosen, "task_id": "room-7", **({} if alias == OURSELVES else {"provider": alias})}
    links = {name: alices.link_of(Asset.objects.get(pk=form[name])) for name in form if name.startswith("input_")}
    for name, link in links.items():
        body[name.removesuffix(".0")] = [link] if name.endswith(".0") else link
    same = Item.objects.filter(request=alices.asked(operation.name, **body)).order_by("pk")[0]
    assert (made.params, made.price, made.prompt) == (same.params, same.price, same.prompt)
    assert made.steps[0] == same.steps[0]
    if alias != OURSELVES:
        for name in chosen:
            assert f'name="{name}"' in shown.text, name
        assert_no_vendor(shown.text)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_a_form_opens_says_its_price_and_names_no_vendor(browser: Client, operation: Operation) -> None:
    page = browser.get(address(operation.name))
    assert page.status_code == 200
    assert_no_vendor(page.text)
    assert re.search(r'class="figure">(\d+ credits?|Free)<', page.text)
    assert page.text.count("<label") >= 2
    for label in re.findall(r'<label[^>]* for="([^"]+)"', page.text):
        assert f'id="{label}"' in page.text


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_empty_form_says_at_each_field_what_lacks(browser: Client, operation: Operation) -> None:
    response = browser.post(address(operation.name), {"form_key": str(uuid.uuid4())})
    assert response.status_code == 422
    faults = response.context["form"].faults
    wanted = {f"{one.name}.0" if one.most else one.name for one in operation.inputs}
    wanted |= {"prompt"} if operation.prompt is Prompt.REQUIRED else set()
    wanted |= {param.name for param in operation.offers[response.context["form"].provider].params if param.required}
    assert set(faults) == wanted
    for texts in faults.values():
        assert all(text in response.text for text in texts)
    assert not Request.objects.exists()


@pytest.mark.parametrize(
    ("operation", "values", "text"),
    [
        ("text-to-image", {"prompt": "x" * 4001}, "Must be at most 4000 characters long."),
        ("text-to-image", {"provider": "provider_b", "n": "11"}, "Must be a whole number from 1 to 10"),
        ("text-to-image", {"provider": "provider_b", "size": "huge"}, "Must be a width and a height"),
        ("text-to-image", {"provider": "provider_e", "width": "1000"}, "a multiple of 32"),
        ("text-to-image", {"seed": "ten"}, "Must be a whole number from 0"),
        ("text-to-image", {"task_id": "a b"}, "Must be letters, digits and"),
        ("text-to-image", {"provider": "provider_c"}, "Must be a provider that does this"),
        ("image-to-image", {"fidelity": "2"}, "Must be a number from 0 to 1."),
        ("downscale", {"max_size_mb": "0"}, "Must be a number from 0.1 to 20."),
    ],
)
def test_faults_stand_at_their_field_as_the_api_says_them(
    browser: Client, alices: Customer, operation: str, values: dict[str, str], text: str
) -> None:
    asked = next(one for one in OPERATIONS if one.name == operation)
    response = browser.post(address(operation), {**least(alices, asked), **values})
    assert response.status_code == 422
    name = list(values)[-1]
    assert any(text in fault for fault in response.context["form"].faults[name])
    assert text in response.text
    assert not Request.objects.exists()


# --- Files ----------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_file_that_is_brought_is_kept_at_once_and_shown(browser: Client, alice: User) -> None:
    sent = {"input_image_asset_url.file": SimpleUploadedFile("chair.png", picture())}
    part = browser.post(address("upscale", "source", "input_image_asset_url"), sent)
    asset = Asset.objects.get(owner=alice)
    assert f'value="{asset.pk}" checked' in part.text
    assert part["HX-Trigger-After-Settle"] == "priced"
    assert f"/files/inputs/{alice.pk}/" in part.text


@pytest.mark.parametrize(
    ("operation", "place", "body", "text"),
    [
        ("upscale", "input_image_asset_url", b"no picture", "It must be a PNG, JPEG or WebP picture."),
        ("upscale", "input_image_asset_url", glb(), "This is a model."),
        ("refine-model", "input_model_asset_url", picture(), "This is no GLB or OBJ model."),
    ],
)
def test_what_is_no_such_file_is_said_at_its_place_and_not_kept(
    browser: Client, operation: str, place: str, body: bytes, text: str
) -> None:
    part = browser.post(address(operation, "source", place), {f"{place}.file": SimpleUploadedFile("x.png", body)})
    assert part.status_code == 200  # so that the part is put into the page
    assert text in part.text
    assert not Asset.objects.exists()


def test_a_body_longer_than_any_file_is_refused_unread_whoever_sends_it(
    client: Client, alice: User, settings: Any
) -> None:
    settings.UPLOAD_LIMIT_BYTES = 1000

    def sent() -> dict[str, Any]:
        return {"form_key": str(uuid.uuid4()), "input_image_asset_url.file": SimpleUploadedFile("x.png", bytes(2000))}

    stranger = Client(enforce_csrf_checks=True)
    stranger.cookies["csrftoken"] = "a" * 32
    assert stranger.post(address("upscale"), sent()).status_code == 400
    client.force_login(alice)
    assert client.post(address("upscale"), sent()).status_code == 400
    assert not Asset.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_file_may_come_with_the_form_itself(browser: Client, alice: User) -> None:
    sent = {"form_key": str(uuid.uuid4()), "input_image_asset_url.file": SimpleUploadedFile("chair.png", picture())}
    response = browser.post(address("remove-background"), sent)
    assert response.status_code == 302
    item = Item.objects.get()
    assert item.steps[0]["inputs"]["images"] == [Asset.objects.get(kind="input").key]


@pytest.mark.django_db(transaction=True)
def test_a_file_survives_a_form_that_is_refused(browser: Client) -> None:
    sent = {"form_key": str(uuid.uuid4()), "input_image_asset_url.file": SimpleUploadedFile("chair.png", picture())}
    response = browser.post(address("image-to-image"), sent)
    assert response.status_code == 422
    assert f'value="{Asset.objects.get().pk}" checked' in response.text


def test_a_mask_of_another_size_is_refused_at_the_mask(browser: Client, alices: Customer) -> None:
    asked = next(one for one in OPERATIONS if one.name == "image-inpaint")
    small = alices.asset(size=(320, 320))
    response = browser.post(address("image-inpaint"), least(alices, asked, input_mask_asset_url=str(small.pk)))
    assert "The mask has 320 x 320 pixels" in response.context["form"].faults["input_mask_asset_url"][0]


def test_views_go_in_their_order_and_cost_what_several_cost(browser: Client, alices: Customer) -> None:
    Price.objects.filter(operation_key="image_to_model_single").update(credits_cost=3)
    Price.objects.filter(operation_key="image_to_model_multiview").update(credits_cost=9)
    front, back = alices.asset(), alices.asset()
    form = {
        "form_key": str(uuid.uuid4()),
        "provider": "provider_c",
        "input_image_asset_urls.0": str(front.pk),
        "input_image_asset_urls.2": str(back.pk),
    }
    assert "9 credits" in browser.post(address("image-to-model", "sum"), form).text
    one = {name: value for name, value in form.items() if not name.endswith(".2")}
    assert "3 credits" in browser.post(address("image-to-model", "sum"), one).text
    assert browser.post(address("image-to-model"), form).status_code == 302
    step = Item.objects.get().steps[0]
    assert step["inputs"]["images"] == [front.key, None, back.key]


def test_a_result_leads_on_to_what_may_be_made_of_it(browser: Client, alice: User) -> None:
    request = finish(submit(alice))
    asset = Asset.objects.get(kind="image")
    page = browser.get(reverse("app-picture", args=[asset.pk])).text
    for name in wares.NEXT_OF_PICTURE:
        assert f"{address(name)}?use={asset.pk}" in page
    form = browser.get(address("image-to-model") + f"?use={asset.pk}").text
    assert f'value="{asset.pk}" checked' in form
    assert f"{address('upscale')}?use={asset.pk}" in browser.get(reverse("app-request", args=[request.pk])).text


def test_bob_can_use_nothing_of_alices(client: Client, alices: Customer, bob: User) -> None:
    asset = alices.asset()
    client.force_login(bob)
    values = {"form_key": str(uuid.uuid4()), "input_image_asset_url": str(asset.pk)}
    response = client.post(address("upscale"), values)
    assert response.context["form"].faults == {"input_image_asset_url": ["Choose a file, or one of yours."]}
    assert str(asset.pk) not in client.get(address("upscale") + f"?use={asset.pk}").text
    assert str(asset.pk) not in client.get(reverse("app-make-files", args=["images"])).text
    assert str(asset.pk) not in client.post(address("upscale", "source", "input_image_asset_url"), values).text


def test_there_are_no_other_things_to_make(browser: Client) -> None:
    assert browser.get(address("poems")).status_code == 404
    assert browser.post(address("upscale", "source", "elsewhere")).status_code == 404
    assert browser.get(reverse("app-make-files", args=["poems"])).status_code == 404


# --- Prices and sending ---------------------------------------------------------------------------


def test_the_price_follows_what_is_chosen(browser: Client) -> None:
    Price.objects.filter(operation_key="text_to_image_v3").update(credits_cost=4)
    Price.objects.filter(operation_key="text_to_image_v2").update(credits_cost=1)

    def cost(**values: str) -> str:
        return browser.post(address("text-to-image", "sum"), values).text

    assert "4 credits" in cost(provider="provider_b")
    assert "12 credits" in cost(provider="provider_b", n="3")
    assert "3 credits" in cost(provider="provider_b", n="3", model="v2")
    Price.objects.filter(operation_key="text_to_image_v3").update(credits_cost=40)
    assert "300 credits too few" in cost(provider="provider_b", n="10")
    Price.objects.filter(operation_key="text_to_image_v3").update(is_active=False)
    assert "not on offer" in cost(provider="provider_b")
    assert re.search(r'value="provider_b"[^>]* disabled', browser.get(address("text-to-image")).text)


def test_without_credits_nothing_is_stored_and_the_form_can_be_sent_again(
    browser: Client, alices: Customer, alice: User
) -> None:
    Price.objects.filter(operation_key="text_to_image_core").update(credits_cost=101)
    form = least(alices, OPERATIONS[1])
    response = browser.post(address("text-to-image"), form)
    assert response.status_code == 422
    assert "this request needs 101, the account has 100" in response.text
    key = re.search(r'name="form_key" value="([^"]+)"', response.text)
    assert key
    assert key[1] != form["form_key"]
    assert not Request.objects.exists()
    assert ledger.balance(alice.pk) == 100


@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_the_same_moment_make_one_request(alices: Customer, alice: User) -> None:
    one, two = Client(), Client()
    one.force_login(alice)
    two.force_login(alice)
    form = least(alices, OPERATIONS[1])
    there = address("text-to-image")
    answers = race(lambda: one.post(there, form), lambda: two.post(there, form))
    assert [answer.status_code for answer in answers] == [302, 302]
    assert len({answer["Location"] for answer in answers}) == 1
    assert Request.objects.count() == 1


@pytest.mark.parametrize("place", ["app-make-operation", "app-make-visual"])
def test_a_form_that_was_sent_and_changed_is_not_taken_for_the_same(
    browser: Client, alices: Customer, place: str
) -> None:
    there = reverse(place, args=["text-to-image"] if place == "app-make-operation" else [])
    form = {**least(alices, OPERATIONS[1]), "type": "cover"}
    assert browser.post(there, form).status_code == 302
    response = browser.post(there, {**form, "prompt": "A wooden table, studio light"})
    assert response.status_code == 422
    assert "Send it again to order this as well" in response.text
    key = re.search(r'name="form_key" value="([^"]+)"', response.text)
    assert key
    again = {**form, "prompt": "A wooden table, studio light", "form_key": key[1]}
    assert browser.post(there, again).status_code == 302
    assert Request.objects.count() == 2


def test_the_doors_rate_limit_counts_the_form_too(browser: Client, alices: Customer, settings: Any) -> None:
    settings.MAKEIT3D_PER_MINUTE = {"text-to-image": 1}
    assert browser.post(address("text-to-image"), least(alices, OPERATIONS[1])).status_code == 302
    response = browser.post(address("text-to-image"), least(alices, OPERATIONS[1]))
    assert response.status_code == 422
    assert "That was a lot in a short time" in response.text


def test_with_every_lane_closed_the_form_still_takes_the_wish(browser: Client, alices: Customer) -> None:
    Lane.objects.update(paused=True)
    assert browser.post(address("text-to-image"), least(alices, OPERATIONS[1])).status_code == 302


@pytest.mark.parametrize(("operation", "alias"), OFFERS, ids=NAMES)
def test_the_same_wishes_fill_the_form_again(
    browser: Client, alices: Customer, operation: Operation, alias: str
) -> None:
    asked = [param for param in operation.offers[alias].params if fields.is_asked(param)]
    chosen = {param.name: written(another(param)) for param in asked}
    browser.post(address(operation.name), least(alices, operation, alias, task_id="room-7", **chosen))
    first = Item.objects.order_by("pk")[0]
    page = browser.get(reverse("app-make"), {"like": first.request_id}, follow=True)
    form = page.context["form"]
    assert page.redirect_chain[-1][0].startswith(address(operation.name))
    assert form.order == {**form.order, "task_id": "room-7"}
    assert form.is_valid()
    assert form.wish.values == {
        name: value for name, value in first.params["parameters"].items() if name in form.wish.values
    }
    assert all(slot.chosen for slot in form.slots if slot.is_required)


@pytest.mark.parametrize("text", NASTY)
def test_nothing_a_stranger_wrote_is_alive_in_a_form(browser: Client, alices: Customer, alice: User, text: str) -> None:
    finish(submit(alice, prompt=text))
    for operation in OPERATIONS:
        every = {param.name: text for offer in operation.offers.values() for param in offer.params}
        page = browser.post(address(operation.name), {**every, "prompt": text, "task_id": text, "form_key": text})
        assert live_nodes(page.text) == [], operation.name


def test_a_form_costs_the_same_for_few_files_and_many(browser: Client, alice: User) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert browser.get(address("image-inpaint")).status_code == 200
        return len(asked)

    finish(submit(alice, price=1))
    few = queries()
    finish(submit(alice, 12, price=1))
    assert queries() == few <= 14
