"""`/ws/pose-generator`: a person's pose generations, in the messages of their contract.

All of one's own from the beginning, or one generation from a `subscribe` on. It starts with a snapshot. The same
consumer speaks to Socket.IO clients, over `socketio`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

from config.api.errors import ApiError
from generation.doors.poses.present import iso
from generation.live.consumers import Following, Readers, is_name
from generation.live.follow import Subscription
from generation.live.generations import PoseKey, current, find_generation
from generation.live.hub import Hint
from generation.live.reader import ask
from generation.live.socket import Message
from generation.models import EventKind


class PoseGenerator(Following):
    takes_query_token: ClassVar[bool] = True
    takes_first_message: ClassVar[bool] = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._only: UUID | None = None
        self._listens = False
        self._entered_by: Message | None = None

    @property
    def follows_all(self) -> bool:
        return True

    async def let_in(self) -> None:
        self._entered_by = self._first
        await super().let_in()
        await self.answer(event="connected", message="Connected to the pose generator.", userId=str(self.user_id))
        if self._first is None or self.kind_of(self._first) != "subscribe":
            await self._begin(None)

    def kind_of(self, message: Message) -> Any:
        return message.get("event", message.get("type"))

    async def heard(self, message: Message) -> None:
        kind, name = self.kind_of(message), message.get("generationId")
        if kind == "ping":
            await self.answer(event="pong", timestamp=iso(datetime.now(UTC)))
        elif kind == "auth" and isinstance(message.get("token"), str):
            if message is not self._entered_by:
                await self.renew(message["token"])
                await self.answer(event="authenticated")
        elif kind != "subscribe":
            await self.answer(**self.misunderstood("Unknown event: use auth, subscribe or ping."))
        elif name is not None and not is_name(name):
            await self.answer(**self.misunderstood("generationId must be the id that generate answered, or absent."))
        else:
            await self._subscribe(name)

    async def _subscribe(self, name: str | None) -> None:
        await self.check_again()
        only = None if name is None else await ask(find_generation, self.user_id, name)
        if name is not None and only is None:
            await self.answer(event="error", code="NOT_FOUND", message="Generation not found", generationId=name)
            if self._listens:
                return
        else:
            await self.answer(event="subscribed", generationId=name)
        await self._begin(only)

    async def _begin(self, only: UUID | None) -> None:
        """Say how all stands that is followed from now on. only: one generation; None: everything of one's own."""
        for one in list(self._subscriptions):
            self.unfollow(one)
        # Heard from here on: what happens while the list is read is in it, or is hinted.
        self._only, self._listens = only, True
        if only is not None:
            self._follow_request(only, None, is_asked=True)
        for request_id in await ask(current, self.user_id):
            if request_id not in self._of_request:
                self._follow_request(request_id, None)

    def _follow_request(self, request_id: UUID, after: int | None, *, is_asked: bool = False) -> None:
        only, base_url = self._only, self.base_url

        def want(after: int | None) -> Any:
            return Readers.here().poses.want(PoseKey(request_id, after, base_url, only, is_asked))

        self.follow(str(request_id), Subscription(self, request_id, None, want, after=after))

    def hear(self, hint: Hint) -> None:
        if not self._listens:
            return
        if hint.request_id in self._of_request:
            super().hear(hint)
        else:
            # A new request is told from its first event; of an old one that stirs again its state is enough.
            self._follow_request(hint.request_id, 0 if hint.kind == EventKind.SUBMITTED else None)

    def catch_up(self, seqs: Mapping[UUID, int]) -> bool:
        if not self._listens:
            return False
        has_missed = super().catch_up(seqs)
        unknown = seqs.keys() - self._of_request.keys()
        for request_id in unknown:
            self._follow_request(request_id, None)
        return has_missed or bool(unknown)

    # --- how this contract says what every socket says --------------------------------------------

    def misunderstood(self, text: str) -> Message:
        return {"event": "error", "code": "INVALID_MESSAGE", "message": text}

    def refused(self, refusal: ApiError) -> None:
        self.push(json.dumps({"event": "error", "code": "TOKEN_INVALID", "message": refusal.message}))
