"""`config.times` for templates: `{{ act.at|when }}`, `{{ event.at|clock }}`."""

from __future__ import annotations

from django import template

from config import times

register = template.Library()

for spell in (times.when, times.when_in_full, times.due, times.clock):
    register.filter(spell.__name__, spell)
