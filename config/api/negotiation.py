"""Refuses nobody for what it says it reads: the source systems never looked at `Accept` either."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class FirstUnlessAsked(DefaultContentNegotiation):
    """`Accept` and `?format=` choose among several forms of an answer; else it is the view's first: JSON."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[Any, ...]:
        known = list(renderers)
        first = known[0], str(known[0].media_type)
        if len(known) == 1:
            return first
        try:
            return tuple(super().select_renderer(request, known, format_suffix))
        except NotAcceptable:
            return first
