"""Poses: the small pictures of one, and a hundred of them against what the provider's own slowness allows."""

from __future__ import annotations

import io
import math
import statistics
import time

from django.conf import settings
from django.db import transaction
from PIL import Image, ImageChops

from bench import desk
from bench.figures import Figure
from config.models import User
from generation import exports, images, posemap
from generation.doors.poses import orders, plan
from generation.models import PoseProject, Request
from providers.models import Lane
from providers.simulator import pictures

EXPORTS = ("instagram_feed", "instagram_story", "tiktok", "shopee_product", "facebook_post")
ROUNDS = 9
POSES, DELAY_S = 100, 1.0
WORKERS, THREADS = 2, 16
PICTURE_BYTES = 200_000
# Answers when the picture is there, so that a call holds its thread for as long as it takes.
PROVIDER, LANE = "openai", "provider_d"
FIGURE = posemap.Box(0.2, 0.1, 0.8, 0.95)


def measure(scale: float) -> list[Figure]:
    small = _small_pictures_ms()
    settings.POSE_TEXT_PROVIDER_ORDER = [PROVIDER]
    count = max(WORKERS * THREADS, int(POSES * scale))
    with desk.running(desk.simulator(delay_s=DELAY_S, picture_bytes=PICTURE_BYTES)) as provider:
        (person,) = desk.people(1)
        with desk.running(*desk.workers(WORKERS, threads=THREADS)) as workers:
            _make(person, 1)
            before = desk.cpu_s(workers), desk.cpu_s(desk.services()), desk.cpu_s(provider)
            took_s = _make(person, count)
            after = desk.cpu_s(workers), desk.cpu_s(desk.services()), desk.cpu_s(provider)
    # As many rounds of full threads as it takes: nobody without any work of their own could be faster.
    ideal_s = math.ceil(count / (WORKERS * THREADS)) * DELAY_S
    shares = [1000 * (now - then) / count for now, then in zip(after, before, strict=True)]
    return [
        Figure(
            f"a thumbnail and {len(EXPORTS)} exports of 1024 x 1024, CPU",
            statistics.median(small),
            "ms",
            limit=400,
            note=f"median of {ROUNDS}, slowest {max(small):.0f}",
        ),
        Figure(
            f"{count} poses of a {DELAY_S:g} s provider against the ideal {ideal_s:g} s",
            took_s / ideal_s,
            "times",
            limit=1.5,
            note="took {:.1f} s; CPU ms a pose: workers {:.0f}, services {:.0f}, simulator {:.0f}".format(
                took_s, *shares
            ),
        ),
    ]


def _small_pictures_ms() -> list[float]:
    """CPU of what the steps make of a finished pose, its decoding included."""
    drawn = _photograph()
    took = []
    for _ in range(ROUNDS):
        began = time.process_time()
        images.thumbnail(io.BytesIO(drawn), settings.THUMBNAIL_PIXELS, covers=True)
        with images.opened(io.BytesIO(drawn)) as (image,):
            exports.make(image, EXPORTS, FIGURE)
        took.append(1000 * (time.process_time() - began))
    return took


def _photograph() -> bytes:
    """A drawing with the grain of a photograph, which costs more to read and to write than flat colours."""
    with Image.open(io.BytesIO(pictures.draw(pictures.wish("a person in a park", 7, 1024, 1024, "png")).body)) as flat:
        grain = Image.effect_noise(flat.size, 24).convert("RGB")
        out = io.BytesIO()
        ImageChops.soft_light(flat.convert("RGB"), grain).save(out, "PNG")
    return out.getvalue()


def _make(person: User, count: int) -> float:
    """Have so many poses made as one generation; return the seconds from its first claim to its end."""
    Lane.objects.filter(name=LANE).update(cap=WORKERS * THREADS)
    project = PoseProject.objects.create(owner=person, name="Bench", avatar_source="UPLOAD")
    wish = plan.Wish(person.pk, project.pk, plan.TEXT, text="a person in a park", count=count)
    with desk.all_at_once(), transaction.atomic():
        order = orders.submit(wish, [])
    desk.await_end(Request.objects.count(), 120)
    order.refresh_from_db()
    assert order.started_at
    assert order.finished_at
    return (order.finished_at - order.started_at).total_seconds()
