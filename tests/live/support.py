"""A client at the other end of a socket, and work that is done when a test says so."""

from __future__ import annotations

import asyncio
import io
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from asgiref.testing import ApplicationCommunicator
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from PIL import Image
from rest_framework_simplejwt.tokens import AccessToken

from config.asgi import application
from config.models import User
from generation import engine
from generation.claim import Claim, claim
from generation.live.reader import ask
from generation.models import Item, Request
from generation.plan import Candidate, ItemPlan, Plan, RetryPolicy, StepPlan
from providers.base import Call, Made, MadeFile, Pending

T = TypeVar("T")
ORIGIN = "http://testserver"
do = ask  # what asks the database runs in a thread, as everywhere in a socket process


class Maker:
    """Plays a provider: makes a picture, or raises what `acts` holds next."""

    name = "maker"
    can_cancel = False

    def __init__(self) -> None:
        self.acts: list[Exception | Pending] = []

    def run(self, call: Call) -> Made | Pending:
        return self._act(call)

    def poll(self, remote_id: str, call: Call) -> Made | Pending:
        return self._act(call)

    def _act(self, call: Call) -> Made | Pending:
        act = self.acts.pop(0) if self.acts else None
        if isinstance(act, Exception):
            raise act
        if act is not None:
            return act
        body = io.BytesIO()
        Image.new("RGB", (8, 8), "teal").save(body, "PNG")
        file = MadeFile(body, "image/png", body.tell(), "")
        return Made((file,), cost_usd=0, seed=1, model=call.model)  # type: ignore[arg-type]


def submit(owner: User, items: int = 1, *, door: str = "visuals") -> Request:
    step = StepPlan(
        "generate",
        "text-to-image",
        {"prompt": "a lighthouse", "width": 8, "height": 8},
        (Candidate("provider_d"),),
        retry=RetryPolicy(3, 0.0),
    )
    plans = tuple(
        ItemPlan(
            public_id=f"vga_{secrets.token_hex(6)}",
            steps=(step,),
            prompt="a lighthouse",
            params={"type": "cover", "projectId": None, "pageId": None, "metadata": {}},
            price=1,
            price_key="visual_cover",
        )
        for _ in range(items)
    )
    batch = f"batch_{secrets.token_hex(6)}" if items > 1 else None
    return engine.submit(
        Plan(door=door, owner_id=owner.pk, items=plans, description="Pictures", public_id=batch, group="task-1")
    )


def submit_one(owner: User, **wishes: Any) -> Item:
    return submit(owner, **wishes).items.select_related("request").get()


def take() -> Claim:
    return claim(1)[0]


def work_all() -> None:
    """Work until nothing is left; retries are due at once."""
    for _ in range(500):
        if taken := claim(1):
            engine.work(taken[0])
        elif not engine.poll() and not engine.release_due():
            return
    raise AssertionError("the work does not end")


def token_of(user: User) -> str:
    return str(AccessToken.for_user(user))


def session_of(user: User) -> str:
    """Log somebody in; return the session's key."""
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "config.api.logins.LimitedBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)


class Client(ApplicationCommunicator):
    """Speaks JSON and waits long enough for a slow machine, never for nothing.

    Channels' own communicator comes with a server that we do not install.
    """

    def __init__(self, path: str, *, headers: dict[str, str] | None = None, subprotocols: Any = ()) -> None:
        raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        where, _, query = path.partition("?")
        self.scope = {
            "type": "websocket",
            "path": where,
            "query_string": query.encode(),
            "headers": [(b"host", b"testserver"), *raw],
            "subprotocols": list(subprotocols),
        }
        super().__init__(application, self.scope)

    async def connect(self) -> tuple[bool, Any]:
        """Open the socket: whether it was accepted, and the chosen subprotocol or the code."""
        await self.send_input({"type": "websocket.connect"})
        answer = await self.receive_output(timeout=10)
        if answer["type"] == "websocket.close":
            return False, answer.get("code", 1000)
        assert answer["type"] == "websocket.accept"
        return True, answer.get("subprotocol")

    async def disconnect(self) -> None:
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(timeout=10)

    async def send_text(self, text: str) -> None:
        await self.send_input({"type": "websocket.receive", "text": text})

    async def say(self, **message: Any) -> None:
        await self.send_text(json.dumps(message))

    async def hear(self) -> dict[str, Any]:
        output = await self.receive_output(timeout=10)
        assert output["type"] == "websocket.send", output
        return json.loads(output["text"])

    async def hear_until(self, is_it: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Hear messages up to and with the first one that it is."""
        heard = [await self.hear()]
        while not is_it(heard[-1]):
            heard.append(await self.hear())
        return heard

    async def code(self) -> int:
        """Wait for the close, and return its code."""
        while True:
            output = await self.receive_output(timeout=10)
            if output["type"] == "websocket.close":
                return int(output["code"])

    async def hears_nothing(self) -> bool:
        """Say whether nothing waits to be heard after the server answered a ping."""
        await self.say(type="ping")
        return (await self.hear()) == {"type": "pong"}


@asynccontextmanager
async def connected(path: str, user: User | None = None, **how: Any) -> AsyncIterator[Client]:
    """A socket that is open, with the user's token in the header if one is given."""
    headers = dict(how.pop("headers", {}))
    if user is not None:
        headers["Authorization"] = f"Bearer {await do(token_of, user)}"
    client = Client(path, headers=headers, **how)
    is_open, _ = await client.connect()
    assert is_open
    try:
        yield client
    finally:
        await client.disconnect()


async def soon(is_so: Callable[[], bool]) -> None:
    """Let the loop turn until something is so."""
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0)
