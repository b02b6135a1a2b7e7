"""The library as it is looked through: categories, filters, search."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.doors.poses.desk import Customer, faults_of, make_category, make_pose

pytestmark = pytest.mark.django_db


@pytest.fixture
def library(db: None) -> dict[str, Any]:
    """Poses in two categories under one root, and one that is nobody's business."""
    return {
        "Runway stride": make_pose("Runway stride", tags=["walking", "fashion"], usage_count=5),
        "Arms folded": make_pose("Arms folded", difficulty="advanced", is_featured=True, favorite_count=6),
        "Alley lean": make_pose("Alley lean", "street-style", gender_suitability="male", tags=["wall"]),
        "Secret": make_pose("Secret", is_public=False),
    }


@pytest.fixture
def readers(alice: Any, library: dict[str, Any]) -> Customer:
    return Customer(alice)


def names(customer: Customer, query: str = "") -> list[str]:
    return [pose["name"] for pose in customer.get(f"library{query}")["poses"]]


def test_public_poses_are_listed_the_most_popular_first(readers: Customer) -> None:
    assert names(readers) == ["Arms folded", "Runway stride", "Alley lean"]
    assert readers.get("library")["pagination"] == {
        "page": 1,
        "limit": 24,
        "total": 3,
        "totalPages": 1,
        "hasMore": False,
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?category=street-style", ["Alley lean"]),
        ("?category=fashion", ["Arms folded", "Runway stride", "Alley lean"]),
        ("?category=Editorial", ["Arms folded", "Runway stride"]),
        ("?category=sculpture", []),
        (f"?category={UUID(int=1)}", []),
        ("?search=RUN", ["Runway stride"]),
        ("?search=wall", ["Alley lean"]),
        ("?search=wal", []),
        ("?search=%25%25", []),
        ("?search=secret", []),
        ("?difficulty=advanced", ["Arms folded"]),
        ("?genderSuitability=male", ["Alley lean"]),
        ("?featured=true", ["Arms folded"]),
        ("?featured=false", ["Runway stride", "Alley lean"]),
        ("?category=fashion&search=lean&featured=false", ["Alley lean"]),
        ("?limit=1&page=2", ["Runway stride"]),
        ("?search=&difficulty=&category=", ["Arms folded", "Runway stride", "Alley lean"]),
    ],
)
def test_poses_are_found(readers: Customer, query: str, found: list[str]) -> None:
    assert names(readers, query) == found


def test_a_category_is_found_by_its_id(readers: Customer, library: dict[str, Any]) -> None:
    assert names(readers, f"?category={library['Alley lean'].category_id}") == ["Alley lean"]


def test_wrong_filters_are_refused_all_at_once(readers: Customer) -> None:
    answer = readers.call("GET", "library?search=x&difficulty=hard&genderSuitability=none&featured=yes")
    assert faults_of(answer) == {
        "search": "MIN_LENGTH",
        "difficulty": "INVALID_CHOICE",
        "genderSuitability": "INVALID_CHOICE",
        "featured": "INVALID_CHOICE",
    }


def test_a_pose_tells_where_its_map_is(readers: Customer, library: dict[str, Any]) -> None:
    pose = readers.get(f"library/{library['Runway stride'].pk}")["pose"]
    assert pose["category"]["name"] == "editorial"
    assert pose["category"]["poseCount"] == 2
    assert readers.picture(pose["controlnetImageUrl"]).size == (256, 256)
    assert (pose["usageCount"], pose["popularityScore"], pose["tags"]) == (5, 5, ["walking", "fashion"])
    assert (pose["sourceType"], pose["licenseType"], pose["isPublic"]) == ("curated", "platform", True)


@pytest.mark.parametrize("pose_id", ["nothing", str(UUID(int=1))])
def test_a_pose_that_is_none_is_not_found(readers: Customer, pose_id: str) -> None:
    assert readers.call("GET", f"library/{pose_id}").status_code == 404


def test_a_private_pose_is_not_found(readers: Customer, library: dict[str, Any]) -> None:
    assert readers.call("GET", f"library/{library['Secret'].pk}").status_code == 404


def test_reading_a_pose_is_no_use_of_it(readers: Customer, library: dict[str, Any]) -> None:
    path = f"library/{library['Runway stride'].pk}"
    assert readers.get(path)["pose"]["usageCount"] == readers.get(path)["pose"]["usageCount"] == 5


def test_categories_are_a_tree_that_counts_poses(readers: Customer) -> None:
    make_category("empty")
    told = readers.get("categories")
    assert told["totalCategories"] == 2
    empty, fashion = told["categories"]
    assert (empty["name"], empty["poseCount"], empty["children"]) == ("empty", 0, [])
    assert (fashion["name"], fashion["poseCount"], fashion["parentId"]) == ("fashion", 3, None)
    assert {child["name"]: child["poseCount"] for child in fashion["children"]} == {"editorial": 2, "street-style": 1}
    assert {child["parentId"] for child in fashion["children"]} == {fashion["id"]}


def test_a_category_that_is_not_active_is_not_shown(readers: Customer) -> None:
    make_category("hidden").__class__.objects.filter(name="hidden").update(is_active=False)
    assert [one["name"] for one in readers.get("categories")["categories"]] == ["fashion"]
