"""THE LIFE: the only room that sees states, claim, queue, steps, credits and providers together.

intake      submit: a plan becomes rows, paid for
working     one claimed item through one step
keeping     what was made is checked and stored; what is still being made is parked
settling    a step's end: its assets, and the next step or the item's success
publishing  a result takes the final key that a door's contract fixes
judging     a verdict instead of a file, and another pass after a bad one
parts       what is given back when a part of an item's price could not be made
stumbling   what follows an error: the next candidate, a wait, another try, the end
polling     parked calls at asynchronous vendors
pace        when to ask about them
fetching    those that have ended, won back
attempts    how far a paid call got
closing     how items and requests end, and what is given back
staff       verbs of owners and staff: cancel, retry, reopen, refund, hold …
leases      how long a worker may hold an item without a sign of life
erasing     an owner has what was made removed
sweeping    the periodic pass that gives every wait an end
again       a transaction is repeated when the database went away
"""

from generation.engine.erasing import erase, erase_files
from generation.engine.fetching import cancel_at_vendor
from generation.engine.intake import submit
from generation.engine.polling import poll
from generation.engine.staff import (
    cancel,
    hold,
    pause,
    probe,
    refund,
    release,
    reopen,
    reprioritise,
    resume,
    retry_now,
    set_cap,
)
from generation.engine.sweeping import ahead, release_due, sweep
from generation.engine.working import work

__all__ = [
    "ahead",
    "cancel",
    "cancel_at_vendor",
    "erase",
    "erase_files",
    "hold",
    "pause",
    "poll",
    "probe",
    "refund",
    "release",
    "release_due",
    "reopen",
    "reprioritise",
    "resume",
    "retry_now",
    "set_cap",
    "submit",
    "sweep",
    "work",
]
