"""The door table: the name stored on a request -> the package that plans and spells for it.

Read through `settings.DOORS` by sockets, console and dashboard. A door package offers
`present_event(item, event) -> dict` and `present_item(item) -> dict` in its `present.py`.
"""

from __future__ import annotations

DOORS: dict[str, str] = {
    "makeit3d": "generation.doors.makeit3d",
    "poses": "generation.doors.poses",
    "stories": "generation.doors.stories",
    "visuals": "generation.doors.visuals",
}

# Doors whose source system told Redis subscribers what happens -> what spells it for a committed change:
# `(change) -> [(channel, text), …]`.
DOOR_CHANNELS: dict[str, str] = {"poses": "generation.doors.poses.telling.channel_messages"}
