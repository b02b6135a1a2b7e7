"""Bring the local desk's database up to date and put its two people in it. The launcher runs this as a process."""

from __future__ import annotations

import os
import sys

import django
from django.db.utils import OperationalError

from config import env

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

ENOUGH, FULL = 50, 500
PEOPLE = ("demo", "staff")
# What the process says with its exit status; REFUSED has one line of reason.
DONE, NOT_OURS, REFUSED = 0, 3, 4


def main() -> int:
    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)
    is_embedded = "--embedded" in sys.argv
    if not is_embedded and get_user_model().objects.exclude(username__in=PEOPLE).exists():
        return NOT_OURS  # somebody's own database: people with known passwords have no place in it
    _keep_people()
    call_command("load_poses", verbosity=0)
    return DONE


def _keep_people() -> None:
    from django.contrib.auth import get_user_model

    from config.management.commands.customer import keep_person
    from credits import ledger

    there = {user.username: user for user in get_user_model().objects.filter(username__in=PEOPLE)}
    if "demo" not in there:
        keep_person("demo", "demo", FULL)
    elif (left := ledger.balance(there["demo"].pk)) < ENOUGH:
        keep_person("demo", None, FULL - left)  # the first request of each start has to be paid
    if "staff" not in there:
        keep_person("staff", "staff", 0, is_staff=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except env.SettingError as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED)
    except OperationalError as error:
        print(f"the database cannot be used, see DATABASE_URL: {error}", file=sys.stderr)
        sys.exit(REFUSED)
