"""Pose generations without the door's own planning, and a client that speaks the words of its sockets."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from config.models import User
from generation import engine
from generation.models import Item, Request
from generation.plan import Candidate, ItemPlan, Plan, RetryPolicy, StepPlan
from tests.live.support import Client, do, take, token_of

PATH = "/ws/pose-generator"
ENDS = ("completed", "failed")


def generate(owner: User, poses: int = 1, *, group: str = "") -> Request:
    """Submit a generation of so many poses, each a picture that a provider makes at one call."""
    return _submit(owner, [{"variationKey": f"text-v{n}"} for n in range(poses)], group=group or str(uuid.uuid4()))


def change_background(pose: Item) -> Request:
    params = {"poseId": pose.public_id, "generationId": str(pose.request_id), "backgroundPrompt": "a beach"}
    return _submit(User.objects.get(pk=pose.owner_id), [params], group=f"pose:{pose.public_id}", step="compose")


def _submit(owner: User, poses: list[dict[str, Any]], *, group: str, step: str = "generate") -> Request:
    made = StepPlan(
        step,
        "text-to-image",
        {"prompt": "a person", "width": 8, "height": 8},
        (Candidate("provider_d"),),
        retry=RetryPolicy(3, 0.0),
    )
    items = tuple(
        ItemPlan(
            public_id=f"pose_{secrets.token_hex(6)}",
            steps=(made,),
            prompt="a person",
            params=params,
            price=1,
            price_key="pose_generation",
        )
        for params in poses
    )
    return engine.submit(Plan(door="poses", owner_id=owner.pk, items=items, description="Poses", group=group))


def work(poses: int) -> None:
    """Make so many poses, and no more."""
    for _ in range(poses):
        engine.work(take())


class PoseClient(Client):
    async def hears_nothing(self) -> bool:
        await self.say(event="ping")
        return (await self.hear())["event"] == "pong"

    async def hear_end(self) -> list[dict[str, Any]]:
        """Hear up to and with a message that ends a generation."""
        return await self.hear_until(lambda message: message.get("type") in ENDS)


@asynccontextmanager
async def opened(user: User, **how: Any) -> AsyncIterator[PoseClient]:
    """A socket of the pose generator that has said whom it takes one for."""
    client = PoseClient(PATH, headers={"Authorization": f"Bearer {await do(token_of, user)}"}, **how)
    assert (await client.connect())[0]
    try:
        assert (await client.hear())["event"] == "connected"
        yield client
    finally:
        await client.disconnect()


def told(messages: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Type, completed, failed and total of messages."""
    return [(m["type"], m["completed"], m.get("failed"), m["total"]) for m in messages]
