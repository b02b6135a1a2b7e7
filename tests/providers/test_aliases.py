"""The map of aliases, and the export that writes real names into a copy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from config.models import Idempotency, StaffAct, User
from credits.models import Price
from generation import engine
from generation.models import Attempt, Item
from providers import registry
from providers.models import Lane
from tests.pages import finish, submit


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    call_command("aliases", *arguments)
    return capsys.readouterr().out


def rows_that_say_an_alias() -> list[str]:
    """Every text and document of the database in which an alias stands, but for what people wrote."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables"
            " USING (table_schema, table_name) WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
            " AND data_type IN ('text', 'jsonb', 'character varying') AND table_name NOT LIKE 'django_%%'"
        )
        found = []
        for table, column in cursor.fetchall():
            text = f'"{column}"::text'
            cursor.execute(f"SELECT {text} FROM {table} WHERE {text} ~ %s", [r"\yprovider_[a-z](\y|_)"])
            found += [f"{table}.{column}: {said}" for (said,) in cursor.fetchall() if column != "prompt"]
    return found


@pytest.fixture
def history(alice: User, stella: User) -> None:
    """A bit of everything that names a provider."""
    finish(submit(alice))
    Item.objects.update(
        prompt="a lighthouse by provider_a",
        params={"type": "illustration", "metadata": {"provider": "provider_g"}},
        results={"generate": {"provider": "provider_d", "model": "main"}},
    )
    submit(alice, 2)
    engine.pause("provider_c_refine", actor="stella", reason="because")
    StaffAct.objects.create(actor=stella, verb="pause", subject="lane:provider_c_refine", outcome={})
    Price.objects.create(operation_key="for_one_alone", provider="provider_b", credits_cost=1)
    answer = '{"provider": "provider_d"}'
    Idempotency.objects.create(
        owner=alice, method="POST", path="/", key="k" * 8, fingerprint="", status=200, body=answer
    )


def test_the_map_names_everybody(capsys: pytest.CaptureFixture[str]) -> None:
    told = printed(capsys)
    for vendor in registry.VENDORS:
        assert re.search(rf"^{vendor.alias} +{vendor.names[0]} ", told, re.MULTILINE)
    assert "provider_c_refine" in told


@pytest.mark.django_db
def test_a_copy_says_real_names_everywhere(history: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert rows_that_say_an_alias()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL atelier.is_copy = 'yes'")
        cursor.execute(printed(capsys, "--sql"))

    assert rows_that_say_an_alias() == []
    assert set(Attempt.objects.values_list("provider", "lane")) == {("openai", "openai")}
    assert Lane.objects.get(name="tripo_refine").alias == "tripo"
    assert StaffAct.objects.get().subject == "lane:tripo_refine"
    item = Item.objects.exclude(results={}).first()
    assert item is not None
    assert item.prompt == "a lighthouse by provider_a"
    assert (item.params["metadata"]["provider"], item.results["generate"]["provider"]) == ("huggingface", "openai")
    assert item.steps[0]["candidates"] == [{"provider": "openai", "model": "main"}]


@pytest.mark.django_db
def test_the_desk_itself_is_left_alone(history: None, capsys: pytest.CaptureFixture[str]) -> None:
    before = rows_that_say_an_alias()
    with pytest.raises(DatabaseError, match="for a copy"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(printed(capsys, "--sql"))
    assert rows_that_say_an_alias() == before


def test_the_page_about_it_names_everybody_and_stays_out_of_the_image() -> None:
    root = Path(settings.BASE_DIR)
    page = (root / "docs/confidential/providers.md").read_text()
    assert re.findall(r"^\| `(provider_\w)` ", page, re.MULTILINE) == [vendor.alias for vendor in registry.VENDORS]
    everything, *let_in = (root / ".dockerignore").read_text().split()
    assert everything == "*"
    assert not {"!docs", "!docs/", "!docs/confidential"} & set(let_in)
