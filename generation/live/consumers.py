"""The sockets: what a client may say on each, and what it hears. Documents are `documents`' and the doors' words.

/ws/visual-generation   one door's own words (its contract, section 11)
/ws/live                an owner's requests of all doors (docs/live.md)
/ws/console             the desk's totals, for staff (docs/live.md)
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, TypeGuard
from uuid import UUID
from weakref import WeakKeyDictionary

from generation.live.documents import (
    ItemKey,
    RequestKey,
    Update,
    find_item,
    find_request,
    newest,
    read_items,
    read_requests,
)
from generation.live.follow import Subscription
from generation.live.generations import PoseKey, read_poses
from generation.live.hub import Hint, Hub
from generation.live.reader import Reader, ask
from generation.live.socket import Message, Socket, invalid
from generation.live.ticker import Ticker

MOST_SUBSCRIPTIONS = 200
# Of all of one's own: how many a socket shows at first, and how many it keeps following.
NEWEST_SHOWN = 50
MOST_FOLLOWED = 1000
LONGEST_NAME = 64


class Readers:
    """The shared reads of one event loop."""

    _of_loop: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Readers]] = WeakKeyDictionary()

    def __init__(self) -> None:
        self.items: Reader[ItemKey, Update] = Reader(read_items)
        self.requests: Reader[RequestKey, Update] = Reader(read_requests)
        self.poses: Reader[PoseKey, Update] = Reader(read_poses)

    @classmethod
    def here(cls) -> Readers:
        return cls._of_loop.setdefault(asyncio.get_running_loop(), cls())


class Following(Socket):
    """A socket that follows documents by name. A name is what the client calls its subscription."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._subscriptions: dict[str, Subscription] = {}
        self._of_request: dict[UUID, list[Subscription]] = {}
        self._is_joined = False

    @property
    def user_id(self) -> UUID:
        return self.person.user_id

    @property
    def follows_all(self) -> bool:
        return False

    async def let_in(self) -> None:
        # Before any snapshot is read: what changes after it is hinted then.
        self._is_joined = True
        await Hub.here().join(self)

    async def left(self) -> None:
        for subscription in self._subscriptions.values():
            subscription.stop()
        if self._is_joined:
            await Hub.here().leave(self)

    def followed(self) -> Iterable[UUID]:
        return {one.request_id for one in self._subscriptions.values() if not one.is_final}

    def hear(self, hint: Hint) -> None:
        for subscription in self._of_request.get(hint.request_id, ()):
            subscription.hear(hint)

    def catch_up(self, seqs: Mapping[UUID, int]) -> bool:
        followed = [(one, seq) for request_id, seq in seqs.items() for one in self._of_request.get(request_id, ())]
        missed = [subscription.catch_up(seq) for subscription, seq in followed]  # each is told, not only the first
        return any(missed)

    def follow(self, name: str, subscription: Subscription) -> None:
        """Begin a subscription; an older one of that name gives way to it, and the one best spared to too many."""
        self.unfollow(name)
        self._subscriptions[name] = subscription
        self._of_request.setdefault(subscription.request_id, []).append(subscription)
        subscription.begin()
        if len(self._subscriptions) > MOST_FOLLOWED:
            self.unfollow(next(self._idle()))

    def _idle(self) -> Iterator[str]:
        """Names of subscriptions that can best be spared: ended ones first, then the oldest."""
        yield from (name for name, one in self._subscriptions.items() if one.is_final)
        yield from self._subscriptions

    def unfollow(self, name: str) -> None:
        if subscription := self._subscriptions.pop(name, None):
            subscription.stop()
            others = self._of_request[subscription.request_id]
            others.remove(subscription)
            if not others:
                del self._of_request[subscription.request_id]


class VisualGeneration(Following):
    """`/ws/visual-generation`: follow single requests of the door by their requestId."""

    takes_query_token: ClassVar[bool] = True
    door: ClassVar[str] = "visuals"

    async def heard(self, message: Message) -> None:
        kind, name = message["type"], message.get("requestId")
        if kind == "ping":
            await self.answer(type="pong")
        elif kind not in ("subscribe", "unsubscribe"):
            await self.answer(**invalid("Unknown type: use subscribe, unsubscribe or ping."))
        elif not isinstance(name, str) or not name:
            await self.answer(**invalid("requestId must be the id that submit answered."))
        elif kind == "subscribe":
            await self._subscribe(name)
        else:
            self.unfollow(name)
            await self.answer(type="unsubscribed", requestId=name)

    async def _subscribe(self, name: str) -> None:
        await self.check_again()
        if name not in self._subscriptions and len(self._subscriptions) >= MOST_SUBSCRIPTIONS:
            await self.answer(
                type="error",
                requestId=name,
                code="TOO_MANY_SUBSCRIPTIONS",
                error=f"A connection follows at most {MOST_SUBSCRIPTIONS} requests.",
            )
            return
        found = await ask(find_item, self.user_id, self.door, name) if is_name(name) else None
        if found is None:
            await self.answer(type="error", requestId=name, code="NOT_FOUND", error="Request not found")
            return
        item_id, request_id = found
        self.follow(
            name,
            Subscription(
                self,
                request_id,
                item_id,
                lambda after: Readers.here().items.want(ItemKey(item_id, after, self.base_url)),
            ),
        )


