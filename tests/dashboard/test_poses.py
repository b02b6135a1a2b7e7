"""The pages of poses: how they are chosen and paid, what is shown while they are made, and what can be done after."""

from __future__ import annotations

import io
import uuid
import zipfile
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.models import User
from credits import ledger
from generation.models import Asset, AssetKind, Avatar, Item, PoseProject, Request
from tests.doors.poses.desk import Customer, make_category, make_pose, make_unlimited, work
from tests.generation.support import picture
from tests.pages import NASTY, live_nodes
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("simulator", "media")]

NEW = "/app/poses/new"


@pytest.fixture
def rich(make_customer: Any) -> User:
    user: User = make_customer("rich", 1000)
    return user


@pytest.fixture
def browser(client: Client, rich: User) -> Client:
    client.force_login(rich)
    return client


@pytest.fixture
def customer(rich: User) -> Customer:
    return Customer(rich)


def form(*poses: Any, **values: Any) -> dict[str, Any]:
    """The form as a browser sends it; of the library when poses are given."""
    return {
        "type": "GALLERY_REFERENCE" if poses else "TEXT_DESCRIPTION",
        "poses": [str(pose.pk) for pose in poses],
        "text": "" if poses else "a dancer in a red coat",
        "each": "1",
        "many": "1",
        "background": "",
        "background_prompt": "",
        "background_color": "#f4f0ea",
        "background_url": "",
        "form_key": str(uuid.uuid4()),
        **values,
    }


def stored(browser: Client, path: str) -> bytes:
    """Download a file."""
    answer: Any = browser.get(path)
    assert answer["Content-Disposition"].startswith("attachment")
    try:
        return b"".join(answer.streaming_content)
    finally:
        answer.close()


def balance(user: User) -> int:
    return ledger.balance(user.pk)


# --- Choosing ------------------------------------------------------------------------------------


def test_the_library_is_filtered_and_what_is_chosen_stays(browser: Client) -> None:
    make_category("sports")
    chosen = make_pose("Lotus", "yoga", tags=["sitting"])
    make_pose("Catwalk", "editorial")
    make_pose("Runner", "yoga")
    page = browser.get(NEW).text
    assert page.count('class="pose-pick"') == 3
    assert "(3)" in page  # beside the root of all of them

    shelf = browser.get("/app/poses/shelf", {"search": "walk", "poses": [str(chosen.pk)]}).text
    assert shelf.count('class="pose-pick"') == 2
    assert shelf.index("Lotus") < shelf.index("Catwalk")
    assert shelf.count("checked") == 1
    by_tag = browser.get("/app/poses/shelf", {"search": "sitting"}).text
    assert ("Lotus" in by_tag, "Runner" in by_tag) == (True, False)
    by_category = browser.get("/app/poses/shelf", {"category": "yoga"}).text
    assert ("Lotus" in by_category, "Catwalk" in by_category) == (True, False)
    assert "No pose found" in browser.get("/app/poses/shelf", {"search": "nothing of the kind"}).text


def test_a_long_library_is_shown_page_by_page(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation.dashboard.poses.LIBRARY_LIMIT", 2)
    chosen = make_pose("A")
    for name in "BCDE":
        make_pose(name)
    first = browser.get("/app/poses/shelf", {"poses": [str(chosen.pk)]}).text
    assert first.count('class="pose-pick"') == 3
    assert f"poses={chosen.pk}" in first
    second = browser.get("/app/poses/shelf", {"poses": [str(chosen.pk)], "page": "2"}).text
    assert second.count('class="pose-pick"') == 2
    assert "Show more" not in second


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"each": "4"}, ["240 credits", "2 × 4", 'You have</dt><dd class="number">1,000']),
        ({"each": "4", "background": "solid_color"}, ["320 credits", 'Its background</dt><dd class="number">+ 10']),
        ({"each": "10", "background": "upload"}, ["800 credits"]),
        ({"each": "x"}, ["0 credits"]),
    ],
)
def test_the_price_is_shown_before_sending(browser: Client, values: dict[str, Any], said: list[str]) -> None:
    two = make_pose("A"), make_pose("B")
    answer = browser.post("/app/poses/sum", form(*two, **values)).text
    assert [text for text in said if text not in answer] == []


