"""A member of staff's day in a browser: watches, cancels, retries, refunds, pauses, grants, exports; all on record."""

from __future__ import annotations

import csv
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from config.models import StaffAct, User
from credits.models import Account, Entry
from generation import audit, storage
from generation.models import Asset, AssetKind, Item
from providers.simulator import models
from tests.browser.watching import Watched, aside, sign_in
from tests.pages import submit
from tests.simulator import Remote

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def confirm(page: Any, verb: str, reason: str, **fields: str) -> None:
    """Answer the page that asks first."""
    for label, value in fields.items():
        page.get_by_label(label, exact=False).first.fill(value)
    page.locator("textarea[name=reason]").fill(reason)
    page.get_by_role("button", name=verb).click()


def row(page: Any, item: Item) -> Any:
    return page.locator("tr", has=page.locator(f'input[name=row][value="{item.pk}"]'))


def test_a_day_of_a_member_of_staff(
    stella: User, alice: User, simulator: Remote, watched: Watched, tmp_path: Path
) -> None:
    page = watched.page
    sign_in(page, "stella", to="/admin/")
    page.locator('[data-console-state="live"], [data-console-state="gap"]').wait_for()

    # Holds everything up, and watches work arrive.
    page.get_by_role("link", name="Queue", exact=True).click()
    expect(page.get_by_text("Nothing waits and nothing runs")).to_be_visible()
    page.get_by_role("link", name="pause the whole desk").click()
    confirm(page, "Pause", "a new roof")
    page.locator(".console-banner", has_text="a new roof").wait_for()
    first, second = aside(lambda: [submit(alice, prompt=text).items.get() for text in ("a <b>pier</b>", "a gull")])
    expect(row(page, first)).to_contain_text("the whole desk is paused; place 1")
    expect(row(page, second)).to_contain_text("place 2")
    assert page.locator("td b").count() == 0

    # Cancels one.
    row(page, second).locator("input").check()
    page.get_by_label("With the chosen").select_option("cancel")
    page.get_by_role("button", name="Go on").click()
    confirm(page, "Cancel", "asked by mail")
    expect(page.get_by_text("1 cancelled, 2 credits given back.")).to_be_visible()
    expect(row(page, second)).to_have_count(0)

    # Lets the desk go on; the provider refuses, and a second try works.
    simulator.faults("openai", "filtered")
    page.get_by_role("link", name="resume the whole desk").click()
    confirm(page, "Resume", "the roof is on")
    expect(page.get_by_text("Nothing waits and nothing runs")).to_be_visible()
    page.goto(f"/admin/generation/item/{first.pk}/change/")
    expect(page.get_by_text("failed", exact=True).first).to_be_visible()
    page.get_by_role("link", name="Retry").click()
    confirm(page, "Retry", "they say it was a mistake")
    expect(page.get_by_text("1 sent on its way again.")).to_be_visible()
    page.goto("/admin/")
    page.wait_for_function("Number(document.querySelector('[data-figure=\"last_minute.succeeded\"]').textContent) > 0")
    assert aside(lambda: Account.objects.get(owner=alice).balance) == 100

    # Pays a present back, with a nervous finger.
    third = aside(lambda: submit(alice, prompt="a boat").items.get())
    page.goto(f"/admin/generation/request/{third.request_id}/change/")
    page.get_by_role("link", name="Refund", exact=True).click()
    page.locator("textarea[name=reason]").fill("the boat has <i>two</i> sterns")
    page.get_by_role("button", name="Refund").dblclick()
    expect(page.get_by_text("1 refunded, 2 credits given back.")).to_be_visible()
    expect(page.get_by_text("Refund: the boat has <i>two</i> sterns").first).to_be_visible()
    assert aside(lambda: Entry.objects.filter(subject=f"item:{third.pk}").count()) == 1

    # Pauses a provider.
    page.goto("/admin/providers/lane/provider_g/change/")
    page.get_by_role("link", name="Pause").click()
    confirm(page, "Pause", "they are down")
    page.goto("/admin/")
    lane = page.locator('tr[data-lane="provider_g"]')
    expect(lane).to_contain_text("paused")
    expect(lane).to_contain_text("they are down")

    # Gives credits, and takes the ledger home.
    page.goto(f"/admin/credits/account/{alice.pk}/change/")
    page.get_by_role("link", name="Grant credits").click()
    page.locator("input[name=credits]").fill("25")
    confirm(page, "Grant credits", "=thank you")
    expect(page.get_by_text("1 account credited, 25 credits granted.")).to_be_visible()
    page.get_by_role("link", name="Ledger").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Export what is shown as CSV").click()
    download.value.save_as(tmp_path / "ledger.csv")
    rows = list(csv.DictReader((tmp_path / "ledger.csv").read_text().splitlines()))
    assert (rows[0]["kind"], rows[0]["credits"], rows[0]["description"]) == ("grant", "25", "'=thank you")

    # All of it is on record, and every promise holds.
    page.get_by_role("link", name="Staff acts").click()
    trail = page.locator("#result_list").inner_text()
    for verb in ("pause", "cancel", "resume", "retry", "refund", "grant", "export"):
        assert re.search(rf"\b{verb}\b", trail), verb
    assert aside(lambda: StaffAct.objects.filter(verb="refund").count()) == 1
    assert aside(audit.check) == []


