"""Loading the pose library: once, as often as one likes, and again where a figure or a file changed."""

from __future__ import annotations

import io

import pytest
from django.core.management import call_command
from PIL import Image

from generation import storage
from generation.doors.poses import library
from generation.models import LibraryPose, PoseCategory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def three_poses(monkeypatch: pytest.MonkeyPatch, tmp_path: library.Path) -> None:
    """The whole file takes seconds to draw; its first three show the same."""
    data = library.json.loads(library.SOURCE.read_text())
    data["poses"] = data["poses"][:3]
    monkeypatch.setattr(library, "SOURCE", tmp_path / "library.json")
    library.SOURCE.write_text(library.json.dumps(data))


def test_a_pose_gets_its_map_preview_and_thumbnail() -> None:
    assert library.load() == library.Loaded(added=3, redrawn=0, unchanged=0)
    pose = LibraryPose.objects.get(name="Arms folded")
    sizes = [Image.open(io.BytesIO(storage.read(key))).size for key in (pose.map_key, pose.preview_key)]
    assert sizes == [(1024, 1024), (1024, 1024)]
    assert Image.open(io.BytesIO(storage.read(pose.thumbnail_key))).size == (400, 400)
    assert pose.category.parent.name == "professional"
    assert PoseCategory.objects.filter(parent=None).count() == 6


def test_a_second_load_changes_nothing() -> None:
    library.load()
    before = list(LibraryPose.objects.values())
    assert library.load() == library.Loaded(added=0, redrawn=0, unchanged=3)
    assert list(LibraryPose.objects.values()) == before


def test_a_changed_figure_is_drawn_anew_under_another_name() -> None:
    library.load()
    LibraryPose.objects.update(usage_count=7, is_featured=False)
    old = LibraryPose.objects.get(name="Arms folded")
    data = library.json.loads(library.SOURCE.read_text())
    data["poses"][0]["keypoints"][4] = [0.3, 0.6]
    library.SOURCE.write_text(library.json.dumps(data))
    assert library.load() == library.Loaded(added=0, redrawn=1, unchanged=2)
    pose = LibraryPose.objects.get(name="Arms folded")
    assert pose.pk == old.pk
    assert pose.map_key != old.map_key
    assert (pose.usage_count, pose.is_featured) == (7, False)


def test_a_lost_file_is_drawn_again() -> None:
    library.load()
    pose = LibraryPose.objects.get(name="Arms folded")
    storage.delete(pose.map_key)
    call_command("load_poses", "--redraw", verbosity=0)
    assert storage.read(pose.map_key)
