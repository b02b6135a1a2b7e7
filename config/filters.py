"""Filters that lists of any room may use."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date
from unfold.contrib.filters.admin import RangeDateFilter

from config.models import User


class DaysFilter(RangeDateFilter):
    """From a day to a day, both included, in the desk's own time. What is no day filters nothing."""

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        name = self.parameter_name
        begins, ends = (self._midnight(f"{name}_{end}") for end in ("from", "to"))
        if begins:
            queryset = queryset.filter(**{f"{name}__gte": begins})
        return queryset.filter(**{f"{name}__lt": ends + timedelta(days=1)}) if ends else queryset

    def _midnight(self, name: str) -> datetime | None:
        try:
            day = parse_date(self.used_parameters.get(name) or "")
        except ValueError:
            return None
        return timezone.make_aware(datetime.combine(day, time.min)) if day else None


class StaffFilter(admin.SimpleListFilter):
    """Who of the staff: a handful of people, so that the big table need not be asked for names."""

    title = "who"
    parameter_name = "who"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        people = User.objects.filter(is_staff=True).order_by("username")[:100]
        return [(str(one.pk), one.get_username()) for one in people]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        known = {pk for pk, _ in self.lookup_choices}
        return queryset.filter(actor=self.value()) if self.value() in known else queryset
