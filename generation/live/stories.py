"""`/ws/story-images`: follow stories by their session's name, in the door's own words.

A session may be subscribed to before it is started, and may be started again later: a subscription goes with the name.
Every step of every picture is told, in order; the closing message once for each end, after its files are stored.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import parse_qs
from uuid import UUID
from weakref import WeakKeyDictionary

from generation.doors.stories import runs
from generation.doors.stories.present import END, complete_message
from generation.doors.stories.progress import Progress, Told
from generation.doors.stories.serializers import is_session_id
from generation.live.hub import Hint, Hub
from generation.live.pace import Pace
from generation.live.reader import Reader
from generation.live.socket import Message, Socket, invalid
from generation.models import Event, EventKind, Request, StorySession

MOST_SUBSCRIPTIONS = 200
# Of what was missed only the newest is told: each message says how far all is.
MOST_AT_ONCE = 100
MOST_REMEMBERED = 10_000


# --- What is read --------------------------------------------------------------------------------


@dataclass(frozen=True)
class SessionKey:
    """A person's session, and how far it was told: which run, since when that is, up to which seq."""

    owner_id: UUID
    session_id: str
    is_snapshot: bool = True
    run: UUID | None = None
    since: datetime | None = None
    seq: int = 0


@dataclass(frozen=True)
class SessionNews:
    """What to say, in order, and the key to ask with next. is_over: nothing more comes of this run."""

    texts: tuple[str, ...]
    next_key: SessionKey
    is_over: bool


def read_sessions(keys: Sequence[SessionKey]) -> dict[SessionKey, SessionNews | Exception]:
    """Read what happened in sessions, in one view of the rows. One query for each, and five where there is news."""
    found: dict[SessionKey, SessionNews | Exception] = {}
    with runs.one_view():
        for key in keys:
            try:
                found[key] = _news(key)
            except Exception as bug:
                found[key] = bug
    return found


def _news(key: SessionKey) -> SessionNews:
    named = StorySession.objects.filter(session_id=key.session_id, owner=key.owner_id, request__isnull=False)
    session = named.select_related("request").first()
    if session is None or session.request is None or _is_older(session.request, key):
        return SessionNews((), _next(key), is_over=True)
    run = session.request
    is_over = session.mirrored_round == run.round
    after = key.seq if run.pk == key.run else 0
    now = SessionKey(key.owner_id, key.session_id, False, run.pk, run.created_at, run.seq)
    if run.seq <= after:
        return SessionNews((), now, is_over)
    messages = _messages(session, run, after, is_over=is_over, is_snapshot=key.is_snapshot)
    shown = messages[-1:] if key.is_snapshot else [*_end_of_earlier(session, key), *messages[-MOST_AT_ONCE:]]
    return SessionNews(tuple(json.dumps(message) for message in shown), now, is_over)


def _end_of_earlier(session: StorySession, key: SessionKey) -> list[dict[str, Any]]:
    """What was not told yet of a run that has ended, when the next one began before anybody looked.

    Nothing of one that was taken back: it never ended, it never was.
    """
    if key.run is None or key.run == session.request_id:
        return []
    earlier = copy(session)
    earlier.request = Request.objects.get(pk=key.run)
    messages = _messages(earlier, earlier.request, key.seq, is_over=True, is_snapshot=False)
    return messages[-MOST_AT_ONCE:] if messages and messages[-1]["type"] == END else []


def _is_older(run: Request, key: SessionKey) -> bool:
    """A run that could not begin was taken back, and its session belongs to the one before again."""
    return key.since is not None and run.created_at < key.since


def _next(key: SessionKey) -> SessionKey:
    return SessionKey(key.owner_id, key.session_id, False, key.run, key.since, key.seq)


def _messages(
    session: StorySession, run: Request, after: int, *, is_over: bool, is_snapshot: bool
) -> list[dict[str, Any]]:
    """What happened after a seq, and the end. A newcomer is told of an end whose events were pruned long ago too."""
    events = Event.objects.filter(request=run).order_by("seq").values_list("seq", "kind", "item_id", "data")
    told = [Told(*event) for event in events]
    places = {pk: (params["segment"], params["image"]) for pk, params in run.items.values_list("pk", "params")}
    messages = [message for seq, message in Progress(session.session_id, places).messages(told) if seq > after]
    if is_over and (is_snapshot or any(event.kind == EventKind.MIRRORED and event.seq > after for event in told)):
        messages.append(complete_message(runs.of(session)))
    return messages


class _Readers:
    """The shared reads of one event loop."""

    _of_loop: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Reader[SessionKey, SessionNews]]] = (
        WeakKeyDictionary()
    )

    @classmethod
    def here(cls) -> Reader[SessionKey, SessionNews]:
        return cls._of_loop.setdefault(asyncio.get_running_loop(), Reader(read_sessions))


# --- The socket ----------------------------------------------------------------------------------


