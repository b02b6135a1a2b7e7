"""The doors by their names, as rows have them."""

from __future__ import annotations

from generation.doors.makeit3d import plan as makeit3d
from generation.doors.poses import plan as poses
from generation.doors.stories import plan as stories
from generation.doors.visuals import plan as visuals

VISUALS, MAKEIT3D, STORIES, POSES = visuals.DOOR, makeit3d.DOOR, stories.DOOR, poses.DOOR