def test_the_price_says_what_lacks_and_counts_todays_quota(browser: Client, rich: User) -> None:
    assert "500 credits too few" in browser.post("/app/poses/sum", form(many="50")).text
    make_unlimited(rich, 3)
    answer = browser.post("/app/poses/sum", form(many="5")).text
    assert "Left today" in answer
    assert "2 poses more than today" in answer


# --- Sending -------------------------------------------------------------------------------------


def test_chosen_poses_are_ordered_with_avatar_background_and_exports(browser: Client, rich: User) -> None:
    one, other = make_pose("One"), make_pose("Other")
    answer = browser.post(
        NEW,
        form(
            one,
            other,
            each="2",
            text="by the sea",
            project_name="Summer",
            avatar="new",
            avatar_name="Mira",
            gender="female",
            ageRange="adult",
            background="solid_color",
            background_color="#3366aa",
            exports=["instagram_feed", "tiktok"],
        ),
    )
    order = Request.objects.get(door="poses")
    assert answer["Location"] == f"/app/poses/{order.pk}"
    assert order.items.count() == 4
    assert balance(rich) == 1000 - 4 * 40
    assert PoseProject.objects.get(pk=order.group).name == "Summer"
    assert Avatar.objects.get(owner=rich).name == "Mira"
    assert order.params["avatarAttributes"] == {"gender": "female", "ageRange": "adult"}
    assert (order.params["backgroundColor"], order.params["exportFormats"]) == (
        "#3366AA",
        ["instagram_feed", "tiktok"],
    )

    again = browser.get(NEW, {"like": str(order.pk)}).text
    assert again.count("checked") >= 2 + 2 + 2  # poses, exports, how to choose and the background
    assert "by the sea" in again
    assert f'<option value="{order.group}" selected' in again


def test_a_double_click_orders_once(browser: Client, rich: User) -> None:
    body = form(many="2")
    assert browser.post(NEW, body)["Location"] == browser.post(NEW, body)["Location"]
    assert balance(rich) == 940
    assert PoseProject.objects.filter(owner=rich).count() == 1


