"""Whom or what a staff act, an approval or a line of the ledger is about: `item:172` by the item's own name.

A subject is `kind:key`, the kind a table's name. Must know no app: tables are found among the console's rooms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import models
from django.urls import reverse
from django.utils.html import format_html


def linked(subject: str) -> str:
    return named([subject])[subject]


def named(subjects: Iterable[str]) -> dict[str, str]:
    """Name each with a link to its page; what is no row, or is gone, stands as it is. One query per kind."""
    found = {subject: subject for subject in subjects}
    keys: dict[str, dict[Any, str]] = defaultdict(dict)
    rooms = {model._meta.model_name: room for model, room in admin.site._registry.items()}
    for subject in found:
        kind, _, key = subject.partition(":")
        if kind in rooms and (pk := _key(rooms[kind].model, key)) is not None:
            keys[kind][pk] = subject
    for kind, wanted in keys.items():
        room = rooms[kind]
        related = room.list_select_related
        rows = room.model._default_manager.filter(pk__in=wanted)
        for row in rows.select_related(*related) if isinstance(related, list | tuple) else rows:
            address = reverse(f"admin:{room.opts.app_label}_{room.opts.model_name}_change", args=[row.pk])
            found[wanted[row.pk]] = format_html('<a href="{}">{} {}</a>', address, room.opts.verbose_name, row)
    return found


def _key(model: type[models.Model], key: str) -> Any:
    """The primary key that is written so; None where none can be."""
    try:
        return model._meta.pk.to_python(key) if key else None
    except ValidationError:
        return None
