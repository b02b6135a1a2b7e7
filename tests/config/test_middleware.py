"""What an API call is spared: sessions, messages and htmx are for pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.views import APIView

from config.middleware import API


def views(patterns: list[URLPattern | URLResolver], before: str = "/") -> Iterator[tuple[str, Any]]:
    for one in patterns:
        path = before + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from views(one.url_patterns, path)
        else:
            yield path, getattr(one.callback, "cls", None)


def test_every_view_of_the_api_is_known_as_one() -> None:
    api = [path for path, view in views(get_resolver().url_patterns) if view and issubclass(view, APIView)]
    assert len(api) > 50
    assert [path for path in api if not path.startswith(API)] == []


def test_no_page_is_taken_for_one() -> None:
    outside = {path for path, view in views(get_resolver().url_patterns) if not view and path.startswith(API)}
    assert outside == set()


@pytest.mark.parametrize("path", ["/tasks/t1/status", "/generate/text-to-image", "/api/images"])
def test_a_cookie_opens_no_door_of_the_api(client: Client, alice: Any, path: str) -> None:
    client.force_login(alice)
    answer = client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (401, "NOT_AUTHENTICATED")