def test_without_enough_credits_nothing_is_made_and_the_form_stays(client: Client, alice: User) -> None:
    client.force_login(alice)
    answer = client.post(NEW, form(many="4", text="a dancer <b>", avatar="new", gender="female"))
    assert answer.status_code == 422
    assert "needs 120" in answer.text
    assert "a dancer &lt;b&gt;" in answer.text
    assert (Request.objects.count(), Avatar.objects.count(), PoseProject.objects.count()) == (0, 0, 0)
    assert client.post(NEW, form(many="1")).status_code == 302


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"type": "GALLERY_REFERENCE"}, "Choose at least one pose."),
        ({"type": "GALLERY_REFERENCE", "poses": [str(uuid.uuid4())]}, "No pose of the library"),
        ({"text": ""}, "Say who they are"),
        ({"text": "x" * 501}, "500"),
        ({"text": "a nude figure"}, "not made here"),
        ({"many": "21"}, "20"),
        ({"background": "ai_generate"}, "Say what is behind."),
        ({"background": "solid_color", "background_color": "red"}, "#1A2B3C"),
        ({"background": "upload"}, "Choose a picture."),
        ({"background": "upload", "background_url": "https://elsewhere.example/x.png"}, "not allowed"),
        ({"exports": ["poster"]}, "Must be one of"),
        ({"project": str(uuid.uuid4())}, "Project not found"),
        ({"avatar": str(uuid.uuid4())}, "Avatar not found"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_charged(
    browser: Client, rich: User, values: dict[str, Any], said: str
) -> None:
    answer = browser.post(NEW, form() | values)
    assert answer.status_code == 422
    assert said in answer.text
    assert balance(rich) == 1000


def test_a_picture_for_the_background_is_kept_and_need_not_be_chosen_twice(browser: Client, rich: User) -> None:
    file = SimpleUploadedFile("beach.png", picture(size=(64, 64)), "image/png")
    refused = browser.post(NEW, form(text="", background="upload", background_file=file))
    assert refused.status_code == 422
    kept = Asset.objects.get(owner=rich, kind=AssetKind.INPUT)
    assert "A picture is kept from before" in refused.text
    link = refused.text.split('name="background_url" value="')[1].split('"')[0].replace("&amp;", "&")
    assert browser.post(NEW, form(background="upload", background_url=link)).status_code == 302
    kept.refresh_from_db()
    assert Item.objects.get().steps[2]["inputs"]["background"] == kept.key

    no_picture = SimpleUploadedFile("x.png", b"GIF89a nonsense", "image/png")
    answer = browser.post(NEW, form(background="upload", background_file=no_picture))
    assert "It must lead to a PNG, JPEG or WebP picture" in answer.text


def test_too_many_orders_in_a_short_time_are_asked_to_wait(browser: Client, settings: Any) -> None:
    settings.POSE_RATE_LIMIT = 1
    assert browser.post(NEW, form()).status_code == 302
    assert "a lot in a short time" in browser.post(NEW, form()).text


# --- Watching ------------------------------------------------------------------------------------


def test_the_grid_fills_as_poses_finish(browser: Client, customer: Customer, simulator: Remote) -> None:
    pose = make_pose("Contrapposto")
    place = browser.post(NEW, form(pose, each="3"))["Location"]
    page = browser.get(place).text
    assert page.count('class="state queued">queued') == 4  # the sum's and each pose's
    assert "0 of 3 poses" in page

    work(until=lambda: Item.objects.filter(status="SUCCEEDED").exists())
    page = browser.get(place).text
    assert "1 of 3 poses" in page
    assert page.count('alt="Contrapposto, variation') == 1

    simulator.faults("replicate", "filtered")
    work()
    page = browser.get(place).text
    assert "2 of 3 poses, 1 failed" in page
    assert "partly completed" in page
    assert "The content filter refused this pose." in page
    fragment = browser.get(place, headers={"HX-Request": "true"}).text
    assert "<html" not in fragment
    assert "Download all as a ZIP" in fragment
    assert "2 of 3" in browser.get("/app/poses").text


def test_the_list_of_work_leads_to_the_own_pages(browser: Client, customer: Customer) -> None:
    pose = customer.finished_pose()
    generation = Item.objects.get(public_id=pose["id"]).request
    assert browser.get(reverse("app-request", args=[generation.pk]))["Location"] == f"/app/poses/{generation.pk}"
    customer.change(pose["id"], backgroundMode="solid_color", backgroundColor="#FFFFFF")
    change = Request.objects.get(group=f"pose:{pose['id']}")
    assert browser.get(reverse("app-request", args=[change.pk]))["Location"] == f"/app/pose/{pose['id']}"


def test_all_poses_are_taken_home_in_the_chosen_formats(browser: Client, customer: Customer) -> None:
    generation_id = customer.generated(exportFormats=["tiktok"])
    assert browser.get(f"/app/poses/{generation_id}/poses.zip").status_code == 404
    work()
    for chosen, folders in (([], {"tiktok"}), (["original", "shopee_product"], {"original", "shopee_product"})):
        answer: Any = browser.get(f"/app/poses/{generation_id}/poses.zip", {"formats": chosen})
        names = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))).namelist()
        assert {name.split("/")[0] for name in names} == folders
        assert len(names) == 2 * len(folders)
    assert browser.get(f"/app/poses/{generation_id}/poses.zip?formats=poster")["Location"].endswith(generation_id)


# --- One pose ------------------------------------------------------------------------------------


def test_a_background_is_changed_and_compared(browser: Client, customer: Customer, rich: User) -> None:
    pose = customer.finished_pose(exportFormats=["instagram_feed"])
    place, before = f"/app/pose/{pose['id']}", balance(rich)
    page = browser.get(place).text
    assert "data-compare" not in page
    assert "1080 × 1080" in page
    assert stored(browser, f"{place}/files/before").startswith(b"\x89PNG")

    body = form(background="solid_color", background_color="#3366aa")
    assert browser.post(place, body)["Location"] == place
    assert browser.post(place, body)["Location"] == place  # clicked twice
    assert balance(rich) == before - 10
    page = browser.get(place).text
    assert "<progress" in page
    assert 'name="background"' not in page

    work()
    page = browser.get(place).text
    assert "data-compare" in page
    assert "#3366AA" in page
    assert stored(browser, f"{place}/files/picture").startswith(b"\x89PNG")