class Live(Following):
    """`/ws/live`: follow one request, several, or all of one's own."""

    takes_session: ClassVar[bool] = True
    takes_first_message: ClassVar[bool] = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._follows_all = False

    @property
    def follows_all(self) -> bool:
        return self._follows_all

    async def heard(self, message: Message) -> None:
        kind, name = message["type"], message.get("request")
        if kind == "ping":
            await self.answer(type="pong")
        elif kind == "auth" and isinstance(message.get("token"), str):
            await self.renew(message["token"])
            await self.answer(type="authenticated")
        elif kind not in ("subscribe", "unsubscribe"):
            await self.answer(**invalid("Unknown type: use auth, subscribe, unsubscribe or ping."))
        elif name is not None and not is_name(name):
            await self.answer(**invalid("request must be a request's id, or absent for all of your own."))
        elif kind == "unsubscribe":
            await self._unsubscribe(name)
        elif not _is_seq(message.get("last_seq")):
            await self.answer(**invalid("last_seq must be the highest seq that you have seen, or absent."))
        elif name is None:
            await self._subscribe_to_all()
        else:
            await self._subscribe(name, message.get("last_seq"))

    async def _subscribe(self, name: str, last_seq: int | None) -> None:
        await self.check_again()
        if name not in self._subscriptions and len(self._subscriptions) >= MOST_SUBSCRIPTIONS and not self._follows_all:
            await self.answer(
                type="error",
                request=name,
                code="TOO_MANY_SUBSCRIPTIONS",
                error=f"A connection follows at most {MOST_SUBSCRIPTIONS} requests by name.",
            )
            return
        request_id = await ask(find_request, self.user_id, name)
        if request_id is None:
            await self.answer(type="error", request=name, code="NOT_FOUND", error="Request not found")
            return
        await self.answer(type="subscribed", request=name)
        # By the request's own id, so that its names, and all of one's own, are one subscription.
        self._follow_request(request_id, last_seq)

    async def _subscribe_to_all(self) -> None:
        await self.check_again()
        self._follows_all = True
        await self.answer(type="subscribed", request=None)
        for request_id in await ask(newest, self.user_id, NEWEST_SHOWN):
            self._follow_request(request_id, None)

    async def _unsubscribe(self, name: str | None) -> None:
        if name is None:
            self._follows_all = False
            for one in list(self._subscriptions):
                self.unfollow(one)
        elif request_id := await ask(find_request, self.user_id, name):
            self.unfollow(str(request_id))
        await self.answer(type="unsubscribed", request=name)

    def _follow_request(self, request_id: UUID, after: int | None) -> None:
        self.follow(
            str(request_id),
            Subscription(
                self,
                request_id,
                None,
                lambda after: Readers.here().requests.want(RequestKey(request_id, after, self.base_url)),
                after=after,
            ),
        )

    def hear(self, hint: Hint) -> None:
        if self._follows_all and hint.request_id not in self._of_request:
            # A new request is told from its first event; of an old one that stirs again its state is enough.
            self._follow_request(hint.request_id, 0 if hint.kind == "submitted" else None)
        else:
            super().hear(hint)

    def catch_up(self, seqs: Mapping[UUID, int]) -> bool:
        has_missed = super().catch_up(seqs)
        unknown = seqs.keys() - self._of_request.keys() if self._follows_all else set()
        for request_id in unknown:
            self._follow_request(request_id, None)
        return has_missed or bool(unknown)


class Console(Socket):
    """`/ws/console`: numbered ticks with the desk's totals."""

    takes_token: ClassVar[bool] = False
    takes_session: ClassVar[bool] = True
    staff_only: ClassVar[bool] = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._is_full = False

    async def let_in(self) -> None:
        Ticker.here().watch(self)

    async def left(self) -> None:
        await Ticker.here().unwatch(self)

    async def heard(self, message: Message) -> None:
        if message["type"] == "ping":
            await self.answer(type="pong")
        else:
            await self.answer(**invalid("Unknown type: the console only listens; use ping."))

    def show(self, tick: str) -> None:
        """Show a tick, unless the last one is still on its way: the slow miss some, and see it in the number."""
        if not self._is_full:
            self._is_full = True
            self.push(tick, self._emptied)

    def _emptied(self) -> None:
        self._is_full = False


def _is_seq(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63)


def is_name(name: Any) -> TypeGuard[str]:
    """Could this name a request? Ids of ours are plain; the database refuses some of what is not."""
    return isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and name.isascii() and name.isprintable()
