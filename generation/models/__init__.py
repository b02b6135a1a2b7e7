"""The tables of the generation app."""

from generation.models.asset import Asset, AssetKind
from generation.models.attempt import Attempt, Outcome, Stage
from generation.models.bulk import Bulk, BulkRow
from generation.models.chore import AuditRun, Chore, MetricsRow, SweepBeat
from generation.models.event import Event, EventKind
from generation.models.item import HoldReason, Item, ItemStatus
from generation.models.library import Avatar, LibraryPose, PoseCategory, PoseProject, PoseSelection, PoseWish
from generation.models.request import Request, RequestStatus
from generation.models.story import StorySession

__all__ = [
    "Asset",
    "AssetKind",
    "Attempt",
    "AuditRun",
    "Avatar",
    "Bulk",
    "BulkRow",
    "Chore",
    "Event",
    "EventKind",
    "HoldReason",
    "Item",
    "ItemStatus",
    "LibraryPose",
    "MetricsRow",
    "Outcome",
    "PoseCategory",
    "PoseProject",
    "PoseSelection",
    "PoseWish",
    "Request",
    "RequestStatus",
    "Stage",
    "SweepBeat",
    "StorySession",
]
