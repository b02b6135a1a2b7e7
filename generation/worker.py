"""The threaded RQ worker: one process, many items in flight.

A provider call is almost all waiting, so items run in threads. A bell is taken only when a thread is
free, and says no more than "look"; a thread that ends an item claims again before it goes. Clocks run
beside: one renews leases, one looks for work by itself each second and sweeps, one tells Redis that we
live; so a lost bell, or Redis being away, costs at most a second.

No signal ends a thread (RQ's time limits and stop command need one): every wait in a step has a deadline
of its own, and a lease is renewed only while its step is inside that deadline.
"""

from __future__ import annotations

import ctypes
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any, TypeVar

from django.conf import settings
from django.db import connection
from django.utils import timezone
from redis.exceptions import RedisError
from rq import Queue
from rq.exceptions import DequeueTimeout
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.timeouts import BaseDeathPenalty
from rq.worker import BaseWorker

from generation import chores, engine
from generation.claim import Claim, Only, claim
from generation.engine import leases
from generation.models import Item
from providers.models import Lane

log = logging.getLogger(__name__)
T = TypeVar("T")

LOOK_EVERY_S = 1.0
OTHERS_EVERY_S = 0.5
SHORTEST_LOOK_S = 0.05
HEARTBEAT_EVERY_S = 5.0
BELL_WAIT_S = 2  # after which an idle loop looks at the stop flag
REDIS_AWAY_WAIT_S = 1.0
M_ARENA_MAX = -8  # of glibc's malloc.h
# Room around a step's own deadline for checking and storing what came.
KEEP_GRACE_S = 120.0


class Crew:
    """The threads of this process and the claims they hold. A seat is a thread that may work."""

    def __init__(self) -> None:
        self.seats = 1
        self.only = Only()
        self.stopping = threading.Event()
        self.busy = 0
        self._held: dict[tuple[int, int], float] = {}
        self._others_at = 0.0
        self._changed = threading.Condition()

    @property
    def free(self) -> int:
        return self.seats - self.busy

    def wake(self) -> bool:
        """Start a thread that works while there is some, if a seat is free."""
        with self._changed:
            if self.free < 1 or self.stopping.is_set():
                return False
            self.busy += 1
        threading.Thread(target=self._sit, name="item", daemon=True).start()
        return True

    def wake_for(self, things: int) -> int:
        """Start a thread for each of so many things to do, as far as seats are free; return how many started."""
        return sum(self.wake() for _ in range(things))

    def _sit(self) -> None:
        try:
            self._work_while_there_is_some()
        except Exception:
            log.exception("a thread of the worker failed")
        finally:
            connection.close()
            with self._changed:
                self.busy -= 1
                self._changed.notify_all()

    def _work_while_there_is_some(self) -> None:
        while not self.stopping.is_set():
            if self._is_time_for_others():
                engine.poll()
                chores.do_next()
            taken = claim(1, only=self.only)
            if taken:
                self._work(taken[0])
                self._finish(taken[0].item)
            elif not engine.poll() and not chores.do_next():
                return

    def _is_time_for_others(self) -> bool:
        """Say to one thread at a time that parked calls and chores have waited long enough behind new items.

        Behind a queue that never empties they would wait for ever, and a result that nobody fetches is
        paid for again.
        """
        with self._changed:
            is_time = time.monotonic() >= self._others_at
            if is_time:
                self._others_at = time.monotonic() + OTHERS_EVERY_S
        return is_time

    def _finish(self, item: Item) -> None:
        """Go on with our own steps of an item that was just worked: the picture that they need is still at hand."""
        while item.goes_on_with_us and not self.stopping.is_set():
            taken = claim(1, only=replace(self.only, item=item.pk))
            if not taken:
                return
            self._work(taken[0])
            item = taken[0].item

    def _work(self, taken: Claim) -> None:
        """Work a claim; a fault that outlasts all patience leaves the item to the sweep."""
        with self._holding(taken):
            try:
                engine.work(taken)
            except Exception:
                log.exception("an item is left to the sweep", extra={"item": taken.item.public_id})
                connection.close()

    @contextmanager
    def _holding(self, taken: Claim) -> Iterator[None]:
        """Have the claim's lease renewed until its step's deadline, or until it ends."""
        key = (taken.item.pk, taken.fence)
        self._held[key] = time.monotonic() + taken.item.step_plan.timeout_s + KEEP_GRACE_S
        try:
            yield
        finally:
            self._held.pop(key, None)

    def held(self) -> list[tuple[int, int]]:
        """Return (item id, fence) of each claim whose step is still within its deadline."""
        now = time.monotonic()
        return [key for key, until in list(self._held.items()) if until > now]

    def wait_for_seat(self, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.free > 0 or self.stopping.is_set(), timeout_s)

    def wait_until_idle(self, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.busy == 0, timeout_s)