class Followed:
    """A session that a socket follows: read at its pace, told in order."""

    def __init__(self, socket: StoryImages, session_id: str) -> None:
        self.is_over = True
        self._socket = socket
        self._key = SessionKey(socket.user_id, session_id)
        self._is_stopped = False
        self._pace = Pace(self._read, asyncio.get_running_loop())

    @property
    def run(self) -> UUID | None:
        return self._key.run

    def begin(self) -> None:
        """Say how far it is, if it was started."""
        self._pace.begin()

    def hear(self, hint: Hint) -> None:
        if hint.request_id == self.run and hint.seq > self._key.seq:
            self._pace.hint(urgent=hint.ends_request or hint.kind == EventKind.MIRRORED)

    def catch_up(self, seq: int) -> bool:
        """So far is its run by the row; True when no hint had told it."""
        if seq <= self._key.seq:
            return False
        self._pace.hint()
        return True

    def look_for_run(self) -> None:
        """Its person has a request that is not known here: it may be this session's."""
        if self.is_over:
            self._pace.hint()

    def stop(self) -> None:
        self._is_stopped = True
        self._pace.stop()

    def _read(self) -> None:
        _Readers.here().want(self._key).add_done_callback(self._found)

    def _found(self, found: asyncio.Future[SessionNews]) -> None:
        error = None if found.cancelled() else found.exception()
        if self._is_stopped or found.cancelled():
            return
        if error is not None:
            self._socket.failed(error)
            return
        news = found.result()
        self._key, self.is_over = news.next_key, news.is_over
        for text in news.texts[:-1]:
            self._socket.push(text)
        if news.texts:
            self._socket.push(news.texts[-1], self._pace.done)
        else:
            self._pace.done()


class StoryImages(Socket):
    """Also behind `/ws?session_id=…` and `/ws/{session_id}`, which the source system had."""

    takes_query_token: ClassVar[bool] = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._sessions: dict[str, Followed] = {}
        self._known: set[UUID] = set()
        self._is_joined = False

    @property
    def user_id(self) -> UUID:
        return self.person.user_id

    @property
    def follows_all(self) -> bool:
        return any(one.is_over for one in self._sessions.values())

    async def let_in(self) -> None:
        # Before any snapshot is read: what changes after it is hinted then.
        self._is_joined = True
        await Hub.here().join(self)
        for session_id in self._named_in_the_address():
            await self._heard_of(session_id)

    def _named_in_the_address(self) -> list[str]:
        in_path = self.scope.get("url_route", {}).get("kwargs", {}).get("session_id")
        in_query = parse_qs(self.scope.get("query_string", b"").decode("latin-1")).get("session_id", [])
        return [in_path] if in_path else in_query[:1]

    async def left(self) -> None:
        for one in self._sessions.values():
            one.stop()
        if self._is_joined:
            await Hub.here().leave(self)

    async def heard(self, message: Message) -> None:
        kind, name = message["type"], message.get("session_id")
        if kind == "ping":
            await self.answer(type="pong")
        elif kind == "subscribe":
            await self._heard_of(name)
        elif kind == "unsubscribe" and isinstance(name, str):
            self._unfollow(name)
            await self.answer(type="unsubscribed", session_id=name)
        else:
            await self.answer(**invalid("Unknown message: use subscribe or unsubscribe with a session_id, or ping."))

    async def _heard_of(self, name: Any) -> None:
        if not isinstance(name, str) or not is_session_id(name):
            await self.answer(**invalid("session_id must be 1 to 128 of A-Z a-z 0-9 . _ -"))
            return
        await self.check_again()
        if name not in self._sessions and len(self._sessions) >= MOST_SUBSCRIPTIONS:
            text = f"A connection follows at most {MOST_SUBSCRIPTIONS} sessions."
            await self.answer(type="error", session_id=name, code="TOO_MANY_SUBSCRIPTIONS", error=text)
            return
        await self.answer(type="subscribed", session_id=name)
        self._unfollow(name)
        self._sessions[name] = Followed(self, name)
        self._sessions[name].begin()

    def _unfollow(self, name: str) -> None:
        if one := self._sessions.pop(name, None):
            one.stop()

    # --- what the hub knows of a socket -----------------------------------------------------------

    def followed(self) -> Iterable[UUID]:
        return {one.run for one in self._sessions.values() if one.run and not one.is_over}

    def hear(self, hint: Hint) -> None:
        for one in self._sessions.values():
            one.hear(hint)
        self._meet({hint.request_id})

    def catch_up(self, seqs: Mapping[UUID, int]) -> bool:
        followed = [(one, seqs[one.run]) for one in self._sessions.values() if one.run and one.run in seqs]
        missed = [one.catch_up(seq) for one, seq in followed]  # each is told, not only the first
        self._meet(seqs.keys())
        return any(missed)

    def _meet(self, requests: Iterable[UUID]) -> None:
        """Look what requests that were never heard of before are about."""
        unknown = set(requests) - self._known - {one.run for one in self._sessions.values()}
        if not unknown:
            return
        if len(self._known) > MOST_REMEMBERED:
            self._known.clear()
        self._known |= unknown
        for one in self._sessions.values():
            one.look_for_run()
