"""The template of a provider: a call goes in, `Made` or `Pending` comes out, or a ProviderError is raised.

    run     prepare -> send -> (complain) -> read
    poll    ask about a call that is parked at the vendor; overridden by asynchronous vendors only. `Ready` when
            that call was only the first of two: `run` makes the next one
    cancel  ask the vendor to stop; overridden where it can

An adapter overrides only what differs; each docstring says whether it is meant to be. Adapters hold no
state, so one instance serves all threads; they read settings at each call and never touch the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, BinaryIO, ClassVar, cast

from django.conf import settings

from providers import errors, fetch, secrets, sniff, transport, windows
from providers.errors import ProviderError
from providers.limits import Limits
from providers.spool import Spool
from providers.transport import Answer, Outgoing
from providers.wire import Deadline


@dataclass(frozen=True)
class Call:
    """What a step wants made.

    model: a model key (main, fast …). deadline_s: total, for the whole call. attempt_ref: for logs.
    resumes: the remote id of the call that was `Ready` and is followed by this one; its inputs hold no files.
    inputs for pictures: prompt, negative_prompt, width, height, aspect_ratio ("1:1" "3:4" "4:3" "9:16"
    "16:9"), seed, steps, guidance, quality; for edits also images (bytes each) and mask (bytes of a
    picture, white = change there). An adapter ignores what its model lacks and takes the nearest size.
    """

    operation: str
    model: str
    inputs: Mapping[str, Any]
    deadline_s: float
    attempt_ref: str
    resumes: str = ""


@dataclass(frozen=True)
class MadeFile:
    """One file. body: at its start, seekable, on disk when big; who takes it closes it.

    role: `result`, or `preview` for a picture that a vendor rendered of the model it made.
    """

    body: BinaryIO
    content_type: str
    size_bytes: int
    sha256: str
    role: str = "result"


@dataclass(frozen=True)
class Made:
    """The vendor made it. model: the model key. seed: None when the vendor has none or does not say."""

    files: tuple[MadeFile, ...]
    cost_usd: Decimal
    model: str
    seed: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pending:
    """The vendor is at it. remote_id: opaque, enough to poll and cancel. progress: 0-99, None unknown.

    When a remote id holds several words, the last is the one by which the vendor's webhooks name the call.
    A vendor's progress may fall; who shows it keeps the highest.
    soonest_s: of a vendor that may be asked sooner than every `poll_after_s`: never sooner than that, and when such
    calls usually end, so that quick models are not slowed down by a pace for slow ones.
    """

    remote_id: str
    poll_after_s: float
    progress: int | None = None
    soonest_s: float | None = None


@dataclass(frozen=True)
class Ready:
    """A parked call ended well, and the one that needs it may be made: `run` with `Call.resumes` = remote_id.

    Never made from a poll itself: two may ask at once, and a crash would hide whether it went out. The desk
    makes it under a claim, like every call that is paid for.
    """

    remote_id: str


class Provider:
    """One vendor. See adapters/README.md for how to write one."""

    name: ClassVar[str]  # the vendor's name: of its key, for staff
    chapter: ClassVar[str]  # its dict in settings: BASE_URL, MODELS, TIMEOUT_S, WINDOW …
    simulated_path: ClassVar[str]  # where its protocol begins on the simulator
    operations: ClassVar[Mapping[str, str]]  # operation -> name of the method that prepares it
    can_cancel: ClassVar[bool] = False

    alias = ""  # under which the registry made this instance: where the vendor's webhooks shall go

    # --- The walk: not meant to be overridden ----------------------------------------------------

    def run(self, call: Call) -> Made | Pending:
        """Make one paid call. Raises ProviderError. Costs the call; blocks until its deadline at most."""
        deadline = Deadline(min(call.deadline_s, self.conf["TIMEOUT_S"]))
        answer = self.send(self.prepare(call), deadline)
        return self.read(answer, call, deadline)

    def send(self, outgoing: Outgoing, deadline: Deadline) -> Answer:
        """Send, within the vendor's windows, and raise for every status that is no success."""
        if not outgoing.repeatable:
            windows.take(self.name, *self._windows())
        try:
            answer = transport.send(outgoing, deadline)
            if not 200 <= answer.status < 300:
                raise self._complaint(answer)
        except ProviderError as error:
            if error.ask_again is None:  # the call at the vendor is untouched by a question that went wrong
                error.ask_again = outgoing.repeatable and (error.retryable or error.ours)
            raise
        return answer

    def _windows(self) -> tuple[tuple[int, float], ...]:
        """WINDOW is one (requests, seconds) or several of them."""
        found = self.conf.get("WINDOW", ())
        return (found,) if found and not isinstance(found[0], tuple) else found

    def _complaint(self, answer: Answer) -> ProviderError:
        detail = f"HTTP {answer.status}: {answer.excerpt()}"
        try:
            body = answer.json()
        except ProviderError:
            body = None
        named = self.complain(answer.status, answer.headers, body if isinstance(body, dict) else {}, detail)
        return named or transport.error_for(answer.status, answer.headers, detail)

    # --- Steps: meant to be overridden -----------------------------------------------------------

    def prepare(self, call: Call) -> Outgoing:
        """Build the request. Not usually overridden: write one method per operation and name it in
        `operations`. Such a method takes the Call and returns an Outgoing; Refused for unusable inputs."""
        method = self.operations.get(call.operation)
        if method is None:
            raise errors.ModelGone(detail=f"{self.name} does not do {call.operation}")
        return cast(Outgoing, getattr(self, method)(call))

    def read(self, answer: Answer, call: Call, deadline: Deadline) -> Made | Pending:
        """Turn a 2xx answer into Made or Pending. Must be overridden."""
        raise NotImplementedError

    def limits(self, operation: str, model: str) -> Limits | None:
        """What this vendor takes of an operation's pictures; None when it says nothing of them. For doors, which
        refuse before anything is charged. Overridden by vendors that have such rules."""
        return None

    def estimate(self, operation: str, model: str) -> Decimal:
        """What one call probably costs in USD, for one whose answer is gone; 0: nobody knows. Should be overridden."""
        return Decimal(0)

    def complain(
        self, status: int, headers: Mapping[str, str], body: Mapping[str, Any], detail: str
    ) -> ProviderError | None:
        """The error that the vendor's own body names, or None to go by the status. Overridden by most.

        body: the JSON object, {} when it was none; `detail` holds the start of whatever it was.
        """
        return None

    def headers(self) -> dict[str, str]:
        """Headers of every call. Overridden where a key is not a bearer token."""
        return {"Authorization": f"Bearer {self.key()}"}

    def poll(self, remote_id: str, call: Call) -> Made | Pending | Ready:
        """Ask about a parked call. Overridden by asynchronous vendors. Raises ProviderError; with
        `ask_again` the call is still at the vendor and only the question failed."""
        raise errors.Misconfigured(detail=f"{self.name} parks nothing")

    def cancel(self, remote_id: str) -> bool:
        """Ask the vendor to stop a parked call. True: it confirmed that it stops before producing.
        Overridden together with `can_cancel`."""
        return False

    def verify_webhook(self, headers: Mapping[str, str], body: bytes) -> str | None:
        """The vendor's id of the call that a webhook is about, "" for a signed one about something else, None when
        it is not signed by the vendor, or too long ago. Overridden by vendors that send webhooks."""
        return None

    def webhook_secret_fault(self) -> str:
        """What is wrong with the secret that is set, "" when nothing is. Overridden where such secrets have a shape."""
        return ""

    # --- Tools for adapters: not meant to be overridden -------------------------------------------

    @property
    def conf(self) -> Mapping[str, Any]:
        """The vendor's chapter of the settings, read at each use."""
        return cast("Mapping[str, Any]", getattr(settings, self.chapter))

    def key(self) -> str:
        try:
            return secrets.key(self.name)
        except secrets.MissingKey as error:
            missing = errors.OurKeyRefused(detail=str(error))
            missing.ask_again = True  # a vault may be away for a moment; that says nothing about a parked call
            raise missing from error

    def webhook_secret(self) -> str:
        """What the vendor signs its webhooks with; "" when none is set, and then none is believed."""
        try:
            return secrets.key(f"{self.name}-webhook")
        except secrets.MissingKey:
            return ""

    def url(self, path: str) -> str:
        """`path` below the vendor's base URL; in simulated mode below its place on the simulator."""
        simulated = settings.PROVIDERS_MODE == "simulated"
        base = settings.SIMULATOR_URL + self.simulated_path if simulated else self.conf["BASE_URL"]
        return f"{base}/{path.lstrip('/')}"

    def model_id(self, model: str) -> str:
        """The vendor's id of a model key. Raises ModelGone when the settings name none."""
        found = self.conf["MODELS"].get(model)
        if not found:
            raise errors.ModelGone(detail=f"no model of {self.name} is set for the key {model}")
        return cast(str, found)

    def picture(self, spool: Spool) -> MadeFile:
        """Take a spool as a picture, by its bytes. Raises BadAnswer for anything else, cut off or a bomb."""
        return self.file(spool, sniff.look(spool.file, spool.size_bytes), sniff.PICTURES)

    def file(self, spool: Spool, look: sniff.Look, accepted: Sequence[str]) -> MadeFile:
        """Take a spool as one of the accepted content types. Raises BadAnswer; closes what it refuses."""
        if look.content_type not in accepted:
            fault = f"not one of {', '.join(accepted)}: {secrets.redact(repr(spool.head(80)))}"
        elif not look.is_whole:
            fault = f"{look.content_type} of {spool.size_bytes} bytes is cut off"
        elif look.width * look.height > settings.MAX_IMAGE_PIXELS:
            fault = f"{look.width} x {look.height} pixels are too many"
        else:
            return MadeFile(spool.rewind().file, look.content_type, spool.size_bytes, spool.sha256)
        spool.close()
        raise errors.BadAnswer(detail=fault)

    def download(self, link: object, deadline: Deadline, limit_bytes: int | None = None) -> tuple[Spool, sniff.Look]:
        """Get a result link of the vendor's by the guarded fetcher, without any key, from RESULT_HOSTS.

        limit_bytes: None takes the desk's cap.
        Raises AnswerLost when the link is dead (paid for, gone), BadAnswer when it must not be followed,
        and NetworkError with `ask_again` when it may work later.
        """
        if not isinstance(link, str):
            raise errors.BadAnswer(detail="the result holds no link")
        try:
            hosts = self.conf["RESULT_HOSTS"]
            found = fetch.fetch(link, deadline_s=deadline.left_s(), limit_bytes=limit_bytes, hosts=hosts)
        except fetch.Missing as error:
            raise errors.AnswerLost(detail=f"result link: {error}") from error
        except fetch.Unreachable as error:
            later = errors.NetworkError(detail=f"result link: {error} {secrets.redact(str(error.__cause__ or ''))}")
            later.ask_again = True
            raise later from error
        except fetch.FetchError as error:
            raise errors.BadAnswer(detail=f"result link: {error}") from error
        return found.spool, found.look
