"""Staff's answer to a wish for a pose: one verb for the door's routes and the console."""

from __future__ import annotations

from uuid import UUID

from generation.models import LibraryPose, PoseWish
from generation.models.library import WishStatus


def answer(wish: PoseWish, status: str = "", *, notes: str = "", pose: LibraryPose | None = None) -> PoseWish:
    """Give a wish a new state, notes for who wished, or both. Must run in a transaction that locked the row.

    status: empty leaves it as it is. pose: what came of it; kept from an earlier answer when None.
    """
    wish.status = status or wish.status
    wish.admin_notes = notes or wish.admin_notes
    wish.completed_pose = pose or wish.completed_pose
    wish.save(update_fields=["status", "admin_notes", "completed_pose", "updated_at"])
    return wish


def locked(wish_id: UUID | str) -> PoseWish | None:
    return PoseWish.objects.select_for_update().filter(pk=wish_id).first()


OPEN = (WishStatus.PENDING, WishStatus.APPROVED, WishStatus.IN_PROGRESS)
