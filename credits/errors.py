"""What the credit room refuses, each with the answer that an API gives for it.

    CreditsError
    ├── InsufficientCredits    402  the account has less than the request needs
    ├── QuotaExhausted         403  the unlimited tier's units of that day are used up
    └── OperationUnavailable   503  no active price: refused, never free

`api_status`, `api_code` and `api_extra` are read by whoever renders errors; nothing is changed when
one of these is raised.
"""

from __future__ import annotations

from typing import Any


class CreditsError(Exception):
    """A refusal whose text may be shown to the customer."""

    api_status = 500
    api_code = "INTERNAL_ERROR"

    @property
    def api_extra(self) -> dict[str, Any]:
        return {}


class _NotEnough(CreditsError):
    def __init__(self, text: str, required: int, available: int) -> None:
        super().__init__(text)
        self.required = required
        self.available = available

    @property
    def api_extra(self) -> dict[str, Any]:
        return {"required": self.required, "available": self.available}


class InsufficientCredits(_NotEnough):
    api_status = 402
    api_code = "INSUFFICIENT_CREDITS"

    def __init__(self, required: int, available: int) -> None:
        text = f"Not enough credits: this request needs {required}, the account has {available}."
        super().__init__(text, required, available)


class QuotaExhausted(_NotEnough):
    api_status = 403
    api_code = "INSUFFICIENT_QUOTA"

    def __init__(self, required: int, available: int) -> None:
        text = f"Not enough of today's quota: this request needs {required}, {available} are left until tomorrow."
        super().__init__(text, required, available)


class OperationUnavailable(CreditsError):
    """`key` is the operation key without an active price; staff read it in the log, customers do not."""

    api_status = 503
    api_code = "OPERATION_UNAVAILABLE"

    def __init__(self, key: str) -> None:
        super().__init__("This operation is not offered at the moment. Nothing was charged.")
        self.key = key
