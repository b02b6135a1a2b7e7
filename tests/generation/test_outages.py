"""Redis emptied, frozen, down; PostgreSQL restarted: nothing is lost, and callers hear 2xx or 503."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django_rq
import psycopg
import pytest
import redis
import requests
from rq import Queue

from config.embedded import services
from config.models import User
from generation import audit, engine, queue
from generation.models import Item
from tests.conftest import MakeCustomer
from tests.generation.processes import OwnDesk, OwnRedis, environment, until, worker
from tests.generation.support import balance, fresh, make_plan, submit_one
from tests.simulator import Remote

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def carol(make_customer: MakeCustomer) -> User:
    return make_customer("carol", 1000)


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnRedis]:
    """A Redis of this test's workers and of its bells."""
    server = OwnRedis(tmp_path_factory.mktemp("redis"))
    server.start()
    line = redis.Redis(unix_socket_path=str(server.socket), socket_timeout=1)
    monkeypatch.setattr(queue, "bells", lambda: Queue("generation", connection=line, serializer=JSON))
    yield server
    line.close()
    server.stop()


JSON = django_rq.get_queue("generation").serializer


def ended(status: str = "SUCCEEDED") -> int:
    return Item.objects.filter(status=status).count()


def test_redis_emptied_frozen_and_down_loses_nothing(
    carol: User, vendors: Remote, media: Path, tmp_path: Path, own_redis: OwnRedis
) -> None:
    vendors.settings(delay_s=0.1)
    engine.submit(make_plan(carol, 200, price=1))
    env = environment(media, REDIS_URL=own_redis.url, WORKER_THREADS="24")
    with worker(env, tmp_path / "worker.log") as process:
        until(lambda: ended() >= 100, "half of it is done", process)
        own_redis.empty()
        until(lambda: ended() == 200, "all of it is done", process)
        until(lambda: len(queue.workers()) == 1, "the worker told of itself again", process)

        # Frozen, it answers nobody and refuses nobody: leases are renewed all the same.
        vendors.faults("openai", "slow", delay_s=5, match="slow")
        slow = submit_one(carol, prompt="a slow lighthouse", timeout_s=60)
        until(lambda: fresh(slow).status == "RUNNING", "it has begun", process)
        own_redis.freeze()
        until(lambda: fresh(slow).is_final, "it has ended", process)
        own_redis.thaw()
        assert (fresh(slow).status, fresh(slow).losses) == ("SUCCEEDED", 0)

        own_redis.stop()
        meanwhile = submit_one(carol)
        until(lambda: fresh(meanwhile).status == "SUCCEEDED", "it was found by looking", process)
        own_redis.start()
        until(lambda: len(queue.workers()) == 1, "the worker is back", process)
    assert Counter(one["prompt"] for one in vendors.calls()).most_common() == [
        ("a lighthouse", 201),
        ("a slow lighthouse", 1),
    ]
    assert balance(carol) == 1000 - 200 - 4
    assert audit.check() == []


# --- PostgreSQL --------------------------------------------------------------------------------------


@pytest.fixture
def own_desk(media: Path, tmp_path: Path, vendors: Remote, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnDesk]:
    with tempfile.TemporaryDirectory(prefix="atelier-test-") as folder:
        Path(folder).chmod(0o711)
        monkeypatch.setenv("ATELIER_STATE_DIR", folder)
        with services.the_only_one():
            services.prepare()
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            desk = OwnDesk(Path(folder), tmp_path, media, port)
            with desk.running():
                yield desk
            services.clean_up()


class Customer:
    """Submits one picture after another, looks at the balance between, and notes each answer."""

    def __init__(self, desk: OwnDesk, token: str) -> None:
        self.desk, self.token = desk, token
        self.answers: Counter[int] = Counter()
        self.without_retry_after = 0
        self.accepted: list[str] = []
        self.is_done = threading.Event()

    def run(self) -> None:
        while not self.is_done.is_set():
            submitted = self._ask("POST", "submit", {"type": "cover", "prompt": "a lighthouse"})
            if submitted.ok:
                self.accepted.append(submitted.json()["requestId"])
            self._ask("GET", "queue/status")

    def _ask(self, method: str, path: str, body: Any = None) -> requests.Response:
        answer = self.desk.ask(method, f"/api/visual-generation/{path}", self.token, body)
        self.answers[answer.status_code] += 1
        self.without_retry_after += answer.status_code == 503 and "Retry-After" not in answer.headers
        return answer


def test_postgresql_restarted_under_load_loses_nothing(own_desk: OwnDesk, vendors: Remote) -> None:
    vendors.settings(delay_s=0.2)
    signed_in = own_desk.ask("POST", "/api/auth/token", body={"username": "carol", "password": "carol-password"})
    customers = [Customer(own_desk, signed_in.json()["access"]) for _ in range(3)]
    threads = [threading.Thread(target=customer.run) for customer in customers]
    for thread in threads:
        thread.start()

    def accepted() -> int:
        return sum(len(customer.accepted) for customer in customers)

    try:
        until(lambda: accepted() >= 15, "the desk is at work")
        own_desk.restart_postgres()
        after = accepted()
        until(lambda: accepted() >= after + 15, "the desk is at work again")
    finally:
        for customer in customers:
            customer.is_done.set()
        for thread in threads:
            thread.join(60)
    answers = sum((customer.answers for customer in customers), Counter[int]())
    assert {status for status in answers if status != 503 and status // 100 != 2} == set()
    assert sum(customer.without_retry_after for customer in customers) == 0

    ids = [request_id for customer in customers for request_id in customer.accepted]
    with psycopg.connect(services.database_url(), autocommit=True) as line:

        def left() -> int:
            row = line.execute("SELECT count(*) FROM generation_item WHERE finished_at IS NULL").fetchone()
            return int(row[0]) if row else 0

        until(lambda: left() == 0, "every item has ended")
        rows = dict(line.execute("SELECT public_id, status FROM generation_item").fetchall())
        [balance_left] = line.execute("SELECT balance FROM credits_account").fetchone() or ()
        [spent] = line.execute("SELECT sum(charged - refunded) FROM generation_item").fetchone() or ()
    assert [rows[request_id] for request_id in ids] == ["SUCCEEDED"] * len(ids)
    assert balance_left == 1000 - spent
    assert own_desk.manage("audit").strip() == "clean"
