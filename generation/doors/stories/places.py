"""Where a story's files lie: the contract's keys, and the only paths that a caller may name. Pure.

users/{user}/{session}/images/segments.md, config.json, diagram.png       what goes in
users/{user}/{session}/images/status.json                                 how far it is
…/{Template}/generation_report.json                                       what came of it
…/{Template}/{n}. {Title}/generated_images/image_{k}.png                  the pictures
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.conf import settings

from config.api.errors import ApiError
from generation import storage
from generation.doors.stories.segments import Segment

SEGMENTS, CONFIG, DIAGRAM, STATUS, REPORT = (
    *("segments.md", "config.json", "diagram.png", "status.json"),
    "generation_report.json",
)
LONGEST_PATH, LONGEST_PART = 600, 255
SCHEME = "s3://"

# Half of a surrogate pair is no character at all.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\]")


@dataclass(frozen=True)
class Place:
    """The folder of one session's files. directory: with a slash at its end. source: the key of its segments.md."""

    directory: str
    source: str

    @property
    def config(self) -> str:
        return storage.story_key(self.directory, CONFIG)

    @property
    def diagram(self) -> str:
        return storage.story_key(self.directory, DIAGRAM)


def beside_files(template_title: str, place: Place) -> str:
    """The name of a story's folder: not one of the files' that lie there, which a store of folders could not have."""
    taken = (place.source.rpartition("/")[2], CONFIG, DIAGRAM, STATUS)
    return f"{template_title}_" if template_title in taken else template_title


def usual(storage_id: str, session_id: str) -> Place:
    """Where a session's files lie unless its owner says otherwise."""
    directory = storage.story_folder(storage_id, session_id)
    return Place(directory, storage.story_key(directory, SEGMENTS))


def named(path: str, storage_id: str, session_id: str) -> Place:
    """The place that a caller names.

    Raises ApiError: 400 INVALID_S3_PATH, S3_BUCKET_NOT_ALLOWED or S3_PATH_SESSION_MISMATCH; 404 SESSION_NOT_FOUND
    for another person's folder.
    """
    key = path
    if path.startswith(SCHEME):
        bucket, _, key = path.removeprefix(SCHEME).partition("/")
        if bucket != settings.STORAGE_BUCKET:
            raise ApiError(400, "S3_BUCKET_NOT_ALLOWED", "This bucket is not ours; leave it out.")
    if fault := _fault(key):
        raise ApiError(400, "INVALID_S3_PATH", f"s3_path {fault}")
    _, owner, session, *_ = key.split("/")
    if owner != storage_id:
        raise not_found()
    if session != session_id:
        raise ApiError(400, "S3_PATH_SESSION_MISMATCH", "The session in s3_path is not session_id.")
    return Place(key.rpartition("/")[0] + "/", key)


def _fault(key: str) -> str:
    parts = key.split("/")
    if _CONTROL.search(key):
        return "must hold no backslash and no control character."
    if any(part in ("", ".", "..") for part in parts):
        return "must hold no empty part, no . and no .."
    if len(parts) < 4 or parts[0] != "users" or not parts[-1].endswith(".md") or parts[-1] == ".md":
        return "must look like users/{user_id}/{session_id}/images/segments.md."
    if len(key.encode()) > LONGEST_PATH or any(len(part.encode()) > LONGEST_PART for part in parts):
        return f"must be at most {LONGEST_PATH} bytes long, each part at most {LONGEST_PART}."
    return ""


def not_found() -> ApiError:
    return ApiError(404, "SESSION_NOT_FOUND", "There is no such session.")


def status_key(directory: str) -> str:
    return storage.story_key(directory, STATUS)


def report_key(directory: str, template_title: str) -> str:
    return storage.story_key(directory, template_title, REPORT)


def report_copy_key(directory: str, template_title: str, stamp: str) -> str:
    """Where an earlier run's report is kept. stamp: YYYYMMDD_HHMMSS."""
    return storage.story_key(directory, template_title, f"generation_report_{stamp}.json")


def image_key(directory: str, template_title: str, segment: Segment, image: int) -> str:
    folder = f"{segment.number}. {segment.title}"
    return storage.story_key(directory, template_title, folder, "generated_images", f"image_{image}.png")


def s3_path(key: str) -> str:
    """A key as messages name it, wherever it is stored."""
    return f"{SCHEME}{settings.STORAGE_BUCKET}/{key}"
