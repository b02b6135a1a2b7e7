"""How every room of the console shows its fields, whatever its table: in lists and on a row's own page.

Each is called by the name that people know and spelled by its kind (`config.spelling`); a moment stands as how long
ago it was (`config.times`), a figure below the others of its column. A room marks a method that spells a figure with
`@figure`. On a page that may only be looked at, what is empty is named in one line at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.contrib.admin import display
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.forms import Media
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.text import capfirst
from unfold.admin import ModelAdmin
from unfold.utils import display_for_field

from config import spelling, times

Spelled = Callable[[Any], Any]
_Method = TypeVar("_Method", bound=Callable[..., Any])

SLUG_SCRIPTS = ("urlify.js", "prepopulate.js", "xregexp.js", "xregexp.min.js")
FIGURES = (models.IntegerField, models.DecimalField, models.FloatField)
EMPTY: tuple[Any, ...] = (None, "", [], {})


def figure(method: _Method) -> _Method:
    """Mark a column's method: what it spells is a figure, or begins with one."""
    method.is_figure = True  # type: ignore[attr-defined]
    return method


class SpelledAdmin(ModelAdmin):
    """The ground of all rooms. Django takes a callable for a column as well as a name; these are put in for names."""

    empty_value_display = "–"

    @property
    def media(self) -> Media:
        """Django's scripts without those that spell slugs while one types, which no room needs: they weigh more than
        all others, and a page shows nothing before it has read them."""
        usual = super().media
        return Media(css=usual._css, js=[script for script in usual._js if not script.endswith(SLUG_SCRIPTS)])

    def get_list_display(self, request: HttpRequest) -> Any:
        return [self._columns.get(name, name) for name in super().get_list_display(request)]

    def get_list_display_links(self, request: HttpRequest, list_display: Any) -> Any:
        links = super().get_list_display_links(request, list_display)
        return links and [self._columns.get(name, name) for name in links]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [self._facts.get(name, name) for name in super().get_readonly_fields(request, obj)]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fixed, fieldsets = self._fixed(request, obj), super().get_fieldsets(request, obj)
        if fixed is self._facts and obj is not None:
            fieldsets = self._without_empties(fieldsets, obj)
        return [(title, {**options, "fields": _put_in(options["fields"], fixed)}) for title, options in fieldsets]

    def formfield_for_dbfield(self, db_field: models.Field, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_dbfield(db_field, request, **{"label": spelling.heading(db_field), **kwargs})

    def _without_empties(self, fieldsets: Any, row: Any) -> list[Any]:
        """Leave out what is empty, and say so in one line."""
        fields = {field.name: field for field in self.opts.fields}
        empty = {
            name: spelling.heading(fields[name])
            for name in flatten_fieldsets(fieldsets)
            if name in fields and getattr(row, fields[name].attname) in EMPTY
        }
        kept = [(title, {**options, "fields": _left(options["fields"], empty)}) for title, options in fieldsets]
        if empty and kept:
            words = capfirst(", ".join(spelling.inside(word) for word in empty.values()))

            @display(description="Empty")
            def empties(row: Any) -> str:
                return words

            kept[-1][1]["fields"].append(empties)
        return kept

    @cached_property
    def _columns(self) -> dict[Any, Spelled]:
        """Made once: whether a column can be sorted is decided by whether it is the same one."""
        return {name: column for name in self.list_display if (column := self._column(name))}

    @cached_property
    def _facts(self) -> dict[Any, Spelled]:
        return {field.name: _spell(field, _on_page(field)) for field in self.opts.fields}

    def _column(self, name: Any) -> Spelled | None:
        """What to put in for a column, if anything."""
        try:
            field = self.opts.get_field(name)
        except FieldDoesNotExist:
            method = getattr(self, name)
            return _named(method, f"{name} is-number") if getattr(method, "is_figure", False) else None
        spelled = _spell(field, _in_list(field))
        return _named(spelled, f"{name} is-number") if isinstance(field, FIGURES) and not field.choices else spelled

    def _fixed(self, request: HttpRequest, obj: Any) -> dict[Any, Spelled]:
        """The fields that cannot be changed here: all of them for who may only look."""
        if obj is not None and not self.has_change_permission(request, obj):
            return self._facts
        fixed = self.get_readonly_fields(request, obj)
        return {name: fact for name, fact in self._facts.items() if fact in fixed}


def _spell(field: models.Field, spell: Callable[[Any], Any]) -> Spelled:
    @display(description=spelling.heading(field), ordering=field.name, boolean=isinstance(field, models.BooleanField))
    def spelled(row: Any) -> Any:
        value = getattr(row, field.name)
        return SpelledAdmin.empty_value_display if value in EMPTY else spell(value)

    return _named(spelled, field.name)


def _named(spelled: Any, name: str) -> Spelled:
    """Give a column its name, by which cell and heading are told in style sheets: more words are more classes."""

    def column(row: Any) -> Any:
        return spelled(row)

    column.__dict__ |= spelled.__dict__
    column.__name__ = name
    return column


def _in_list(field: models.Field) -> Callable[[Any], Any]:
    if isinstance(field, models.DateTimeField):
        return times.when
    if isinstance(field, models.JSONField):
        return spelling.said
    return _plain(field)


def _on_page(field: models.Field) -> Callable[[Any], Any]:
    if isinstance(field, models.DateTimeField):
        return times.when_in_full
    if isinstance(field, models.JSONField):
        return spelling.listed
    return link if isinstance(field, models.ForeignKey) else _plain(field)


def _plain(field: models.Field) -> Callable[[Any], Any]:
    if isinstance(field, models.ForeignKey | models.BooleanField):
        return lambda value: value
    if isinstance(field, models.DecimalField) and field.name.endswith("_usd"):
        return spelling.usd
    known = {"size_bytes": spelling.size, "duration_ms": spelling.lasted}
    return known.get(field.name) or (lambda value: display_for_field(value, field, SpelledAdmin.empty_value_display))


def link(row: models.Model) -> Any:
    """A row of another table, with a link where it has a room."""
    try:
        address = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    except NoReverseMatch:
        return row
    return format_html('<a href="{}">{}</a>', address, row)


def _left(fields: Sequence[Any], empty: Any) -> list[Any]:
    lines = [_left(one, empty) if isinstance(one, list | tuple) else one for one in fields]
    return [one for one in lines if one != [] and (isinstance(one, list) or one not in empty)]


def _put_in(fields: Sequence[Any], known: dict[Any, Spelled]) -> list[Any]:
    """Fields may stand on one line, as a tuple of their own."""
    return [_put_in(one, known) if isinstance(one, list | tuple) else known.get(one, one) for one in fields]
