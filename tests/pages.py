"""Work for pages to show: requests with items that have ended or wait, pictures and all, without any vendor."""

from __future__ import annotations

import hashlib
import io
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

from django.utils import timezone

from config.models import User
from generation import engine, storage
from generation.models import Asset, AssetKind, Attempt, Item, ItemStatus, Outcome, Request, RequestStatus, Stage
from tests.generation.support import make_plan, picture

# What strangers may put into every text they control.
NASTY = (
    "<script>window.pwned = 1</script>",
    '"><img src=x onerror="window.pwned=1">',
    "'><svg/onload=window.pwned=1>",
    "{{ 7|add:7 }} {% csrf_token %}",
    "</textarea></title><script>window.pwned=1</script>",
    "javascript:window.pwned=1",
)


def submit(owner: User, items: int = 1, *, prompt: str = "a lighthouse on a cliff", **wishes: Any) -> Request:
    return engine.submit(make_plan(owner, items, prompt=prompt, params={"type": "illustration"}, **wishes))


def finish(request: Request) -> Request:
    """Let every item of a request have succeeded: a call that was made, a picture and its thumbnail."""
    now = timezone.now()
    for item in request.items.all():
        for kind in (AssetKind.IMAGE, AssetKind.THUMBNAIL):
            _keep(item, kind)
        Attempt.objects.create(
            item=item,
            step=0,
            fence=1,
            lane="provider_d",
            provider="provider_d",
            model="main",
            operation="text-to-image",
            stage=Stage.SETTLED,
            outcome=Outcome.MADE,
            cost_usd="0.07",
            started_at=now - timedelta(seconds=3),
            ended_at=now,
        )
    request.items.update(status=ItemStatus.SUCCEEDED, progress=100, started_at=now, finished_at=now)
    Request.objects.filter(pk=request.pk).update(status=RequestStatus.COMPLETED, started_at=now, finished_at=now)
    request.refresh_from_db()
    return request


def _keep(item: Item, kind: AssetKind) -> None:
    body = picture(size=(16, 12))
    key = storage.work_key(item, kind, 1, "png")
    storage.save(key, io.BytesIO(body))
    Asset.objects.create(
        owner_id=item.owner_id,
        request_id=item.request_id,
        item=item,
        kind=kind,
        key=key,
        content_type="image/png",
        size_bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        width=16,
        height=12,
        created_at=timezone.now(),
    )


class _Live(HTMLParser):
    """Collects what a browser would run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_script = tag == "script"
        for name, value in attrs:
            if (name.startswith("on") and "pwned" in (value or "")) or (
                name in ("href", "src", "action", "formaction") and (value or "").startswith("javascript:")
            ):
                self.found.append(f"{tag} {name}={value}")
        if tag in ("img", "svg") and dict(attrs).get("src") == "x":
            self.found.append(tag)

    def handle_data(self, data: str) -> None:
        if self._in_script and "pwned" in data:
            self.found.append(f"script: {data}")


def live_nodes(html: str) -> list[str]:
    """List what of the nasty texts a browser would run on this page; empty when all are inert."""
    parser = _Live()
    parser.feed(html)
    return parser.found
