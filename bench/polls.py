"""The MakeIt3D door read in process: a request's status, and a person's 10,000 pictures, in a small and in a big table.

Each call is the whole WSGI application, with a real token and the throttle's count. The rows are copies of one real
request, so they are as wide as real ones.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from bench import desk, wsgi
from bench.figures import Figure, percentile, spread
from bench.fill import bulk
from bench.submit import Samples
from config.models import User
from credits import pricing
from generation import engine
from generation.doors.makeit3d import plan, serializers
from generation.doors.makeit3d.catalogue import BY_NAME
from generation.doors.makeit3d.inputs import Gathered
from generation.models import Item, ItemStatus, Request, RequestStatus

OWN, OTHERS, SAMPLES, WARM_UP = 10_000, 300_000, 400, 40

# Copies of one request and its item, each with ids and a moment of its own, dealt out among people.
_COPY_REQUESTS = """
INSERT INTO generation_request
SELECT made.* FROM generation_request r CROSS JOIN generate_series(%(first)s, %(last)s) AS n
CROSS JOIN LATERAL jsonb_populate_record(r, jsonb_build_object(
    'id', md5('polls' || n)::uuid, 'owner_id', (%(owners)s::uuid[])[1 + n %% %(people)s],
    'created_at', r.created_at - n * interval '1 second')) AS made
WHERE r.id = %(request)s
"""
_COPY_ITEMS = """
INSERT INTO generation_item
SELECT made.* FROM generation_item i CROSS JOIN generate_series(%(first)s, %(last)s) AS n
CROSS JOIN LATERAL jsonb_populate_record(i, jsonb_build_object(
    'id', i.id + n, 'public_id', md5('item' || n)::uuid, 'request_id', md5('polls' || n)::uuid,
    'owner_id', (%(owners)s::uuid[])[1 + n %% %(people)s],
    'created_at', i.created_at - n * interval '1 second')) AS made
WHERE i.request_id = %(request)s
"""


def measure(scale: float) -> list[Figure]:
    count, own, others = max(50, int(SAMPLES * scale)), int(OWN * scale), int(OTHERS * scale)
    someone, *crowd = desk.people(101)
    order = _made(someone)
    with bulk():
        _copy(order.pk, [someone], 1, own)
    small = {path: _samples(someone, path, count) for path in (f"/tasks/{order.pk}/status", "/api/images")}
    with bulk():
        _copy(order.pk, crowd, own + 1, own + others)
    big = {path: _samples(someone, path, count) for path in small}
    (status, images), (big_status, big_images) = small.values(), big.values()
    rows = f"with {others:,} rows of others"
    return [
        Figure("status poll, p50", status.p50, "ms", limit=3, note=spread(status.wall, 90)),
        Figure("its questions beside the token's", _questions(someone, f"/tasks/{order.pk}/status") - 1, "", limit=1),
        Figure(
            f"the same {rows}, p50", big_status.p50 / status.p50, "times", limit=1.3, note=f"{big_status.p50:.2f} ms"
        ),
        Figure(f"/api/images of {own:,} rows, p50", images.p50, "ms", limit=10, note=spread(images.wall, 90)),
        Figure(
            f"the same {rows}, p50", big_images.p50 / images.p50, "times", limit=1.3, note=f"{big_images.p50:.2f} ms"
        ),
        Figure("CPU of a poll, p50", percentile(status.cpu, 50), "ms"),
    ]


def _made(owner: User) -> Request:
    """Submit one picture as the door does, and let it be made."""
    wish = serializers.read(
        BY_NAME["text-to-image"], {"provider": "provider_a", "prompt": "A wooden chair, studio light"}
    )
    key, model = plan.price_of(wish)
    quote = pricing.quote(key, provider=wish.provider, model=model)
    order = engine.submit(plan.plan_request(wish, owner.pk, Gathered({}), quote, model))
    results = {
        "generate": {"key": f"images/{wish.task_id}/{order.pk}_0.png", "content_type": "image/png", "starts": 1},
        "thumbnail": {"key": f"images/{order.pk}/thumbnail.webp", "content_type": "image/webp"},
    }
    now = order.created_at
    done: dict[str, Any] = {"status": ItemStatus.SUCCEEDED, "results": results, "progress": 100}
    Item.objects.filter(request=order).update(**done, first_started_at=now, started_at=now, finished_at=now)
    Request.objects.filter(pk=order.pk).update(status=RequestStatus.COMPLETED)
    return order


def _copy(request_id: UUID, owners: list[User], first: int, last: int) -> None:
    values = {"request": request_id, "owners": [one.pk for one in owners], "people": len(owners)}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for statement in (_COPY_REQUESTS, _COPY_ITEMS):
            cursor.execute(statement, {**values, "first": first, "last": last})


def _samples(person: User, path: str, count: int) -> Samples:
    samples, headers = Samples(), {"HTTP_AUTHORIZATION": f"Bearer {desk.token(person)}"}
    for _ in range(WARM_UP + count):
        samples.take(lambda: wsgi.call("GET", path, headers))
    del samples.wall[:WARM_UP], samples.cpu[:WARM_UP]
    return samples


def _questions(person: User, path: str) -> int:
    headers = {"HTTP_AUTHORIZATION": f"Bearer {desk.token(person)}"}
    with CaptureQueriesContext(connection) as asked:
        wsgi.call("GET", path, headers)
        return len(asked)
