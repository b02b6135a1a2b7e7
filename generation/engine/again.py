"""Outlast a restart of the database: a result in hand is worth more than one lost connection."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connection
from psycopg_pool import PoolTimeout

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger(__name__)

WAITS_S = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0)


def survives_restart(step: Callable[P, T]) -> Callable[P, T]:
    """Repeat a transaction whose connection broke, for about 15 s.

    Safe for steps that are guarded by a fence, or by the step at which an item stands: if the commit had gone through,
    the repeat finds that moved on and does nothing.
    """

    @functools.wraps(step)
    def again(*args: P.args, **kwargs: P.kwargs) -> T:
        for wait_s in WAITS_S:
            try:
                return step(*args, **kwargs)
            except (OperationalError, InterfaceError, PoolTimeout) as error:
                if connection.in_atomic_block:
                    raise
                log.warning("the database is away, %s is repeated: %s", step.__name__, type(error).__name__)
                connection.close()
                time.sleep(wait_s)
        return step(*args, **kwargs)

    return again
