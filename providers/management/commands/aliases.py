"""Print who is behind the aliases. Confidential: see docs/confidential/providers.md."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand

from providers import registry

# Where rows name a provider or its lane: as the whole text, after a colon, or as a word in a document.
TEXTS = (
    ("credits_price", "provider"),
    ("generation_attempt", "provider"),
    ("generation_attempt", "lane"),
    ("generation_item", "lane"),
    ("providers_lane", "alias"),
    ("providers_lane", "name"),
)
SUBJECTS = (("config_staffact", "subject"),)
DOCUMENTS = (
    ("config_idempotency", "body"),
    ("config_staffact", "outcome"),
    ("generation_event", "data"),
    ("generation_item", "params"),
    ("generation_item", "results"),
    ("generation_item", "steps"),
    ("generation_request", "params"),
)

OPENING = """\
-- Writes the real names of providers into an exported copy of the database. Confidential from then on.
-- PGOPTIONS='-c atelier.is_copy=yes' psql --single-transaction -v ON_ERROR_STOP=1 -f this.sql the_copy
DO $$ BEGIN
    IF current_setting('atelier.is_copy', true) IS DISTINCT FROM 'yes' THEN
        RAISE EXCEPTION 'this is for a copy: a desk whose rows name no alias cannot work';
    END IF;
END $$;
CREATE TEMPORARY TABLE real_names (alias text PRIMARY KEY, name text NOT NULL);
"""
DOCUMENT = """\
CREATE FUNCTION pg_temp.named(said text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE one record;
BEGIN
    FOR one IN SELECT * FROM pg_temp.real_names LOOP
        said := replace(said, to_json(one.alias)::text, to_json(one.name)::text);
    END LOOP;
    RETURN said::jsonb;
END $$;
"""


class Command(BaseCommand):
    help = "Print which provider is behind which alias."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--sql", action="store_true", help="the statements that write real names into an exported copy"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        for line in statements() if options["sql"] else rows():
            self.stdout.write(line)


def rows() -> Iterator[str]:
    yield f"{'alias':<12} {'provider':<14} {'accepted in requests as':<32} {'lanes':<30} adapter"
    for vendor in registry.VENDORS:
        names = ", ".join((*vendor.names, vendor.alias))
        lanes = ", ".join(dict.fromkeys((vendor.lane or vendor.alias, *vendor.lanes.values())))
        yield f"{vendor.alias:<12} {vendor.names[0]:<14} {names:<32} {lanes:<30} {vendor.adapter or '-'}"


def statements() -> Iterator[str]:
    yield OPENING
    pairs = ", ".join(f"('{alias}', '{name}')" for alias, name in named().items())
    yield f"INSERT INTO real_names VALUES {pairs};"  # noqa: S608 nothing but words of the code stand in these
    for table, column in TEXTS:
        yield f"UPDATE {table} SET {column} = a.name FROM real_names a WHERE {table}.{column} = a.alias;"  # noqa: S608
    for table, column in SUBJECTS:
        kind, about = f"split_part({column}, ':', 1)", f"split_part({column}, ':', 2)"
        yield f"UPDATE {table} SET {column} = {kind} || ':' || a.name FROM real_names a WHERE {about} = a.alias;"  # noqa: S608
    yield DOCUMENT
    for table, column in DOCUMENTS:
        text = f"{column}::text"
        yield f"UPDATE {table} SET {column} = pg_temp.named({text}) WHERE {text} LIKE '%\"provider_%';"  # noqa: S608


def named() -> dict[str, str]:
    """What each alias, and each lane called after one, is called in the copy."""
    found = {vendor.alias: vendor.names[0] for vendor in registry.VENDORS}
    for vendor in registry.VENDORS:
        for lane in (vendor.lane, *vendor.lanes.values()):
            if lane.startswith(vendor.alias):
                found[lane] = lane.replace(vendor.alias, vendor.names[0], 1)
    return found
