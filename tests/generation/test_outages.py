"""Redis emptied, frozen, down; PostgreSQL restarted: nothing is lost, and callers hear 2xx or 503."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import django_rq
import pytest
import redis
from rq import Queue

from config.models import User
from generation import audit, engine, queue
from generation.models import Item
from tests.conftest import MakeCustomer
from tests.generation.processes import OwnRedis, environment, until, worker
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