def test_staff_see_the_desk_move(stella: User, alice: User, watched: Watched) -> None:
    page = watched.page
    sign_in(page, "stella", to="/admin/")
    page.locator('[data-console-state="live"], [data-console-state="gap"]').wait_for()
    other = page.context.browser.new_context(base_url=page.url)
    customer = other.new_page()
    sign_in(customer, "alice")
    customer.goto("/app/make/visual")
    customer.get_by_label("What should it show?").fill("A lighthouse on a cliff at dawn")
    customer.get_by_role("button", name="Make it").click()
    page.wait_for_function("Number(document.querySelector('[data-figure=\"queue.in_progress\"]').textContent) > 0")
    page.wait_for_function("Number(document.querySelector('[data-figure=\"last_minute.succeeded\"]').textContent) > 0")
    other.close()


def test_a_model_is_read_for_the_viewer(stella: User, alice: User, watched: Watched, tmp_path: Path) -> None:
    """Whether a browser can draw it depends on its graphics; that our module reads it does not."""
    page = watched.page

    def make() -> Item:
        item = submit(alice, prompt="a vase").items.get()
        body = models.glb(7)
        key = storage.work_key(item, AssetKind.MODEL, 1, "glb")
        path = tmp_path / "media" / key  # where the desk's own processes look
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        Asset.objects.create(
            owner=alice,
            request=item.request,
            item=item,
            kind=AssetKind.MODEL,
            key=key,
            content_type="model/gltf-binary",
            size_bytes=len(body),
            sha256=hashlib.sha256(body).hexdigest(),
            created_at=item.created_at,
        )
        return item

    item = aside(make)
    sign_in(page, "stella", to="/admin/")
    page.goto(f"/admin/generation/request/{item.request_id}/change/")
    expect(page.get_by_role("button", name="Show in 3D")).to_be_visible()
    read = page.evaluate(
        """async () => {
          const { parse } = await import("/static/glb.js");
          const address = document.querySelector("model-view").getAttribute("src");
          const parts = parse(await (await fetch(address)).arrayBuffer());
          const broken = (() => { try { parse(new ArrayBuffer(40)); } catch (error) { return error.message; } })();
          return { parts: parts.length, triangles: parts[0].indices.length / 3, image: parts[0].image.type, broken };
        }"""
    )
    assert read["parts"] == 1
    assert read["triangles"] > 1000
    assert read["image"] == "image/png"
    assert read["broken"] == "This is no GLB of version 2."
