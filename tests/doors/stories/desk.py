"""The story-images door as its clients meet it, a desk that works when it is told to, and one picture's own script.

`Author` calls the API over Django's own handlers with a real token and checks every answer it sees: exactly the
documented fields, no vendor's name. `work()` plays the worker in this thread until nothing is left to do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from credits import ledger
from generation import audit, chores, engine, storage
from generation.claim import Only, claim
from generation.doors.stories import answers
from generation.engine.closing import MIRROR_PAUSE_S
from generation.models import Attempt, Chore, Item, ItemStatus, Request, StorySession
from providers.models import Lane
from tests.doors.visuals.desk import Caller, assert_documented, assert_no_vendor, assert_problem

SESSION = "session456"
DOCUMENTS = {"POST": answers.StoryAccepted, "GET": answers.StoryStatus, "PUT": answers.StoryFile}


def story(segments: int = 2, title: str = "Tides") -> str:
    """A segments.md of so many segments, each with words of its own to be found by."""
    return f"Template: {title}\n\n" + "\n".join(
        f"**Segment {n}: Part {n} ({8 * n - 8}-{8 * n} seconds)**\n- Narration text:\n  ```\n  The sea at hour {n}.\n"
        f"  ```\n- Visual guidance: A beach at hour {n}\n"
        for n in range(1, segments + 1)
    )


class Author(Caller):
    """Somebody who has stories drawn. Each call returns Django's response; every 200 is held against OpenAPI."""

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = self.ask(method, f"/api/{path}", body, **headers)
        assert_no_vendor(answer.content.decode())
        if answer.status_code == 200:
            assert_documented(answer.json(), DOCUMENTS[method]())
        else:
            assert_problem(answer)
        return answer

    def put(self, name: str, data: Any, session: str = SESSION) -> Any:
        raw = data if isinstance(data, str | bytes) else json.dumps(data)
        return self.call("PUT", f"story-sessions/{session}/files/{name}", raw, content_type="application/octet-stream")

    def path(self, session: str = SESSION, name: str = "segments.md") -> str:
        return f"users/{self.user.storage_id}/{session}/images/{name}"

    def start(self, session: str = SESSION, *, key: str = "", path: str = "", **options: Any) -> Any:
        body = {"session_id": session, "s3_path": path or self.path(session), "options": options}
        headers = {"Idempotency-Key": key} if key else {}
        return self.call("POST", "process-story-segments", body, **headers)

    def started(self, text: str, session: str = SESSION, **options: Any) -> Request:
        """Upload a story and start it."""
        assert self.put("segments.md", text, session).status_code == 200
        answer = self.start(session, **options)
        assert answer.status_code == 200, answer.json()
        return run_of(session)

    def status(self, session: str = SESSION) -> dict[str, Any]:
        answer = self.call("GET", f"story-sessions/{session}")
        assert answer.status_code == 200, answer.json()
        document: dict[str, Any] = answer.json()
        return document

    def file(self, name: str = "status.json", session: str = SESSION) -> dict[str, Any]:
        """A stored JSON file of a session."""
        found: dict[str, Any] = json.loads(storage.read(self.path(session, name)))
        return found


def run_of(session: str = SESSION) -> Request:
    request = StorySession.objects.select_related("request").get(session_id=session).request
    assert request is not None
    return request


def image(segment: int, number: int, session: str = SESSION) -> Item:
    return Item.objects.get(request=run_of(session), params__segment=segment, params__image=number)


def faults_of(answer: Any) -> list[tuple[str, str]]:
    """(field, code) of a 400."""
    assert answer.status_code == 400, answer.json()
    return [(fault["field"], fault["code"]) for fault in answer.json()["errors"]]


def work(item: Item | None = None, most: int = 2000) -> None:
    """Play the worker until nothing is left to do, or nothing of one picture. Time passes as it is needed.

    Needs real transactions: a step gives its connection back.
    """
    only = Only(item=item.pk) if item else None
    for _ in range(most):
        if taken := claim(1, only=only):
            engine.work(taken[0])
            continue
        if item is None and chores.do_next():
            continue
        waiting = Item.objects.filter(
            status__in=[ItemStatus.HELD, ItemStatus.WAITING], **({"pk": item.pk} if item else {})
        )
        if not waiting.exclude(hold_reason="bundle").exists():
            return
        let_time_pass(item)
    pytest.fail("the work does not end")


def let_time_pass(item: Item | None = None) -> None:
    """Let retries, questions to the vendor and cool-downs fall due, of everything or of one picture."""
    mine: Mapping[str, Any] = {"pk": item.pk} if item else {}
    Item.objects.filter(status=ItemStatus.HELD, hold_reason="retry", **mine).update(run_after="2000-01-01T00:00:00Z")
    engine.release_due()
    of_mine = {"item": item} if item else {}
    Attempt.objects.filter(poll_at__isnull=False, **of_mine).update(poll_at="2000-01-01T00:00:00Z")
    engine.poll()
    Lane.objects.update(cooldown_until=None, probe_at=None)


def do_chores() -> None:
    """Do what is due, and what only waits for more to tell."""
    Chore.objects.filter(done_at=None, run_after__lte=timezone.now() + timedelta(seconds=MIRROR_PAUSE_S)).update(
        run_after="2000-01-01T00:00:00Z"
    )
    while chores.do_next():
        pass


def pending_mirrors() -> int:
    return Chore.objects.filter(kind="mirror", done_at__isnull=True).count()


def assert_books_are_right() -> None:
    """The ledger's chain is whole, and what items say of money is what was posted."""
    assert ledger.check() == []
    assert audit.check() == []
