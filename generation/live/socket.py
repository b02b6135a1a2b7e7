"""One socket: its handshake, its person, its messages in and out, its end. What they mean is said in `consumers`.

A socket has two tasks. `life` lets the person in and answers their messages one after the other; `write`
sends what waits in the outbox. The outbox is bounded, and so is the time that one message may take to leave:
a reader who is slower is closed, because memory must not depend on strangers' networks.

    1011 a bug of ours      1013 come back later      4401 who are you      4403 not from there, or not you
    4408 too slow           4429 too many refusals
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from django.utils import timezone

from config.api import trace
from config.api.errors import OUT_OF_REACH, ApiError, is_guess, read
from generation.live import auth
from generation.live.reader import ask

log = logging.getLogger(__name__)

BUG, LATER, WHO, NOT_YOU, SLOW, REFUSED = 1011, 1013, 4401, 4403, 4408, 4429

MOST_WAITING = 256
MOST_WAITING_CHARS = 2 * 1024 * 1024
ANSWERS_WAITING = 16
LONGEST_MESSAGE = 16 * 1024

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Then = Callable[[], None]


class Socket:
    """Base of all consumers. A subclass overrides `let_in`, `heard` and `left`; seldom the rest of its chapter."""

    takes_query_token: ClassVar[bool] = False
    takes_token: ClassVar[bool] = True
    takes_first_message: ClassVar[bool] = False
    takes_session: ClassVar[bool] = False
    staff_only: ClassVar[bool] = False
    # How long a message may take to leave, and how long we wait for a first one that brings a token.
    send_s: ClassVar[float] = 10.0
    first_message_s: ClassVar[float] = 10.0

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        self.base_url = auth.base_url(scope)
        self.person: auth.Person
        self._credential: auth.Credential
        self._outbox: deque[tuple[str, Then | None]] = deque()
        self._outbox_chars = 0
        self._something = asyncio.Event()
        self._room = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._check_timer: asyncio.TimerHandle | None = None
        self._checks: set[asyncio.Task[None]] = set()
        self._first: Message | None = None

    @classmethod
    async def app(cls, scope: Message, receive: Receive, send: Send) -> None:
        """The ASGI application of this kind of socket."""
        with trace.tracing():
            await cls(scope, receive, send).run()

    # --- what a subclass says ---------------------------------------------------------------------

    async def let_in(self) -> None:
        """The person is known: join what there is to join."""

    async def heard(self, message: Message) -> None:
        """Answer one JSON object of the client's."""

    async def left(self) -> None:
        """The socket is over: leave what was joined."""

    def kind_of(self, message: Message) -> Any:
        """What the client calls its message."""
        return message.get("type")

    def misunderstood(self, text: str) -> Message:
        """Spell the answer to a message that means nothing."""
        return invalid(text)

    def refused(self, refusal: ApiError) -> None:
        """Say something before the socket is closed because of its person's credential."""

    # --- what a subclass may use ------------------------------------------------------------------

    def push(self, text: str, then: Then | None = None) -> None:
        """Send a message as soon as the client takes it; `then` is called when it is out. Closes a slow reader."""
        if self._closing:
            return
        if len(self._outbox) >= MOST_WAITING or self._outbox_chars + len(text) > MOST_WAITING_CHARS:
            self.close(SLOW, "too slow")
            return
        self._outbox.append((text, then))
        self._outbox_chars += len(text)
        self._something.set()

    async def answer(self, **message: Any) -> None:
        """Send an answer to the client's own message, and wait while too many answers wait already."""
        self.push(json.dumps(message))
        while len(self._outbox) > ANSWERS_WAITING and not self._closing:
            self._room.clear()
            await self._room.wait()

    def close(self, code: int, reason: str = "") -> None:
        """End the socket after what waits in the outbox; a slow reader's outbox is dropped."""
        if self._closing is None:
            self._closing = code, reason
            if code == SLOW:
                self._outbox.clear()
            self._something.set()
            self._room.set()

    def failed(self, error: BaseException) -> None:
        """End the socket because something could not be read; the client comes back for a snapshot."""
        if isinstance(error, OUT_OF_REACH):
            self.close(LATER, "try again later")
        else:
            log.error("a bug in a socket", exc_info=error)
            self.close(BUG, "internal error")

    async def check_again(self) -> None:
        """Check the credential anew. Raises ApiError."""
        await self._check(self._credential)

    async def renew(self, raw: str) -> None:
        """Go on with a fresh token of the same person. Raises ApiError."""
        token = auth.Token(raw)
        await self._check(token)
        self._credential = token

    # --- its life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        if (await self._receive())["type"] != "websocket.connect":
            return
        if not auth.is_known_host(self.scope):
            await self._send({"type": "websocket.close", "code": NOT_YOU})
            return
        chosen = auth.SUBPROTOCOL if auth.SUBPROTOCOL in self.scope.get("subprotocols", ())[:1] else None
        await self._send({"type": "websocket.accept", "subprotocol": chosen})
        life = asyncio.create_task(self._life())
        write = asyncio.create_task(self._write())
        try:
            await asyncio.wait({life, write}, return_when=asyncio.FIRST_COMPLETED)
            if self._closing:
                await asyncio.wait({write}, timeout=self.send_s + 1)
        finally:
            if self._check_timer is not None:
                self._check_timer.cancel()
            for task in (life, write, *self._checks):
                task.cancel()
            await asyncio.gather(life, write, *self._checks, return_exceptions=True)
            await self.left()

    async def _life(self) -> None:
        """Let the person in, then answer message after message until one side ends it."""
        try:
            if not await self._authenticate():
                return
            await self.let_in()
            while not self._closing:
                message = self._first or await self._message()
                self._first = None
                if message is None:
                    return
                if isinstance(self.kind_of(message), str):
                    await self.heard(message)
                else:
                    await self.answer(**self.misunderstood("A message is a JSON object with a type."))
        except ApiError as refusal:
            await self._refuse(refusal)
        except Exception as error:
            self.failed(error)

    async def _authenticate(self) -> bool:
        page = auth.origin(self.scope)
        if page and not auth.is_known_origin(self.scope):
            self.close(NOT_YOU, "origin not allowed")
            return False
        credential: auth.Credential | None = None
        if self.takes_token:
            credential = auth.offered_token(self.scope, by_query=self.takes_query_token)
        if credential is None and self.takes_session and (credential := auth.offered_session(self.scope)) and not page:
            self.close(NOT_YOU, "origin not allowed")  # a cookie alone proves nothing about who sends it
            return False
        if credential is None and self.takes_first_message:
            credential = await self._first_message()
        if credential is None:
            raise ApiError(401, "NOT_AUTHENTICATED", "Access denied")
        await self._check(credential)
        self._credential = credential
        if self.staff_only and not self.person.is_staff:
            self.close(NOT_YOU, "staff only")
            return False
        return True

    async def _first_message(self) -> auth.Credential | None:
        """Wait for the message that brings a token, `auth` or a subscribe; it is answered once the token is good."""
        try:
            async with asyncio.timeout(self.first_message_s):
                self._first = await self._message()
        except TimeoutError:
            return None
        raw = self._first.get("token") if self._first else None
        return auth.Token(raw) if isinstance(raw, str) and raw else None

    async def _check(self, credential: auth.Credential) -> None:
        person = await ask(credential.check)
        if hasattr(self, "person") and person.user_id != self.person.user_id:
            raise ApiError(401, "TOKEN_INVALID", "Invalid token")
        self.person = person
        trace.bind(user=person.user_id)
        if self._check_timer is not None:
            self._check_timer.cancel()
        wait_s = max(0.05, (person.check_at - timezone.now()).total_seconds())
        self._check_timer = asyncio.get_running_loop().call_later(wait_s, self._check_is_due)

    def _check_is_due(self) -> None:
        task = asyncio.create_task(self._recheck())
        self._checks.add(task)
        task.add_done_callback(self._checks.discard)

    async def _recheck(self) -> None:
        try:
            await self.check_again()
            if self.staff_only and not self.person.is_staff:
                self.close(NOT_YOU, "staff only")
        except ApiError as refusal:
            await self._refuse(refusal, counts=False)
        except Exception as error:
            self.failed(error)

    async def _refuse(self, refusal: ApiError, *, counts: bool = True) -> None:
        if refusal.status_code != 401:
            self.close(LATER, "try again later")
            return
        self.refused(refusal)
        if counts and is_guess(read(refusal)) and await ask(auth.count_refusal, self.scope):
            self.close(REFUSED, "too many refusals")
        else:
            self.close(WHO, refusal.code)

    async def _message(self) -> Message | None:
        """Return the client's next JSON object, `{}` for anything else, None when it has left."""
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            return None
        text = event.get("text") or event.get("bytes") or ""  # many JSON libraries write bytes
        if len(text) > LONGEST_MESSAGE:
            return {}
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            return {}
        return message if isinstance(message, dict) else {}

    async def _write(self) -> None:
        """Send what waits, one message after the other; then the close, if there is to be one."""
        while True:
            while self._outbox:
                text, then = self._outbox.popleft()
                self._outbox_chars -= len(text)
                if not await self._goes_out({"type": "websocket.send", "text": text}, self.send_s):
                    self.close(SLOW, "too slow")
                    break
                self._room.set()
                if then is not None:
                    then()
            if self._closing:
                code, reason = self._closing
                # A stalled client cannot be told; the server drops it when this task ends.
                await self._goes_out({"type": "websocket.close", "code": code, "reason": reason}, min(1.0, self.send_s))
                return
            self._something.clear()
            await self._something.wait()

    async def _goes_out(self, message: Message, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                await self._send(message)
        except TimeoutError:
            return False
        except OSError:
            return True  # the client has gone; `receive` says so
        return True


def invalid(text: str) -> Message:
    return {"type": "error", "code": "INVALID_MESSAGE", "error": text}
