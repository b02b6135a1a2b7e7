"""Big answers: what one worker holds in memory while they stream through it into the store."""

from __future__ import annotations

from uuid import uuid4

from bench import desk
from bench.figures import Figure
from config.models import User
from generation.models import Asset
from generation.plan import Candidate, ItemPlan, Plan, StepPlan
from providers.models import Lane

THREADS, ANSWERS, ANSWER_BYTES = 16, 200, 20_000_000
MB = 1024 * 1024


def measure(scale: float) -> list[Figure]:
    """Let each answer be a PNG in base64: of a picture that is as large as the provider makes one."""
    count = max(THREADS, int(ANSWERS * scale))
    readings: list[int] = []

    def watch() -> None:
        readings.append(worker[0].memory_info().rss)

    simulator = desk.simulator(delay_s=0.5, picture_bytes=ANSWER_BYTES)
    with desk.running(simulator), desk.running(*desk.workers(1, threads=THREADS)) as worker:
        people = desk.people(4)
        Lane.objects.filter(name=desk.LANE).update(cap=None)
        idle = worker[0].memory_info().rss
        with desk.all_at_once():
            desk.submit_all(_big_picture(people[n % len(people)], n) for n in range(count))
        desk.await_end(count, 600, watch)
    half = len(readings) // 2
    stored = sum(Asset.objects.filter(step="generate").values_list("size_bytes", flat=True))
    first, second = max(readings[:half]), max(readings[half:])
    sizes = f"{count} answers of {ANSWER_BYTES / 1e6:.0f} MB, {stored / count / 1e6:.0f} MB of each stored"
    return [
        Figure(f"resident memory of a worker of {THREADS} threads", max(first, second) / MB, "MB", 400, note=sizes),
        Figure("its most in the second half against the first", second / first, "times", 1.1),
        Figure("the same worker, idle", idle / MB, "MB", note="reference"),
    ]


def _big_picture(owner: User, number: int) -> Plan:
    inputs = {"prompt": f"Picture {number}", "width": 2560, "height": 1440, "quality": "low"}
    candidates = (Candidate(desk.LANE),)
    step = StepPlan(name="generate", operation="text-to-image", inputs=inputs, candidates=candidates)
    public_id = f"big-{number}-{uuid4().hex[:8]}"
    steps = (step, StepPlan(name="thumbnail", operation="thumbnail", required=False))
    item = ItemPlan(public_id=public_id, steps=steps, price_key="visual_cover", price=4)
    return Plan(door="visuals", owner_id=owner.pk, items=(item,), description="For the bench")
