"""How every room of the console shows moments and figures, whatever its table: in lists and on a row's own page.

A moment stands as how long ago it was (`config.times`), a figure below the others of its column. Columns of the table
are known by their kind; a room marks a method that spells a figure with `@figure`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.contrib.admin import display
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin
from unfold.utils import display_for_field

from config import times

Spelled = Callable[[Any], Any]
_Method = TypeVar("_Method", bound=Callable[..., Any])

FIGURES = (models.IntegerField, models.DecimalField, models.FloatField)


def figure(method: _Method) -> _Method:
    """Mark a column's method: what it spells is a figure, or begins with one."""
    method.is_figure = True  # type: ignore[attr-defined]
    return method


class SpelledAdmin(ModelAdmin):
    """The ground of all rooms. Django takes a callable for a column as well as a name; these are put in for names."""

    empty_value_display = "–"

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return [self._columns.get(name, name) for name in super().get_list_display(request)]

    def get_list_display_links(self, request: HttpRequest, list_display: Sequence[Any]) -> Any:
        links = super().get_list_display_links(request, list_display)
        return links and [self._columns.get(name, name) for name in links]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [self._facts.get(name, name) for name in super().get_readonly_fields(request, obj)]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        fixed = self._fixed(request, obj)
        return [
            (title, {**options, "fields": _put_in(options["fields"], fixed)})
            for title, options in super().get_fieldsets(request, obj)
        ]

    @cached_property
    def _columns(self) -> dict[Any, Spelled]:
        """Made once: whether a column can be sorted is decided by whether it is the same one."""
        return {name: column for name in self.list_display if (column := self._column(name))}

    @cached_property
    def _facts(self) -> dict[Any, Spelled]:
        moments = [field for field in self.opts.fields if isinstance(field, models.DateTimeField)]
        return {field.name: _spell(field, times.when_in_full) for field in moments}

    def _column(self, name: Any) -> Spelled | None:
        """What to put in for a column, if anything."""
        try:
            field = self.opts.get_field(name)
        except FieldDoesNotExist:
            method = getattr(self, name)
            return _named(method, f"{name} is-number") if getattr(method, "is_figure", False) else None
        if isinstance(field, models.DateTimeField):
            return _spell(field, times.when)
        if isinstance(field, FIGURES) and not field.choices:
            return _named(
                _spell(field, lambda value: display_for_field(value, field, "")),
                f"{name} is-number",
            )
        return None

    def _fixed(self, request: HttpRequest, obj: Any) -> dict[Any, Spelled]:
        """The moments that cannot be changed here: all of them for who may only look."""
        if obj is not None and not self.has_change_permission(request, obj):
            return self._facts
        fixed = self.get_readonly_fields(request, obj)
        return {name: fact for name, fact in self._facts.items() if fact in fixed}


def _spell(field: models.Field, spell: Callable[[Any], Any]) -> Spelled:
    @display(description=field.verbose_name, ordering=field.name)
    def spelled(row: Any) -> Any:
        value = getattr(row, field.name)
        return SpelledAdmin.empty_value_display if value is None else spell(value)

    return _named(spelled, field.name)


def _named(spelled: Any, name: str) -> Spelled:
    """Give a column its name, by which cell and heading are told in style sheets: more words are more classes."""

    def column(row: Any) -> Any:
        return spelled(row)

    column.__dict__ |= spelled.__dict__
    column.__name__ = name
    return column


def _put_in(fields: Sequence[Any], known: dict[Any, Spelled]) -> list[Any]:
    """Fields may stand on one line, as a tuple of their own."""
    return [_put_in(one, known) if isinstance(one, list | tuple) else known.get(one, one) for one in fields]
