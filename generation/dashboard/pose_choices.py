"""What may be chosen for poses, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from credits.models import Price
from generation import exports
from generation.dashboard.forms import whole
from generation.dashboard.pose_form import PoseForm
from generation.dashboard.sources import is_uuid
from generation.doors.poses import chain, figures, plan
from generation.models import Avatar, LibraryPose, PoseProject
from generation.models.library import ProjectStatus


def formats() -> list[tuple[str, str, str]]:
    """Name, words and size of each export."""
    return [
        (name, spoken(name), f"{one.width} × {one.height}" if one.width else "as it is")
        for name, one in exports.PRESETS.items()
    ]


def spoken(name: str) -> str:
    """The name of an export as people say it."""
    words = name.replace("tiktok", "TikTok").replace("linkedin", "LinkedIn").replace("a4", "A4").replace("_", " ")
    return words[0].upper() + words[1:]


def projects(owner_id: UUID) -> list[PoseProject]:
    mine = PoseProject.objects.filter(owner_id=owner_id, deleted_at=None, status=ProjectStatus.ACTIVE)
    return list(mine.order_by("-updated_at")[:50])


def avatars(owner_id: UUID) -> list[Avatar]:
    return list(Avatar.objects.filter(owner_id=owner_id)[:50])


def poses_by_id(ids: list[str]) -> list[LibraryPose]:
    """Poses of the library in the order of their ids; unknown ones are left out. One query."""
    known = [UUID(one) for one in ids if is_uuid(one)]
    rows = LibraryPose.objects.filter(is_public=True).in_bulk(known)
    return [rows[one] for one in known if one in rows]


# --- What it costs -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sum:
    """What the form would cost now. quota: poses left today in the unlimited tier, None without it."""

    poses: int
    each: int
    pose_price: int | None
    background_price: int | None
    has_background: bool
    balance: int
    quota: int | None

    @property
    def total(self) -> int:
        return self.poses * self.each

    @property
    def credits(self) -> int:
        extra = (self.background_price or 0) if self.has_background else 0
        return 0 if self.quota is not None else self.total * ((self.pose_price or 0) + extra)

    @property
    def missing(self) -> int:
        """Credits, or poses of today's quota, that lack."""
        return max(0, self.total - self.quota if self.quota is not None else self.credits - self.balance)


def sum_of(form: PoseForm, owner_id: UUID) -> Sum:
    """Four queries."""
    is_gallery = form["type"].value() == plan.GALLERY
    each = whole(str(form["each" if is_gallery else "many"].value() or ""))
    account = figures.account(owner_id)
    tier = account["unlimited"]
    costs = prices()
    return Sum(
        poses=len(form.chosen) if is_gallery else 1,
        each=each if isinstance(each, int) else 0,
        pose_price=costs.get(chain.POSE_PRICE),
        background_price=costs.get(chain.BACKGROUND_PRICE),
        has_background=bool(form["background"].value()),
        balance=account["balance"],
        quota=tier["remaining"] if tier["active"] else None,
    )


def prices() -> dict[str, int]:
    """Price key -> credits; without one a thing is not on offer. One query."""
    keys = (chain.POSE_PRICE, chain.BACKGROUND_PRICE)
    rows = Price.objects.filter(operation_key__in=keys, provider="", model="", is_active=True)
    return {row.operation_key: row.credits_cost for row in rows}
