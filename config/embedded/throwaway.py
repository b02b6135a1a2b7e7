"""Throwaway PostgreSQL and Redis in a folder of their own: for a test run and for the bench.

Nothing of them is left when the run ends, however it ends: what a killed run leaves is cleared by a later one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from config.embedded import services
from config.embedded.children import Part

OLD_S = 86_400


@contextmanager
def run(prefix: str, *, postgres: bool = True, redis: bool = True, durable: bool = False) -> Iterator[Path]:
    """Start what is asked for in a fresh folder, and name it in the environment, as settings read it.

    durable: PostgreSQL waits for the disk at each commit, as a real one does. Raises ServiceError.
    """
    _remove_what_killed_runs_left(prefix)
    with ExitStack() as this_run:
        folder = Path(this_run.enter_context(tempfile.TemporaryDirectory(prefix=prefix)))
        folder.chmod(0o711 if os.getuid() == 0 else 0o700)
        os.environ["ATELIER_STATE_DIR"] = str(folder)
        os.environ.pop("MEDIA_ROOT", None)
        if postgres or redis:
            this_run.enter_context(services.the_only_one())
            services.prepare()
            this_run.callback(services.clean_up)
        if postgres:
            _keep(this_run, services.postgres(durable=durable))
            os.environ["DATABASE_URL"] = services.database_url()
        if redis:
            _keep(this_run, services.redis())
            os.environ["REDIS_URL"] = services.redis_url()
        yield folder


def _keep(this_run: ExitStack, part: Part) -> None:
    this_run.callback(part.stop)
    part.start()
    services.await_start(part)


def _remove_what_killed_runs_left(prefix: str) -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        info = folder.stat()
        if info.st_uid == os.getuid() and time.time() - info.st_mtime > OLD_S:
            shutil.rmtree(folder)
