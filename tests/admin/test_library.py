"""The library, stories, quarantine and audit pages: what they show, and what staff can do there."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from config.models import StaffAct, User
from generation import chores, storage
from generation.admin.library import CompleteForm
from generation.models import (
    AuditRun,
    Avatar,
    Chore,
    Item,
    LibraryPose,
    PoseCategory,
    PoseWish,
    StorySession,
)
from tests.admin.test_verbs import do
from tests.pages import NASTY, finish, live_nodes, submit

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client, stella: User) -> Client:
    client.force_login(stella)
    return client


@pytest.fixture
def category() -> PoseCategory:
    return PoseCategory.objects.create(name="standing", display_name="Standing", slug="standing")


@pytest.fixture
def pose(category: PoseCategory) -> LibraryPose:
    return make_pose(category, "Arms crossed")


def make_pose(category: PoseCategory, name: str) -> LibraryPose:
    keys = {f"{what}_key": f"poses/library/{name}/{what}.png" for what in ("map", "preview", "thumbnail")}
    return LibraryPose.objects.create(category=category, name=name, keypoints=[None] * 18, **keys)


def make_wish(owner: User, **fields: Any) -> PoseWish:
    return PoseWish.objects.create(owner=owner, pose_name="Handstand", description="On one hand, please", **fields)


def test_poses_are_shown_with_their_pictures(staff: Client, pose: LibraryPose) -> None:
    link = storage.link(pose.thumbnail_key, "/").split("?")[0]
    assert link in staff.get(reverse("admin:generation_librarypose_changelist")).text
    page = staff.get(reverse("admin:generation_librarypose_change", args=[pose.pk])).text
    assert storage.link(pose.map_key, "/").split("?")[0] in page


def test_what_is_about_showing_a_pose_is_set_by_hand_and_written_down(staff: Client, pose: LibraryPose) -> None:
    values = {
        "description": "Calm",
        "difficulty": "advanced",
        "gender_suitability": "unisex",
        "tags": "calm,, standing ",
        "is_featured": "on",
        "name": "Another",
        "usage_count": "99",
    }
    address = reverse("admin:generation_librarypose_change", args=[pose.pk])
    assert staff.post(address, values).status_code == 302
    pose.refresh_from_db()
    assert (pose.description, pose.difficulty, pose.is_featured, pose.is_public) == ("Calm", "advanced", True, False)
    assert (pose.name, pose.usage_count) == ("Arms crossed", 0)
    assert pose.tags == ["calm", "standing"]
    assert 'value="calm, standing"' in staff.get(address).text
    assert StaffAct.objects.get().outcome["difficulty"] == "beginner → advanced"


def test_a_tag_that_the_database_cannot_keep_is_a_fault_of_the_field(staff: Client, pose: LibraryPose) -> None:
    address = reverse("admin:generation_librarypose_change", args=[pose.pk])
    values = {"difficulty": "advanced", "gender_suitability": "unisex", "tags": "a\x00b"}
    page = staff.post(address, values)
    assert page.status_code == 200
    assert "tags" in page.context["adminform"].form.errors


def test_poses_are_neither_added_nor_removed_here(staff: Client, pose: LibraryPose) -> None:
    assert staff.get(reverse("admin:generation_librarypose_add")).status_code == 403
    assert (
        staff.post(reverse("admin:generation_librarypose_delete", args=[pose.pk]), {"post": "yes"}).status_code == 403
    )


@pytest.mark.parametrize(
    ("verb", "status"), [("approve", "approved"), ("begin", "in_progress"), ("reject", "rejected")]
)
def test_a_wish_is_answered_with_notes_for_who_wished(staff: Client, alice: User, verb: str, status: str) -> None:
    wish = make_wish(alice)
    assert len(do(staff, wish, verb, reason="We think so too")) == 1
    wish.refresh_from_db()
    assert (wish.status, wish.admin_notes) == (status, "We think so too")
    assert StaffAct.objects.get().verb == verb


def test_a_wish_is_completed_by_a_pose(staff: Client, alice: User, pose: LibraryPose) -> None:
    wish = make_wish(alice)
    assert do(staff, wish, "complete", reason="Here it is", pose=pose.pk) == ["1 completed."]
    wish.refresh_from_db()
    assert (wish.status, wish.completed_pose) == ("completed", pose)
    assert do(staff, wish, "reject") == ["0 rejected, 1 was answered before."]


def test_of_the_library_the_newest_are_offered_first_and_hidden_ones_not(pose: LibraryPose) -> None:
    yoga = PoseCategory.objects.create(name="yoga", display_name="Yoga", slug="yoga", display_order=1)
    newer = make_pose(yoga, "Zigzag")
    LibraryPose.objects.filter(pk=make_pose(yoga, "Hidden").pk).update(is_public=False)
    _, *groups = CompleteForm().fields["pose"].choices
    told = [(name, [words for _, words in among]) for name, among in groups]
    assert told == [("Added last", [newer.name, pose.name]), ("Standing", [pose.name]), ("Yoga", [newer.name])]


def test_answering_wishes_needs_the_permission(client: Client, sam: User, alice: User) -> None:
    wish = make_wish(alice)
    sam.user_permissions.set(Permission.objects.filter(codename="view_posewish"))
    client.force_login(sam)
    page = client.get(reverse("admin:generation_posewish_change", args=[wish.pk]))
    assert page.context["verbs"] == []
    address = reverse("admin:generation_posewish_verb", args=["approve"])
    assert client.get(address, {"row": wish.pk}).status_code == 403


def test_avatars_are_read_and_their_pictures_are_not_fetched(staff: Client, alice: User) -> None:
    avatar = Avatar.objects.create(owner=alice, name="Me", base_image_url="https://elsewhere.example/me.png")
    address = reverse("admin:generation_avatar_change", args=[avatar.pk])
    page = staff.get(address).text
    assert "https://elsewhere.example/me.png" in page
    assert 'src="https://elsewhere' not in page
    assert 'href="https://elsewhere' not in page
    assert staff.post(address, {"name": "You"}).status_code == 403


def test_a_story_session_leads_to_its_run(staff: Client, alice: User) -> None:
    request = finish(submit(alice, 3))
    session = StorySession.objects.create(session_id="s-1", owner=alice, directory="stories/s-1/", request=request)
    StorySession.objects.create(session_id="s-2", owner=alice, directory="stories/s-2/")
    listed = staff.get(reverse("admin:generation_storysession_changelist")).text
    assert "completed" in listed
    assert "not begun" in listed
    page = staff.get(reverse("admin:generation_storysession_change", args=[session.pk])).text
    assert reverse("admin:generation_request_change", args=[request.pk]) in page
    assert "3 of 3 made" in page


def test_quarantine_holds_what_three_losses_took_out(staff: Client, alice: User) -> None:
    request = submit(alice, 2)
    poison, fine = request.items.order_by("pk")
    Item.objects.filter(pk=poison.pk).update(quarantined_at=timezone.now(), losses=3, error_code="LOST")
    page = staff.get(reverse("admin:generation_item_quarantine"))
    assert [row.pk for row in page.context["cl"].result_list] == [poison.pk]
    assert fine.public_id not in page.text


def test_an_audit_is_run_at_once_or_left_to_a_worker(staff: Client, alice: User) -> None:
    address = reverse("admin:generation_auditrun_run")
    assert "Nothing is wrong" in staff.post(address, follow=True).text
    assert AuditRun.objects.get().full is False
    for _ in range(2):
        staff.post(address, {"full": "1"})
    assert Chore.objects.filter(kind="audit").count() == 1
    assert chores.do_next()
    assert AuditRun.objects.latest("pk").full is True
    assert StaffAct.objects.filter(verb="audit").count() == 3


def test_faults_stand_on_the_audits_page(staff: Client, alice: User) -> None:
    finish(submit(alice))
    Item.objects.update(charged=5)
    assert "1 faults found" in staff.post(reverse("admin:generation_auditrun_run"), follow=True).text
    page = staff.get(reverse("admin:generation_auditrun_change", args=[AuditRun.objects.get().pk])).text
    assert "charged-per-round" in page


def test_running_the_audit_needs_the_permission_and_a_post(client: Client, sam: User) -> None:
    sam.user_permissions.set(Permission.objects.filter(codename="view_auditrun"))
    client.force_login(sam)
    address = reverse("admin:generation_auditrun_run")
    assert client.post(address).status_code == 403
    assert client.get(address).status_code == 405
    assert "Audit what changed" not in client.get(reverse("admin:generation_auditrun_changelist")).text


def test_the_trail_is_found_by_who_and_when(staff: Client, stella: User, sam: User) -> None:
    for actor in (stella, sam):
        StaffAct.objects.create(actor=actor, verb="hold", subject="item:1", reason="so")
    address = reverse("admin:config_staffact_changelist")
    assert staff.get(address, {"who": str(sam.pk)}).context["cl"].result_count == 1
    assert staff.get(address, {"at_from": "2999-01-01"}).context["cl"].result_count == 0
    assert staff.get(address, {"who": "nobody"}).context["cl"].result_count == 2


LISTS = ("librarypose", "posecategory", "posewish", "avatar", "storysession")


def fill(owner: User, category: PoseCategory, numbers: range) -> None:
    for number in numbers:
        make_pose(category, f"pose {number}")
        make_wish(owner, category=category)
        Avatar.objects.create(owner=owner, name=f"avatar {number}")
        StorySession.objects.create(
            session_id=f"s{number}", owner=owner, directory=f"s{number}/", request=submit(owner, price=0)
        )
        PoseCategory.objects.create(name=f"c{number}", display_name=f"c{number}", slug=f"c{number}", parent=category)


def test_every_list_costs_the_same_for_few_rows_and_many(staff: Client, alice: User, category: PoseCategory) -> None:
    def asked() -> list[int]:
        counts = []
        for name in LISTS:
            with CaptureQueriesContext(connection) as queries:
                assert staff.get(reverse(f"admin:generation_{name}_changelist")).status_code == 200
            counts.append(len(queries))
        return counts

    fill(alice, category, range(3))
    asked()
    few = asked()
    fill(alice, category, range(3, 40))
    assert asked() == few
    assert max(few) <= 15


@pytest.mark.parametrize("text", NASTY)
def test_nothing_a_stranger_wrote_is_alive(staff: Client, alice: User, category: PoseCategory, text: str) -> None:
    wish = PoseWish.objects.create(
        owner=alice, pose_name=text, description=text, use_case=text, reference_image_url=text, category=category
    )
    avatar = Avatar.objects.create(
        owner=alice, name=text, base_image_url=text, generation_prompt=text, persona={"name": text}
    )
    session = StorySession.objects.create(session_id=text, owner=alice, directory=text, request=submit(alice))
    Item.objects.update(quarantined_at=timezone.now(), error_code="LOST", error_message=text)
    AuditRun.objects.create(at=timezone.now(), faults=[{"rule": "r", "subject": text, "text": text}])
    pages = [reverse(f"admin:generation_{name}_changelist") for name in (*LISTS, "auditrun")]
    pages += [
        reverse("admin:generation_posewish_change", args=[wish.pk]),
        reverse("admin:generation_posewish_verb", args=["complete"]) + f"?row={wish.pk}",
        reverse("admin:generation_avatar_change", args=[avatar.pk]),
        reverse("admin:generation_storysession_change", args=[session.pk]),
        reverse("admin:generation_auditrun_change", args=[AuditRun.objects.get().pk]),
        reverse("admin:generation_item_quarantine"),
    ]
    for address in pages:
        page = staff.get(address)
        assert page.status_code == 200, address
        assert live_nodes(page.text) == [], address


def test_empty_lists_say_what_would_stand_there(staff: Client) -> None:
    page = staff.get(reverse("admin:generation_posewish_changelist"))
    assert "When a customer wishes for a pose" in page.text
    assert "Nothing matches." in staff.get(reverse("admin:generation_posewish_changelist"), {"q": "x"}).text
    assert "Nothing is in quarantine" in staff.get(reverse("admin:generation_item_quarantine")).text
