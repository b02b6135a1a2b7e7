"""The visual-generation door as its clients meet it, and a desk that works when it is told to.

`Customer` calls the API over Django's own handlers with a real token and checks every answer it sees:
exactly the documented fields, no vendor's name. `work()` plays the worker in this thread: claims, polls and
due retries until nothing is left to do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from rest_framework_simplejwt.tokens import AccessToken

from config.models import User
from credits import ledger
from generation import audit, engine
from generation.claim import claim
from generation.doors.visuals import answers
from generation.models import Attempt, Item
from providers import registry

API = "/api/visual-generation"
DRAGON = {"type": "coloring-page", "prompt": "A friendly dragon playing in a garden"}

# Which document each route answers with.
DOCUMENTS = {
    ("POST", "submit"): answers.Submitted,
    ("POST", "batch"): answers.BatchSubmitted,
    ("GET", "status"): answers.Status,
    ("GET", "batch"): answers.BatchStatus,
    ("DELETE", "cancel"): answers.Cancelled,
    ("GET", "queue"): answers.QueueStatus,
}


@cache
def vendor_names() -> tuple[str, ...]:
    names = [name for vendor in registry.VENDORS for name in vendor.names]
    hosts = ["fal.media", "fal.run", "black-forest", "gpt-image", "api.openai", "hf-inference", "google-imagen"]
    return (*names, *hosts)


def assert_no_vendor(text: str) -> None:
    """What a customer can see names no vendor, host or vendor's model. The letters of a picture may spell anything."""
    words = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text).lower()
    found = [name for name in vendor_names() if name in words]
    assert not found, f"{found} in {text[:2000]}"


def rows(sql: str, *values: Any) -> list[dict[str, Any]]:
    """What an operator's statement finds."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        names = [column.name for column in cursor.description]
        found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    assert_no_vendor(str(found))
    return found


class Caller:
    """Somebody who has a token, at the API of any door."""

    def __init__(self, user: User | None, *, token: str = "") -> None:
        self.user = user
        self.token = token or (str(AccessToken.for_user(user)) if user else "")
        self.http = Client()

    @property
    def given(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @property
    def balance(self) -> int:
        assert self.user
        return ledger.balance(self.user.pk)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Call a whole path; returns Django's response."""
        raw = body if isinstance(body, str | bytes) else json.dumps(body)
        content = {} if body is None else {"data": raw, "content_type": headers.pop("content_type", "application/json")}
        return self.http.generic(method, path, **content, headers={**self.given, **headers})


class Customer(Caller):
    """Somebody who calls the API. Each call returns Django's response; every 2xx is held against OpenAPI."""

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = self.ask(method, f"{API}/{path}", body, **headers)
        assert_no_vendor(answer.content.decode())
        assert_no_vendor(str(dict(answer.headers)))
        if answer.status_code == 200:
            document = DOCUMENTS[method, path.split("/")[0].split("?")[0]]
            assert_documented(answer.json(), document())
        else:
            assert_problem(answer)
        return answer

    def submit(self, body: Any = None, *, key: str = "", **fields: Any) -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        return self.call("POST", "submit", {**DRAGON, **fields} if body is None else body, **headers)

    def submitted(self, **fields: Any) -> str:
        """Submit, and return the request's id."""
        answer = self.submit(**fields)
        assert answer.status_code == 200, answer.json()
        request_id: str = answer.json()["requestId"]
        return request_id

    def batch(self, *requests: Mapping[str, Any], key: str = "", **options: Any) -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        body = {"requests": [{**DRAGON, **request} for request in requests], "batchOptions": options}
        return self.call("POST", "batch", body, **headers)

    def status(self, request_id: str, query: str = "?imageData=false") -> dict[str, Any]:
        answer = self.call("GET", f"status/{request_id}{query}")
        assert answer.status_code == 200, answer.json()
        document: dict[str, Any] = answer.json()
        return document

    def batch_status(self, batch_id: str) -> dict[str, Any]:
        answer = self.call("GET", f"batch/{batch_id}")
        assert answer.status_code == 200, answer.json()
        document: dict[str, Any] = answer.json()
        return document

    def cancel(self, request_id: str) -> Any:
        return self.call("DELETE", f"cancel/{request_id}")

    def queue(self) -> dict[str, Any]:
        document: dict[str, Any] = self.call("GET", "queue/status").json()
        return document


def assert_documented(found: Any, described: Any, path: str = "") -> None:
    """The answer has the fields that OpenAPI promises, and no others."""
    if found is None:
        assert described.allow_null, f"{path} is null"
        return
    if hasattr(described, "child"):
        for index, one in enumerate(found):
            assert_documented(one, described.child, f"{path}[{index}]")
        return
    if not hasattr(described, "fields"):
        return
    fields = described.fields
    required = {name for name, field in fields.items() if field.required}
    assert required <= found.keys() <= fields.keys(), f"{path}: {sorted(found.keys() ^ fields.keys())}"
    for name, value in found.items():
        assert_documented(value, fields[name], f"{path}.{name}")


def assert_problem(answer: Any) -> None:
    """Every refusal has the same shape."""
    problem = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["status"] == answer.status_code
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["detail"] == problem["error"] == problem["message"]
    assert problem["code"].isupper()
    for fault in problem.get("errors", []):
        assert fault["field"] == fault["path"]
        assert fault["message"] == fault["msg"]


def faults_of(answer: Any) -> dict[str, str]:
    """field -> message of a 400."""
    assert answer.status_code == 400, answer.json()
    assert answer.json()["code"] == "VALIDATION_ERROR"
    return {fault["field"]: fault["message"] for fault in answer.json()["errors"]}


def item_of(request_id: str) -> Item:
    return Item.objects.get(public_id=request_id)


def work(most: int = 200) -> None:
    """Play the worker until nothing is left to do. Needs real transactions: a step gives its connection back."""
    for _ in range(most):
        Attempt.objects.filter(poll_at__isnull=False).update(poll_at="2000-01-01T00:00:00Z")
        taken = claim(1)
        if taken:
            engine.work(taken[0])
        elif not engine.poll() and not engine.release_due():
            return
    pytest.fail("the work does not end")


def assert_books_are_right() -> None:
    """The ledger's chain is whole, and what items say of money is what was posted."""
    assert ledger.check() == []
    assert audit.check() == []
