"""Any order of postings, repeats and refusals against real PostgreSQL, beside a model of ten lines."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from hypothesis.stateful import run_state_machine_as_test as run

from config.models import User
from credits import ledger
from credits.errors import InsufficientCredits, QuotaExhausted
from credits.models import Account, Entry, Kind, QuotaDay

FIRST_DAY = date(2026, 3, 1)
QUOTA = 6
amounts = st.integers(1, 60)
owners = st.sampled_from(["alice", "bob"])


class Ledger(RuleBasedStateMachine):
    """Two customers; the model is a dictionary of posted lines and of used units."""

    posted = Bundle("posted")
    taken = Bundle("taken")

    @initialize()
    def open(self) -> None:
        self.number = 0
        self.lines: dict[str, list[tuple[Kind, int]]] = {"alice": [], "bob": []}
        self.used: dict[tuple[str, date], int] = {}
        self.ids: dict[str, Any] = {}
        for name in self.lines:
            user = User.objects.create(username=f"{name} {User.objects.count()}")
            self.ids[name] = user.pk
            ledger.open_account(user, signup_grant=name == "alice")
        self.lines["alice"].append((Kind.GRANT, 30))
        Account.objects.filter(pk__in=self.ids.values()).update(unlimited_active=True, unlimited_daily_quota=QUOTA)

    @rule(target=posted, owner=owners, amount=amounts)
    def grant(self, owner: str, amount: int) -> Any:
        return self.post(Kind.GRANT, owner, amount, self.new_reference())

    @rule(target=posted, owner=owners, amount=amounts)
    def purchase(self, owner: str, amount: int) -> Any:
        return self.post(Kind.PURCHASE, owner, amount, self.new_reference())

    @rule(target=posted, owner=owners, amount=amounts)
    def charge(self, owner: str, amount: int) -> Any:
        return self.post(Kind.CHARGE, owner, -amount, self.new_reference())

    @rule(target=posted, owner=owners, amount=amounts)
    def refund(self, owner: str, amount: int) -> Any:
        return self.post(Kind.REFUND, owner, amount, self.new_reference())

    @rule(target=posted, owner=owners, amount=amounts, is_up=st.booleans())
    def adjust(self, owner: str, amount: int, is_up: bool) -> Any:
        return self.post(Kind.ADJUST, owner, amount if is_up else -amount, self.new_reference())

    @rule(line=posted, owner=owners, amount=amounts)
    def repeat(self, line: tuple[Kind, str], owner: str, amount: int) -> None:
        """The same posting again, also with another amount or for somebody else, is no news."""
        kind, reference = line
        signed = -amount if kind is Kind.CHARGE else amount
        with transaction.atomic():
            assert self.call(kind, self.ids[owner], signed, reference) is None

    @rule(owner=owners, amount=amounts)
    def roll_back(self, owner: str, amount: int) -> None:
        with transaction.atomic():
            self.call(Kind.GRANT, self.ids[owner], amount, self.new_reference())
            transaction.set_rollback(True)

    @rule(target=taken, owner=owners, units=st.integers(1, QUOTA + 1), day=st.integers(0, 1))
    def take(self, owner: str, units: int, day: int) -> Any:
        key = (owner, FIRST_DAY + timedelta(days=day))
        left = QUOTA - self.used.get(key, 0)
        with transaction.atomic():
            if units > left:
                with pytest.raises(QuotaExhausted) as refusal:
                    ledger.take_quota(self.ids[owner], units, key[1])
                assert (refusal.value.required, refusal.value.available) == (units, left)
                return multiple()
            assert ledger.take_quota(self.ids[owner], units, key[1])
        self.used[key] = self.used.get(key, 0) + units
        return (*key, units)

    @rule(units_taken=consumes(taken))
    def give_back(self, units_taken: tuple[str, date, int]) -> None:
        owner, day, units = units_taken
        with transaction.atomic():
            assert ledger.give_back_quota(self.ids[owner], units, day)
        self.used[owner, day] -= units

    @invariant()
    def the_ledger_says_what_the_model_says(self) -> None:
        for name, owner_id in self.ids.items():
            lines = self.lines[name]
            account = Account.objects.get(pk=owner_id)
            assert account.balance == sum(amount for _, amount in lines)
            assert account.total_purchased == sum(amount for kind, amount in lines if kind is Kind.PURCHASE)
            assert account.total_earned == sum(amount for kind, amount in lines if kind is Kind.GRANT)
            stored = list(Entry.objects.filter(account=account).order_by("seq").values_list("seq", "kind", "amount"))
            assert stored == [(number, kind, amount) for number, (kind, amount) in enumerate(lines, start=1)]
        used = {
            (owner_id, day): used
            for owner_id, day, used in QuotaDay.objects.filter(account_id__in=self.ids.values()).values_list(
                "account_id", "day", "used"
            )
        }
        assert used == {(self.ids[owner], day): units for (owner, day), units in self.used.items()}

    def teardown(self) -> None:
        assert ledger.check() == []

    def post(self, kind: Kind, owner: str, amount: int, reference: str) -> Any:
        held = sum(signed for _, signed in self.lines[owner])
        with transaction.atomic():
            if held + amount < 0:
                with pytest.raises(InsufficientCredits) as refusal:
                    self.call(kind, self.ids[owner], amount, reference)
                assert (refusal.value.required, refusal.value.available) == (-amount, held)
                return multiple()
            entry = self.call(kind, self.ids[owner], amount, reference)
        assert entry is not None
        assert (entry.amount, entry.balance_after) == (amount, held + amount)
        self.lines[owner].append((kind, amount))
        return kind, reference

    def call(self, kind: Kind, owner_id: Any, amount: int, reference: str) -> Entry | None:
        if kind is Kind.GRANT:
            return ledger.grant(owner_id, amount, reference=reference, description="…")
        if kind is Kind.PURCHASE:
            return ledger.purchase(owner_id, amount, reference=reference, description="…")
        if kind is Kind.ADJUST:
            return ledger.adjust(owner_id, amount, reference=reference, description="…")
        verb = ledger.charge if kind is Kind.CHARGE else ledger.refund
        return verb(owner_id, abs(amount), reference=reference, subject="request:1", operation_key="k", description="…")

    def new_reference(self) -> str:
        self.number += 1
        return f"{self.ids['alice']}:{self.number}"


@pytest.mark.django_db(transaction=True)
def test_the_ledger_agrees_with_its_model() -> None:
    run(Ledger, settings=settings(max_examples=40, stateful_step_count=30, deadline=None, database=None))
