"""`manage.py customer`: make a person with a balance, or top one up."""

from __future__ import annotations

import uuid
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from config.models import User
from credits import ledger


class Command(BaseCommand):
    help = "Make a person with a balance of exactly N credits, or give N more to one who is there."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--password", help="needed for a new person; changes the password of one who is there")
        parser.add_argument("--credits", type=int, default=0, metavar="N")
        parser.add_argument("--staff", action="store_true", help="may enter the console and do everything there")

    def handle(self, *args: Any, **options: Any) -> None:
        amount: int = options["credits"]
        if amount < 0:
            raise CommandError("--credits must be 0 or more: this command gives credits, it takes none")
        user, is_new = keep_person(options["name"], options["password"], amount, is_staff=options["staff"])
        verb = "Made" if is_new else "Found"
        self.stdout.write(f"{verb} {user.get_username()}, who has {ledger.balance(user.pk)} credits now.")


@transaction.atomic
def keep_person(name: str, password: str | None, credits: int, *, is_staff: bool = False) -> tuple[User, bool]:
    """Make the person with exactly these credits, or top up. Returns the person and whether they are new."""
    user: User | None = get_user_model().objects.select_for_update().filter(username=name).first()
    is_new = user is None
    if user is None:
        if not password:
            raise CommandError(f"there is no {name} yet: give --password to make one")
        user = get_user_model().objects.create_user(username=name, password=password)
        ledger.open_account(user, signup_grant=False)
    elif password:
        user.set_password(password)
    if is_staff:
        user.is_staff = user.is_superuser = True
    user.save()
    if credits:
        ledger.grant(
            user.pk,
            credits,
            reference=f"command:{uuid.uuid4()}",
            description="Credits given by the operator",
            actor="manage.py customer",
        )
    return user, is_new
