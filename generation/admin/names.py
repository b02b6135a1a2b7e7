"""What a row's words look like to staff: provider names by permission, colours of states."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from generation.models import ItemStatus, Outcome, RequestStatus
from providers import registry

SEE_NAMES = "providers.see_provider_names"

# Unfold's colours of labels; the word itself always stands on the label too.
ITEM_COLOURS: dict[str, str] = {
    ItemStatus.QUEUED.label: "default",
    ItemStatus.HELD.label: "warning",
    ItemStatus.RUNNING.label: "info",
    ItemStatus.WAITING.label: "info",
    ItemStatus.SUCCEEDED.label: "success",
    ItemStatus.FAILED.label: "danger",
    ItemStatus.CANCELLED.label: "default",
}
REQUEST_COLOURS: dict[str, str] = {
    RequestStatus.QUEUED.label: "default",
    RequestStatus.RUNNING.label: "info",
    RequestStatus.COMPLETED.label: "success",
    RequestStatus.FAILED.label: "danger",
    RequestStatus.CANCELLED.label: "default",
}
OUTCOME_COLOURS: dict[str, str] = {
    "in flight": "info",
    Outcome.MADE.label: "success",
    Outcome.ADOPTED.label: "success",
    Outcome.FAILED.label: "danger",
    Outcome.LIMITED.label: "warning",
    Outcome.PASSED_ON.label: "warning",
    Outcome.LOST.label: "danger",
    Outcome.LATE.label: "warning",
    Outcome.NOT_SENT.label: "default",
}


def provider_name(alias: str, user: AbstractBaseUser | AnonymousUser) -> str:
    """The alias; for staff who may see it, the vendor's own name beside it."""
    if not alias or not user.has_perm(SEE_NAMES):  # type: ignore[union-attr]
        return alias or "internal"
    try:
        return f"{registry.real_name(alias)} ({alias})" if alias != registry.INTERNAL else alias
    except KeyError:
        return alias
