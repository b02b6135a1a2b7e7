"""The queue's page in the room of items: shows, refreshes itself, and hands chosen rows to the verbs."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

from config.staff import Verb, VerbAdmin
from generation.admin import bulk, queue
from generation.admin.names import provider_name
from generation.live.totals import DESK
from providers.models import Lane


class QueuePages(VerbAdmin):
    """Mixin of the items' room."""

    def get_urls(self) -> list[URLPattern]:
        view, act = self.admin_site.admin_view(self.queue_view), self.admin_site.admin_view(self.queue_act)
        return [
            path("queue/", view, name="generation_item_queue"),
            path("quarantine/", self.admin_site.admin_view(self.quarantine_view), name="generation_item_quarantine"),
            path("queue/act/", require_POST(act), name="generation_item_queue_act"),
            *super().get_urls(),
        ]

    def queue_view(self, request: HttpRequest) -> HttpResponse:
        """What waits and runs. `part=rows` asks for the table alone, as the page does to stay live."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = _form(request)
        chosen = form.chosen()
        page = request.GET.get("page", "")
        found = queue.read(chosen, int(page) if page.isdecimal() else 1)
        query = request.GET.copy()
        for name in ("page", "part"):
            query.pop(name, None)
        context = {
            "queue": found,
            "names": {row.provider: provider_name(row.provider, request.user) for row in found.rows},
            "chosen": chosen,
            "query": query.urlencode(),
        }
        if request.GET.get("part") == "rows":
            return TemplateResponse(request, "admin/queue_rows.html", context)
        lanes = [lane for lane in found.lanes if lane.name != DESK]
        context |= {
            **self.admin_site.each_context(request),
            "title": "Queue",
            "form": form,
            "queue_verbs": [verb for verb in self.allowed(request) if verb.name in bulk.VERBS],
            "lanes": lanes,
            "desk_lane": next((lane for lane in found.lanes if lane.name == DESK), None),
            "may_pause": request.user.has_perm("providers.pause_provider"),
            "act": reverse("admin:generation_item_queue_act") + f"?{query.urlencode()}",
        }
        return TemplateResponse(request, "admin/queue.html", context)

    def quarantine_view(self, request: HttpRequest) -> HttpResponse:
        """Items that three lost calls took out of the queue: the list of items, filtered by that."""
        request.GET = QueryDict(f"{request.GET.urlencode()}&quarantine=1".lstrip("&"))
        return self.changelist_view(
            request,
            {
                "title": "Quarantine",
                "subtitle": "Three lost calls took these out of the queue, refunded. Look, then retry or leave them.",
            },
        )

    def queue_act(self, request: HttpRequest) -> HttpResponse:
        """Ask about a verb for the chosen rows, or for everything that matches the filters."""
        verb = next((verb for verb in self.allowed(request) if verb.name == request.POST.get("verb")), None)
        if verb is None or verb.name not in bulk.VERBS:
            raise PermissionDenied
        form = _form(request)
        if request.POST.get("all"):
            return self._ask_about(request, verb, queue.matching(form.chosen()), form.said() or "everything open")
        if not request.POST.getlist("row"):
            messages.warning(request, "Nothing was chosen: tick rows first, or everything that matches.")
            return redirect(reverse("admin:generation_item_queue") + f"?{request.GET.urlencode()}")
        return self.ask(request, verb, self._rows(request, request.POST.getlist("row")))

    def ask_about_many(self, request: HttpRequest, verb: Verb, chosen: QuerySet) -> HttpResponse | None:
        if verb.name not in bulk.VERBS:
            return super().ask_about_many(request, verb, chosen)
        filters = ", ".join(f"{name} {value}" for name, value in request.GET.items())
        return self._ask_about(request, verb, [chosen.order_by("pk")], filters or "all items")

    def _ask_about(self, request: HttpRequest, verb: Verb, items: list[QuerySet], said: str) -> HttpResponse:
        kept = bulk.choose(verb, items, chosen=said, actor=request.user)  # type: ignore[arg-type]
        if not kept.total:
            kept.delete()
            messages.warning(request, "Nothing matches any more.")
            return redirect("admin:generation_item_queue")
        return redirect("admin:generation_bulk_ask", kept.pk)


def _form(request: HttpRequest) -> queue.QueueFilter:
    names = Lane.objects.exclude(name=DESK).values_list("name", flat=True)
    return queue.QueueFilter(request.GET, list(names))
