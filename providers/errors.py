"""What can go wrong with a provider. An error carries the decision; nobody reads its text to decide.

    ProviderError            code, retryable, refundable, ours, cannot …
    ├── RateLimited          RATE_LIMITED         no room now; retry later, costs no start
    ├── NetworkError         NETWORK_ERROR        the request was never processed; retry, no loss
    ├── AnswerLost           NETWORK_ERROR/TIMEOUT  it went out and its answer is gone: a loss
    ├── ProviderTimeout      TIMEOUT              the vendor gave up, or a question went unanswered
    ├── Unavailable          SERVICE_UNAVAILABLE  the vendor is broken or overloaded; retry
    ├── Refused              INVALID_INPUT        the vendor does not take this input
    ├── ContentRejected      CONTENT_REJECTED     the vendor's filter
    ├── BadAnswer            INVALID_IMAGE        it answered, but not with what was asked; one retry
    ├── ModelGone            SERVICE_UNAVAILABLE  cannot: the model is removed; the next candidate may
    ├── OurKeyRefused        PROVIDER_AUTH        ours, cannot: revoked key, missing permission
    ├── OurAccountEmpty      PROVIDER_CREDIT      ours, cannot: no money left at the vendor
    └── Misconfigured        SERVICE_UNAVAILABLE  ours, cannot: a setting that must not be used

A subclass fixes the decision, so raising one takes only facts: `RateLimited(retry_after_s=20)`.
`message` is for customers: no vendor, host, key or vendor's text. `detail` is for staff.
"""

from __future__ import annotations


class ProviderError(Exception):
    """A provider did not make it.

    code: stable word for the customer (visual-generation contract, section 4).
    retryable: the same request may be sent again. refundable: who got nothing pays nothing.
    ours: our key, account or setting; never blames or bills the customer, closes the lane.
    cannot: this candidate cannot, the next one may; costs no start.
    retry_after_s: not sooner than this, already clamped to 1-300. http_status: as the vendor sent it.
    unclassified: no rule matched, so a door may apply its own (the text rule).
    ask_again: raised while asking about a call that is still at the vendor: keep it, ask later. False: the
    call itself ended so. None until `Provider.send` decides it.
    """

    is_loss = False  # the paid call's answer is gone and cannot be looked up
    costs_start = True
    retry_once = False  # worth one more try although not retryable in general

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool,
        refundable: bool = True,
        ours: bool = False,
        cannot: bool = False,
        retry_after_s: float | None = None,
        http_status: int | None = None,
        unclassified: bool = False,
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.refundable = refundable
        self.ours = ours
        self.cannot = cannot
        self.retry_after_s = retry_after_s
        self.http_status = http_status
        self.unclassified = unclassified
        self.detail = detail.replace("\0", "")  # of a binary answer: the database takes no NUL
        self.ask_again: bool | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code}, http_status={self.http_status}, detail={self.detail!r})"


class _Decided(ProviderError):
    """A class of errors whose decision is fixed; an instance brings only its facts."""

    CODE = "UNKNOWN_ERROR"
    MESSAGE = "The provider could not make this."
    RETRYABLE = False
    OURS = False
    CANNOT = False

    def __init__(
        self,
        message: str = "",
        *,
        code: str = "",
        retry_after_s: float | None = None,
        http_status: int | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(
            code or self.CODE,
            message or self.MESSAGE,
            retryable=self.RETRYABLE,
            ours=self.OURS,
            cannot=self.CANNOT,
            retry_after_s=retry_after_s,
            http_status=http_status,
            detail=detail,
        )


class RateLimited(_Decided):
    """The vendor, or our own window, has no room now."""

    CODE, MESSAGE, RETRYABLE = "RATE_LIMITED", "The provider is busy; this is tried again shortly.", True
    costs_start = False


class NetworkError(_Decided):
    """It failed before the vendor can have processed it: name not resolved, connection refused."""

    CODE, MESSAGE, RETRYABLE = "NETWORK_ERROR", "The provider could not be reached.", True


class AnswerLost(_Decided):
    """It was sent, may have been made and billed, and its answer will never come."""

    CODE, MESSAGE, RETRYABLE = "NETWORK_ERROR", "The provider's answer did not arrive.", True
    is_loss = True


class ProviderTimeout(_Decided):
    CODE, MESSAGE, RETRYABLE = "TIMEOUT", "The provider took too long.", True


class Unavailable(_Decided):
    CODE, MESSAGE, RETRYABLE = "SERVICE_UNAVAILABLE", "The provider is temporarily unavailable.", True


class Refused(_Decided):
    CODE, MESSAGE = "INVALID_INPUT", "The provider does not accept this input."


class ContentRejected(_Decided):
    CODE, MESSAGE = "CONTENT_REJECTED", "The provider's content filter refused this request."


class BadAnswer(_Decided):
    """A 200 with something else in it: HTML, half a picture, too few pictures, too many bytes."""

    CODE, MESSAGE = "INVALID_IMAGE", "The provider's answer was not a usable file."
    retry_once = True


class ModelGone(_Decided):
    CODE, MESSAGE, CANNOT = "SERVICE_UNAVAILABLE", "This model is not available at present.", True


class OurKeyRefused(_Decided):
    CODE, MESSAGE, OURS, CANNOT = "PROVIDER_AUTH", "The provider is not available at present.", True, True


class OurAccountEmpty(_Decided):
    CODE, MESSAGE, OURS, CANNOT = "PROVIDER_CREDIT", "The provider is not available at present.", True, True


class Misconfigured(_Decided):
    CODE, MESSAGE, OURS, CANNOT = "SERVICE_UNAVAILABLE", "The provider is not available at present.", True, True
