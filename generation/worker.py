"""The threaded RQ worker: one process, many items in flight.

A provider call is almost all waiting, so items run in threads (`generation.crew`). A bell is taken only
when a thread is free, and says no more than "look". Clocks run beside: one renews leases, one looks for
work by itself each second and sweeps, one tells Redis that we live; so a lost bell, or Redis being away,
costs at most a second.

RQ's time limits and its stop command are signals, which reach no thread: they do nothing here.
"""

from __future__ import annotations

import gc
import logging
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

from django.conf import settings
from django.db import connection
from redis.exceptions import RedisError
from rq import Queue
from rq.exceptions import DequeueTimeout
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.timeouts import BaseDeathPenalty
from rq.worker import BaseWorker

from generation import engine
from generation.claim import Only
from generation.crew import crew, share_heaps
from generation.engine import leases
from generation.queue import BELL
from providers.models import Lane

log = logging.getLogger(__name__)
T = TypeVar("T")

LOOK_EVERY_S = 1.0
SHORTEST_LOOK_S = 0.05
HEARTBEAT_EVERY_S = 5.0
BELL_WAIT_S = 2  # after which an idle loop looks at the stop flag
REDIS_AWAY_WAIT_S = 1.0


# Two threads find that we are not registered; RQ refuses the second.
_registering = threading.Lock()


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
        share_heaps()
        # What was loaded until now stays for good: the collector need not walk it again, which holds all threads.
        gc.collect()
        gc.freeze()
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
                if burst and crew.wait_until_idle(BELL_WAIT_S) and not crew.wake_for(engine.ahead(1).things):
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
        """Answer a bell, which wakes a thread (`generation.jobs`), and forget it by one round trip.

        RQ would keep books on it in five, which cost as much as the change of an item that it announces.
        """
        if job.func_name != BELL:
            self.perform_job(job, queue, self.prepare_execution(job))
            return
        try:
            job.func()
        except Exception:
            log.exception("a bell was not answered")
        finally:
            with self.connection.pipeline() as pipeline:
                pipeline.lrem(queue.intermediate_queue_key, 1, job.id)
                pipeline.delete(job.key)
                pipeline.execute()

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
        ahead = engine.ahead(crew.free)
        crew.wake_for(ahead.things)
        if ahead.retry_in_s is not None and ahead.retry_in_s <= 0:
            engine.release_due()
        due_in_s = min((wait for wait in (ahead.retry_in_s, ahead.poll_in_s) if wait is not None), default=LOOK_EVERY_S)
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
