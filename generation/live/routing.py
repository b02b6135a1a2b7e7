"""Which socket answers which path. `/ws` paths of further doors stand here too."""

from __future__ import annotations

from typing import Any

from django.urls import path

from generation.live.consumers import Console, Live, VisualGeneration
from generation.live.poses import PoseGenerator
from generation.live.stories import StoryImages

# Django's `path` is typed for views; Channels' router calls what it finds as an ASGI application.
visuals: Any = VisualGeneration.app
live: Any = Live.app
console: Any = Console.app
poses: Any = PoseGenerator.app
stories: Any = StoryImages.app

websocket_urlpatterns = [
    path("ws/visual-generation", visuals),
    path("ws/live", live),
    path("ws/console", console),
    path("ws/pose-generator", poses),
    path("ws/story-images", stories),
    # Paths that clients of the story door's source system know; after all others, because any name may follow.
    path("ws", stories),
    path("ws/<str:session_id>", stories),
]
