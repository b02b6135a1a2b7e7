"""RQ's own workers on a job that does nothing: `python -m bench.rq_reference TASK ANSWER`."""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path

from redis import Redis
from rq import Queue, SimpleWorker, Worker

QUEUE = "bench-reference"
KINDS = {"Worker": Worker, "SimpleWorker": SimpleWorker}


def nothing() -> None:
    """Do nothing."""


def main(task: str, answer: str) -> None:
    wanted = json.loads(Path(task).read_text())
    connection = Redis.from_url(wanted["redis_url"])
    queue = Queue(QUEUE, connection=connection)
    queue.enqueue_many([Queue.prepare_data("bench.rq_reference.nothing") for _ in range(wanted["jobs"])])
    worker = KINDS[wanted["kind"]]([queue], connection=connection)
    worker.log.setLevel(logging.WARNING)
    began = time.perf_counter()
    worker.work(burst=True, logging_level="WARNING")
    took_s = time.perf_counter() - began
    Path(answer).write_text(json.dumps({"jobs_per_s": wanted["jobs"] / took_s}))


if __name__ == "__main__":
    main(*sys.argv[1:])
