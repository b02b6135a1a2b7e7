"""A customer's credits over HTTP, in the words of the source systems."""

from __future__ import annotations

from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command
from rest_framework.test import APIClient

import config.api.schema  # noqa: F401  how the token is described
from config.models import User
from credits import ledger
from credits.models import Price

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(alice: User) -> APIClient:
    """Alice's."""
    client = APIClient()
    client.force_authenticate(alice)
    return client


def test_the_balance_satisfies_both_kinds_of_client(client: APIClient, alice: User) -> None:
    ledger.charge(alice.pk, 28, reference="r:1", subject="request:1", operation_key="visual_cover", description="…")
    ledger.purchase(alice.pk, 400, reference="invoice:1", description="Hobbyist")

    answer = client.get("/api/credits/balance")

    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "data": {"balance": 472},
        "balance": 472,
        "credits_balance": 472,
        "subscription_tier": "free",
        "total_credits_purchased": 400,
        "total_credits_earned": 100,
    }


def test_the_first_look_at_the_balance_opens_the_account() -> None:
    client = APIClient()
    client.force_authenticate(User.objects.create(username="new"))

    assert client.get("/api/credits/balance").json()["balance"] == 30


def test_history_has_every_column_and_its_camel_case_twin(client: APIClient, alice: User) -> None:
    entry = ledger.charge(
        alice.pk,
        12,
        reference="request:9b0e:0",
        subject="request:9b0e",
        operation_key="visual_cover",
        description="One cover",
        cost_usd=Decimal("0.04"),
        metadata={"task_id": "task-7"},
    )
    assert entry is not None

    row = client.get("/api/credits/history").json()[0]

    when = entry.created_at.isoformat().replace("+00:00", "Z")
    assert row == {
        "id": str(entry.pk),
        "user_id": str(alice.pk),
        "transaction_type": "usage",
        "credits_amount": -12,
        "operation_type": "visual_cover",
        "operation_cost_usd": 0.04,
        "task_id": "task-7",
        "request_id": "9b0e",
        "description": "One cover",
        "metadata": {"task_id": "task-7"},
        "balance_after": 88,
        "created_at": when,
        "amount": -12,
        "balance": 88,
        "type": "usage",
        "referenceId": "9b0e",
        "referenceType": "request",
        "createdAt": when,
    }


def test_a_refund_of_an_item_is_linked_to_its_request(client: APIClient, alice: User) -> None:
    ledger.refund(
        alice.pk,
        30,
        reference="item:5:0:generate",
        subject="item:5",
        operation_key="pose_generation",
        description="pose_generation",
        metadata={"request_id": "g-1", "reference_id": "g-1", "reference_type": "pose_generation"},
    )

    row = client.get("/api/credits/history").json()[0]

    assert (row["request_id"], row["referenceId"], row["referenceType"]) == ("g-1", "g-1", "pose_generation")


def test_each_kind_has_its_words(client: APIClient, alice: User) -> None:
    ledger.purchase(alice.pk, 5, reference="p", description="…")
    ledger.charge(alice.pk, 5, reference="c", subject="", operation_key="", description="…")
    ledger.refund(alice.pk, 5, reference="r", subject="", operation_key="", description="…")
    ledger.adjust(alice.pk, 5, reference="up", description="…", actor="stella")
    ledger.adjust(alice.pk, -5, reference="down", description="…", actor="stella")

    rows = client.get("/api/credits/history").json()

    assert [(row["transaction_type"], row["type"], row["amount"]) for row in rows] == [
        ("usage", "usage", -5),
        ("grant", "bonus", 5),
        ("refund", "refund", 5),
        ("usage", "usage", -5),
        ("purchase", "purchase", 5),
        ("grant", "bonus", 100),
    ]
    assert "stella" not in str(rows)


def test_history_is_paged_and_says_how_much_there_is(client: APIClient, alice: User) -> None:
    for number in range(4):
        ledger.grant(alice.pk, 1, reference=f"g:{number}", description=f"gift {number}")

    answer = client.get("/api/credits/history?limit=2&offset=1")

    assert [row["description"] for row in answer.json()] == ["gift 2", "gift 1"]
    assert answer["X-Total-Count"] == "5"


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=many", "offset=-1", f"offset={2**64}"])
def test_a_page_that_cannot_be_is_refused(client: APIClient, query: str) -> None:
    answer = client.get(f"/api/credits/history?{query}")

    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_ERROR")
    assert answer.json()["errors"][0]["field"] == query.partition("=")[0]


def test_bob_sees_his_own_history_only(alice: User, bob: User) -> None:
    ledger.grant(alice.pk, 1, reference="g", description="For Alice")
    client = APIClient()
    client.force_authenticate(bob)

    assert [row["user_id"] for row in client.get("/api/credits/history").json()] == [str(bob.pk)]


def test_prices_show_what_is_on_offer_without_dollars(client: APIClient) -> None:
    Price.objects.exclude(operation_key="visual_cover").delete()
    Price.objects.create(operation_key="upscale", operation_name="Upscale", credits_cost=2, is_active=False)
    Price.objects.create(
        operation_key="text_to_image_core", operation_name="Text to image", provider="provider_a", credits_cost=2
    )

    assert client.get("/api/credits/prices").json() == [
        {
            "operation_key": "text_to_image_core",
            "operation_name": "Text to image",
            "provider": "provider_a",
            "model": None,
            "credits_cost": 2,
        },
        {
            "operation_key": "visual_cover",
            "operation_name": "Cover",
            "provider": None,
            "model": None,
            "credits_cost": 1,
        },
    ]


@pytest.mark.parametrize("route", ["balance", "history", "prices"])
def test_credits_are_only_read_here(client: APIClient, route: str) -> None:
    assert client.post(f"/api/credits/{route}", {"amount": 1000}, format="json").status_code == 405


def test_the_routes_are_described_without_a_warning() -> None:
    schema = StringIO()

    call_command("spectacular", "--validate", "--fail-on-warn", urlconf="credits.urls", stdout=schema)

    assert "X-Total-Count" in schema.getvalue()
