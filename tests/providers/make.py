"""Calls and pictures for the tests of this room."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from typing import Any

from PIL import Image

from providers.base import Call, Made, Pending, Provider, Ready


def make_call(operation: str = "text-to-image", *, deadline_s: float = 5.0, **inputs: Any) -> Call:
    given = {"prompt": "a lighthouse on a cliff at dawn", "width": 256, "height": 256, **inputs}
    return Call(operation, "main", given, deadline_s, "test-1")


def make_png(width: int = 64, height: int = 64, colour: Any = "white", mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height), colour).save(out, "PNG")
    return out.getvalue()


def follow(provider: Provider, call: Call, first: Made | Pending) -> Made:
    """Poll until it is made, at most 10 s, and make the next call of a chain when that is due."""
    end = time.monotonic() + 10
    state: Made | Pending | Ready = first
    while not isinstance(state, Made):
        assert time.monotonic() < end, "never made"
        if isinstance(state, Ready):
            state = provider.run(replace(call, resumes=state.remote_id))
        else:
            state = provider.poll(state.remote_id, call)
    return state


def make(provider: Provider, call: Call) -> Made:
    """Run and follow; the file is closed again, for tests that look at the rest."""
    made = follow(provider, call, provider.run(call))
    close(made)
    return made


def make_picture(provider: Provider, call: Call) -> Image.Image:
    return opened(follow(provider, call, provider.run(call)))


def opened(made: Made | Pending) -> Image.Image:
    assert isinstance(made, Made)
    with made.files[0].body as body:
        image = Image.open(body)
        image.load()
        return image


def close(made: Made) -> None:
    for file in made.files:
        file.body.close()