def test_a_second_change_waits_for_the_first_and_a_failed_one_is_told(
    browser: Client, customer: Customer, simulator: Remote, rich: User
) -> None:
    pose = customer.finished_pose()
    place, before = f"/app/pose/{pose['id']}", balance(rich)
    browser.post(place, form(background="solid_color"))
    assert "being changed already" in browser.post(place, form(background="solid_color")).text
    for vendor in ("stability", "recraft"):
        simulator.faults(vendor, "503", times=20)
    work()
    page = browser.get(place).text
    assert "The last change failed" in page
    assert "10 credits were given back" in page
    assert balance(rich) == before


def test_another_format_is_made_and_kept(browser: Client, customer: Customer) -> None:
    pose = customer.finished_pose()
    place = f"/app/pose/{pose['id']}"
    assert browser.get(f"{place}/files/tiktok").status_code == 404
    assert browser.post(f"{place}/export", {"format": "tiktok"})["Location"] == place
    assert "TikTok</a>" in browser.get(place).text
    assert stored(browser, f"{place}/files/tiktok").startswith(b"\xff\xd8")
    assert browser.post(f"{place}/export", {"format": "poster"})["Location"] == place


def test_a_pose_that_is_not_made_leads_to_its_generation(browser: Client, customer: Customer) -> None:
    generation_id = customer.generated(batchSize=1)
    pose = Item.objects.get(request=generation_id)
    assert browser.get(f"/app/pose/{pose.public_id}")["Location"] == f"/app/poses/{generation_id}"
    assert browser.get(f"/app/pose/{pose.public_id}/files/picture").status_code == 404


# --- All pages -----------------------------------------------------------------------------------


def test_anothers_poses_are_as_missing_as_ones_that_never_were(client: Client, bob: User, customer: Customer) -> None:
    pose = customer.finished_pose()
    generation_id = Item.objects.get(public_id=pose["id"]).request_id
    client.force_login(bob)
    for path in (f"poses/{generation_id}", f"poses/{generation_id}/poses.zip", f"pose/{pose['id']}"):
        assert client.get(f"/app/{path}").status_code == 404
    for path in ("files/picture", "files/before"):
        assert client.get(f"/app/pose/{pose['id']}/{path}").status_code == 404
    assert client.post(f"/app/pose/{pose['id']}", form(background="solid_color")).status_code == 404
    assert client.post(f"/app/pose/{pose['id']}/export", {"format": "tiktok"}).status_code == 404
    assert "No poses yet" in client.get("/app/poses").text
    assert "dancer" not in client.get(NEW, {"like": str(generation_id)}).text
    for path in ("", "/new", "/shelf"):
        assert Client().get(f"/app/poses{path}")["Location"].startswith("/app/login")


@pytest.mark.parametrize("nasty", NASTY)
def test_what_people_write_runs_nowhere(browser: Client, customer: Customer, nasty: str) -> None:
    nasty = nasty[:100]
    make_pose(nasty, tags=[nasty])
    answer = browser.post(
        NEW,
        form(text=nasty, project_name=nasty, avatar="new", avatar_name=nasty, gender=nasty)
        | {"background": "ai_generate", "background_prompt": nasty},
    )
    place = answer["Location"]
    work()
    pose = Item.objects.filter(request=place.split("/")[-1]).get()
    pages = [place, f"/app/pose/{pose.public_id}", "/app/poses", f"{NEW}?like={place.split('/')[-1]}"]
    pages += [f"{NEW}?search={nasty}&category={nasty}"]
    for page in pages:
        assert live_nodes(browser.get(page).text) == []
    assert live_nodes(browser.post(NEW, form(text=nasty, many="x")).text) == []


def test_pages_cost_the_same_however_many_poses_they_show(browser: Client, customer: Customer) -> None:
    costs = []
    for many in (1, 6):
        place = browser.post(NEW, form(make_pose(f"P{many}"), each=str(many)))["Location"]
        work()
        with CaptureQueriesContext(connection) as queries:
            browser.get(place)
        costs.append(len(queries))
    assert costs[0] == costs[1]
