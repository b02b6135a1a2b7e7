"""Windows are exact under concurrency, tell their numbers everywhere, and survive Redis."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rest_framework.test import APIClient

from config.api import redis, throttle
from config.api.throttle import SlidingWindow
from config.models import User


@pytest.fixture
def no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is away, and nobody has counted without it yet."""
    away = Redis(unix_socket_path="/nowhere.sock", retry=Retry(NoBackoff(), 0))
    monkeypatch.setattr(redis, "client", lambda: away)
    monkeypatch.setattr(throttle, "_script", lambda url: away.register_script(throttle._HIT))
    monkeypatch.setattr(throttle, "_local", throttle._Local())
    monkeypatch.setattr(throttle, "_outage", throttle._Outage())


def hit_at_once(window: SlidingWindow, calls: int) -> list[throttle.Window]:
    with ThreadPoolExecutor(calls) as threads:
        return list(threads.map(lambda _: window.hit("alice"), range(calls)))


def test_fifty_calls_at_once_get_exactly_the_places_there_are() -> None:
    answers = hit_at_once(SlidingWindow("exact", 10, 60), 50)

    let_in = [answer for answer in answers if answer.retry_after_s is None]
    assert sorted(answer.remaining for answer in let_in) == list(range(10))
    assert {answer.remaining for answer in answers if answer.retry_after_s} == {0}


def test_a_place_is_free_when_the_oldest_call_leaves_and_not_before() -> None:
    window = SlidingWindow("slide", 2, 1)
    first = window.hit("alice")
    window.hit("alice")

    refused = window.hit("alice")
    assert refused.retry_after_s == 1
    time.sleep(1.05)
    # The refused call took no place: both are free again.
    assert window.hit("alice").remaining == 1
    assert abs(first.reset_unix - time.time()) <= 1


def test_keys_and_names_do_not_share_places() -> None:
    assert SlidingWindow("one", 1, 60).hit("alice").retry_after_s is None
    assert SlidingWindow("one", 1, 60).hit("bob").retry_after_s is None
    assert SlidingWindow("two", 1, 60).hit("alice").retry_after_s is None
    assert SlidingWindow("one", 1, 60).hit("alice").retry_after_s == 60


def test_a_place_can_be_given_back_and_looked_at() -> None:
    window = SlidingWindow("back", 1, 60)
    taken = window.hit("alice")
    assert window.peek("alice").remaining == 0
    window.give_back("alice", taken.mark)
    assert window.peek("alice").remaining == 1
    assert window.peek("alice").remaining == 1


def test_a_limit_of_zero_is_off() -> None:
    assert all(answer.retry_after_s is None for answer in hit_at_once(SlidingWindow("off", 0, 60), 5))


def test_a_lowered_limit_waits_until_enough_calls_have_left() -> None:
    for _ in range(3):
        SlidingWindow("lower", 3, 60).hit("alice")
    lowered = SlidingWindow("lower", 1, 60).hit("alice")
    assert lowered.remaining == 0
    assert lowered.retry_after_s in (59, 60)


@pytest.mark.usefixtures("no_redis")
def test_without_redis_a_process_counts_for_itself_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    window = SlidingWindow("alone", 10, 60)
    with caplog.at_level(logging.INFO):
        answers = hit_at_once(window, 50)

    assert sum(answer.retry_after_s is None for answer in answers) == 10
    assert len([record for record in caplog.records if "Redis" in record.message]) == 1
    taken = next(answer for answer in answers if answer.mark)
    window.give_back("alice", taken.mark)
    assert window.hit("alice").retry_after_s is None


@pytest.mark.usefixtures("no_redis")
def test_an_outage_is_not_asked_about_at_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    window = SlidingWindow("quiet", 10, 60)
    window.hit("alice")
    monkeypatch.setattr(throttle, "_script", lambda url: pytest.fail("asked again"))
    assert window.hit("alice").remaining == 8


@pytest.mark.usefixtures("no_redis")
def test_redis_is_used_again_after_the_pause(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    window = SlidingWindow("again", 10, 60)
    window.hit("alice")
    monkeypatch.undo()
    monkeypatch.setattr(throttle, "_outage", outage := throttle._Outage())
    outage._is_known = True
    with caplog.at_level(logging.INFO):
        assert window.hit("alice").remaining == 9
    assert "Redis is back: windows are shared again" in caplog.messages


def test_a_script_that_redis_forgot_is_loaded_again() -> None:
    window = SlidingWindow("forgot", 10, 60)
    window.hit("alice")
    redis.client().script_flush()
    assert window.hit("alice").remaining == 8


class TestTheDoor:
    """The throttle class and the headers, on a view."""

    pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.config_api.routes")]

    @pytest.fixture(autouse=True)
    def limit(self, settings: Any) -> None:
        settings.VISUAL_RATE_LIMIT, settings.VISUAL_RATE_WINDOW_S = 3, 900

    @pytest.fixture
    def alices(self, client: APIClient, alice: User) -> APIClient:
        client.force_authenticate(alice)
        return client

    def test_every_post_counts_whatever_its_answer_and_tells_the_numbers(self, alices: APIClient) -> None:
        bodies = ['{"kind": "cover"}', '{"kind": "no such"}', "{broken"]
        answers = [alices.generic("POST", "/api/order", body, content_type="application/json") for body in bodies]

        assert [answer.status_code for answer in answers] == [200, 400, 400]
        assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0"]
        assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"3"}
        assert abs(int(answers[0].headers["X-RateLimit-Reset"]) - time.time() - 900) <= 2

        refused = alices.post("/api/order", {"kind": "cover"}, format="json")
        assert (refused.status_code, refused.json()["code"], refused.json()["error"]) == (
            429,
            "RATE_LIMIT_EXCEEDED",
            "Too many requests",
        )
        assert 895 <= int(refused.headers["Retry-After"]) <= 900
        assert refused.headers["X-RateLimit-Remaining"] == "0"

    def test_another_method_tells_the_numbers_and_takes_no_place(self, alices: APIClient) -> None:
        for _ in range(5):
            answer = alices.get("/api/order")
        assert (answer.status_code, answer.headers["X-RateLimit-Remaining"]) == (405, "3")

    def test_a_stranger_is_told_an_untouched_window(self, client: APIClient) -> None:
        answer = client.post("/api/order", {"kind": "cover"}, format="json")
        assert (answer.status_code, answer.headers["X-RateLimit-Remaining"]) == (401, "3")

    def test_people_do_not_share_a_window(self, alices: APIClient, bob: User) -> None:
        for _ in range(4):
            alices.post("/api/order", {}, format="json")
        bobs = APIClient()
        bobs.force_authenticate(bob)
        assert bobs.post("/api/order", {"kind": "cover"}, format="json").status_code == 200

    def test_a_limit_of_zero_is_off_and_says_nothing(self, alices: APIClient, settings: Any) -> None:
        settings.VISUAL_RATE_LIMIT = 0
        answer = alices.post("/api/order", {"kind": "cover"}, format="json")
        assert answer.status_code == 200
        assert "X-RateLimit-Limit" not in answer.headers