crew = Crew()
# Two threads find that we are not registered; RQ refuses the second.
_registering = threading.Lock()


def _share_heaps() -> None:
    """Have the threads share two heaps. By its own rule glibc gives eight to each CPU, and each keeps what it once
    held: a hundred threads with pictures took 1.5 times the memory, and a quarter more CPU for its pages.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):  # other C libraries have none
        mallopt(M_ARENA_MAX, 2)


class NoDeathPenalty(BaseDeathPenalty):
    """RQ's time limits are signals, which reach only the main thread. Steps have deadlines of their own."""

    def setup_death_penalty(self) -> None:
        """Set no alarm."""

    def cancel_death_penalty(self) -> None:
        """There is no alarm to cancel."""


class ThreadedWorker(BaseWorker):
    """RQ's worker with threads for horses. Listens to one queue and answers bells."""

    death_penalty_class = NoDeathPenalty

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Bells are JSON whatever the command line says: RQ's own default is pickle.
        super().__init__(*args, **{**kwargs, "serializer": JSONSerializer})
        crew.seats, crew.only = settings.WORKER_THREADS, Only.parse(settings.WORKER_ONLY)
        self.log_job_description = False
        self.log.setLevel(logging.WARNING)  # three lines for each bell would drown what matters

    def work(self, burst: bool = False, *args: Any, **kwargs: Any) -> bool:
        """Answer bells until told to stop; with `burst` until nothing is left to do."""
        self._install_signal_handlers()
        _share_heaps()
        self._print_banner()
        clocks = [
            threading.Thread(target=clock, name=clock.__name__, daemon=True)
            for clock in (self._keep_leases, self._keep_looking, self._keep_telling)
        ]
        for clock in clocks:
            clock.start()
        registered = answered = False
        while not crew.stopping.is_set():
            try:
                if not registered:
                    self._tell()
                    registered = True
                answered |= self._answer_next_bell(burst)
                if burst and crew.wait_until_idle(BELL_WAIT_S) and not crew.wake_for(engine.due(1)):
                    break
            except RedisError as error:
                log.warning("no bells while Redis is away: %s", type(error).__name__)
                registered = False
                crew.stopping.wait(REDIS_AWAY_WAIT_S)
        self._drain()
        for clock in clocks:
            clock.join(timeout=2 * LOOK_EVERY_S)
        if registered:
            self._say_goodbye()
        return answered

    def _answer_next_bell(self, burst: bool) -> bool:
        """Wait for a free seat, then shortly for a bell; the thread starts before RQ's own bookkeeping ends."""
        if not crew.wait_for_seat(BELL_WAIT_S) or crew.stopping.is_set():
            return False
        try:
            found = self.queue_class.dequeue_any(
                self.queues,
                None if burst else BELL_WAIT_S,
                connection=self.connection,
                job_class=self.job_class,
                serializer=self.serializer,
                death_penalty_class=self.death_penalty_class,
            )
        except DequeueTimeout:
            return False
        if found is None:
            return False
        self.execute_job(*found)
        return True

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run a bell's job here; it only wakes a thread (`generation.jobs`)."""
        self.perform_job(job, queue, self.prepare_execution(job))

    # Signals and the end

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Stop claiming; calls in flight get WORKER_DRAIN_S to finish. RQ's own would raise inside a blocking pop."""
        crew.stopping.set()
        signal.signal(signal.SIGINT, self.request_force_stop)
        signal.signal(signal.SIGTERM, self.request_force_stop)

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:
        """Stop at once on the second signal; what was in flight is taken back when its leases end."""
        raise SystemExit(1)

    def _drain(self) -> None:
        crew.stopping.set()
        if not crew.wait_until_idle(settings.WORKER_DRAIN_S):
            released = leases.give_up(crew.held())
            log.warning("%d items are left for other workers", released)
        connection.close()

    def _say_goodbye(self) -> None:
        try:
            self.register_death()
        except RedisError:
            log.info("Redis is away; this worker's entry expires by itself")

    # The clocks

    def _keep_leases(self) -> None:
        """Renew leases until drained. Nothing else may wait here: neither a long sweep nor a Redis that hangs."""
        while not crew.stopping.is_set() or crew.busy:
            self._try(lambda: leases.renew(crew.held()))
            self._pause(settings.LEASE_S / 4)

    def _keep_telling(self) -> None:
        """Tell of oneself until drained."""
        while not crew.stopping.is_set() or crew.busy:
            self._try(self._tell)
            self._pause(HEARTBEAT_EVERY_S)

    def _keep_looking(self) -> None:
        """Sweep at its pace, and look for work that no bell announced, until told to stop."""
        sweep_at = 0.0
        while not crew.stopping.is_set():
            if time.monotonic() >= sweep_at:
                sweep_at = time.monotonic() + settings.SWEEP_INTERVAL_S
                self._try(engine.sweep)
            self._pause(self._try(self._look) or LOOK_EVERY_S)

    def _try(self, act: Callable[[], T]) -> T | None:
        """Do one thing by the clock; a fault of it stops no clock. Gives the connection back."""
        try:
            return act()
        except RedisError as error:
            log.warning("Redis is away: %s", type(error).__name__)
        except Exception:
            log.exception("a clock of the worker stumbled")
        finally:
            connection.close()
        return None

    def _pause(self, wait_s: float) -> None:
        """Wait; while the crew drains only until it is idle, so that leases are renewed to the end."""
        if crew.stopping.wait(wait_s):
            crew.wait_until_idle(min(wait_s, LOOK_EVERY_S))

    def _look(self) -> float:
        """Wake threads for what is due although no bell rang; return the seconds until the next look."""
        crew.wake_for(engine.due(crew.free))
        due_at = engine.next_due()
        if due_at is None:
            return LOOK_EVERY_S
        due_in_s = (due_at - timezone.now()).total_seconds()
        if due_in_s <= 0:
            engine.release_due()
        return min(LOOK_EVERY_S, max(SHORTEST_LOOK_S, due_in_s))

    def _tell(self) -> None:
        """Send the heartbeat with our own figures; at first, and after Redis was emptied, register."""
        with _registering:
            if not self.connection.hexists(self.key, "birth"):
                self.connection.delete(self.key)
                self.register_birth()
        with self.connection.pipeline() as pipeline:
            self.heartbeat(int(HEARTBEAT_EVERY_S * 6), pipeline=pipeline)
            pipeline.hset(self.key, mapping={"threads": crew.seats, "busy": crew.busy})
            pipeline.execute()

    def _print_banner(self) -> None:
        """Say what this worker may do: threads, lanes with their caps, mode."""
        lanes = ", ".join(
            f"{lane.name} ({'no cap' if lane.cap is None else lane.cap}{', paused' if lane.paused else ''})"
            for lane in Lane.objects.exclude(name="desk")
        )
        log.info(
            "worker %s: %d threads, lease %d s, providers %s, only %s, lanes %s",
            self.name,
            crew.seats,
            settings.LEASE_S,
            settings.PROVIDERS_MODE,
            " ".join(settings.WORKER_ONLY) or "anything",
            lanes,
        )
        connection.close()
