"""One prediction at the simulated Replicate: its states, its log, what it makes of its input, its webhooks."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import io
import math
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from PIL import Image, ImageDraw, UnidentifiedImageError

from providers.simulator import media, pictures
from providers.simulator.desk import Desk, Job
from providers.simulator.faults import Fault
from providers.simulator.pictures import Wish
from providers.simulator.replicate_models import MODELS, RATIO_SIZES, version_of
from providers.simulator.wire import Request

NAME = "replicate"
STARTING_SHARE = 0.1  # of a run's time passes before it begins
KEPT_S = 3600.0  # input, output, log and files of a run are gone after that
MOST_UPLOADS = 100
LONGEST = 1440
WORKING = ("starting", "processing")
FLAGGED = "The input or output was flagged as sensitive. Please try again with different inputs. (E005) (sim0ul4t3d)"
FORMATS = {"jpg": "jpeg", "webp": "webp", "png": "png"}
PICTURES = ("image", "control_image", "mask")


@dataclass
class Run(Job):
    """A prediction. ends_s: its Cancel-After. error: what it will fail of. is_stuck: it never begins. is_new: nobody
    has waited for it yet, so it is told as starting however quick it is.
    """

    model: str = ""
    version: str = ""
    input: dict[str, Any] = field(default_factory=dict)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    ends_s: float | None = None
    error: str = ""
    is_stuck: bool = False
    is_new: bool = False
    ended: str = ""
    made: dict[str, bytes] = field(default_factory=dict)
    output: Any = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    follower: asyncio.Task[None] | None = None

    def status(self) -> str:
        if self.is_new:
            return "starting"
        if self.ended:
            return self.ended
        has_begun = not self.is_stuck and self.share() >= STARTING_SHARE
        if self.ends_s is not None and self._age_s() >= self.ends_s and (self.is_stuck or self.share() < 1):
            self.ended = "canceled" if has_begun else "aborted"
            return self.ended
        if not has_begun:
            return "starting"
        if self.share() < 1:
            return "processing"
        return "failed" if self.error else "succeeded"

    def cancel(self) -> None:
        if self.status() in WORKING:
            self.ended = "canceled"
            self.changed.set()

    async def wait(self) -> None:
        """Return when it has ended."""
        while self.status() in WORKING:
            left_s = 1.0 if self.is_stuck else max(0.01, self.seconds - self._age_s())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), left_s)

    def is_removed(self, kept_s: float) -> bool:
        return self._age_s() > self.seconds + kept_s

    def _age_s(self) -> float:
        return time.monotonic() - self.began


async def begin(request: Request, desk: Desk, name: str, body: dict[str, Any], fault: Fault | None) -> Run:
    given, model = body["input"], MODELS[name]
    seed = given.get("seed") or random.SystemRandom().randrange(1, 2**16)
    prompt = str(given.get("prompt") or given.get("mask_prompt") or "")
    run = Run(
        id=base64.b32encode(random.SystemRandom().randbytes(16)).decode().rstrip("=").lower(),
        wish=Wish(0, 8, 8, "png"),
        prompt=prompt,
        seed=seed,
        seconds=desk.delay_s(fault),
        model=name,
        version="hidden" if model.is_official else version_of(name),
        input=given,
    )
    if fault and fault.name == "filtered":
        run.error = FLAGGED
    if fault and fault.name == "failed":
        run.error = str(fault.params.get("error") or "Prediction failed. (E1000)")
    run.is_stuck = bool(fault and fault.name == "stuck")
    run.ended = "aborted" if fault and fault.name == "aborted" else ""
    try:
        sources = {role: _source(desk, given[role]) for role in PICTURES if role in given}
        run.wish = _wish(run, sources)
        if not run.error:
            run.made = await _make(desk, run, sources)
    except ValueError as error:
        run.error = run.error or str(error)
    desk.add(run)
    return run


async def show(request: Request, desk: Desk, run: Run, fault: Fault | None) -> dict[str, Any]:
    """The prediction as the vendor tells it now."""
    base = f"http://{request.headers.get('host')}/replicate/v1/predictions/{run.id}"
    status, percent = run.status(), _percent(run)
    if fault and fault.name in ("filtered", "failed"):
        run.error = FLAGGED if fault.name == "filtered" else str(fault.params.get("error") or "")
        status = "failed"
    if fault and fault.name == "progress-backwards":
        percents = fault.params.get("percents") or [80, 20, 250]
        status, percent = "processing", percents[min(fault.used, len(percents)) - 1]
    told: dict[str, Any] = {
        "id": run.id,
        "model": run.model,
        "version": run.version,
        "status": status,
        "input": run.input,
        "output": None,
        "error": run.error if status == "failed" else None,
        "logs": _log(run, percent) if status not in ("starting", "aborted") else "",
        "data_removed": False,
        "created_at": _stamp(run.created_at),
        "started_at": _stamp(run.created_at, run.seconds * STARTING_SHARE) if status != "starting" else None,
        "completed_at": None,
        "source": "api",
        "urls": {"get": base, "cancel": base + "/cancel", "web": f"https://replicate.com/p/{run.id}"},
    }
    if run.ends_s is not None:
        told["deadline"] = _stamp(run.created_at, run.ends_s)
    if status in WORKING:
        return told
    took_s = 0.0 if status == "aborted" else MODELS[run.model].gpu_s
    told["metrics"] = {"predict_time": took_s, "total_time": round(took_s + 0.1, 3)}
    told["completed_at"] = _stamp(run.created_at, run.seconds)
    if status == "succeeded":
        if run.is_removed(desk.settings.link_s or KEPT_S) or fault and fault.name == "data-removed":
            return {**told, "input": {}, "logs": "", "data_removed": True}
        told["output"] = _links(request, desk, run, fault)
    return told


def _stamp(start: datetime, later_s: float = 0.0) -> str:
    return (start + timedelta(seconds=later_s)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _percent(run: Run) -> int:
    return int(100 * max(0.0, run.share() - STARTING_SHARE) / (1 - STARTING_SHARE))


def _log(run: Run, percent: int) -> str:
    """As the models' own progress bars write it: one line for each look at it."""
    steps = int(run.input.get("num_inference_steps") or run.input.get("steps") or 28)
    marks = sorted({0, percent // 2, percent}) if percent <= 100 else [0, percent]
    bars = [f"{at:3d}%|{'█' * (min(at, 100) // 10):10s}| {steps * at // 100}/{steps} [00:01<00:01]" for at in marks]
    return f"Using seed: {run.seed}\n" + "\n".join(bars)


def _links(request: Request, desk: Desk, run: Run, fault: Fault | None) -> Any:
    """The output in the model's own form: a list, a text or an object; its files are kept at the first look."""
    if run.output is None:
        run.output = {
            name: desk.keep(NAME, run, f"image/{FORMATS[name.rpartition('.')[2]]}", body, name)
            for name, body in run.made.items()
        }
    links = {name: media.link(request, path) for name, path in run.output.items()}
    if fault and fault.name == "private-link":
        links = dict.fromkeys(links, str(fault.params.get("url") or "http://169.254.169.254/latest/meta-data/"))
    if fault and fault.name == "short-count":
        links = {}
    match MODELS[run.model].output:
        case "text":
            return next(iter(links.values()), None)
        case "object":
            masks = [link for name, link in links.items() if name != "combined_mask.png"]
            return {"combined_mask": links.get("combined_mask.png"), "individual_masks": masks}
    return list(links.values())


def uploads(desk: Desk) -> dict[str, tuple[dict[str, Any], bytes]]:
    """Id -> what the vendor says of an uploaded file, and the file."""
    found: dict[str, tuple[dict[str, Any], bytes]] = desk.memory.setdefault(NAME, {})
    while len(found) > MOST_UPLOADS:
        found.pop(next(iter(found)))
    return found


# --- What is made --------------------------------------------------------------------------------


def _source(desk: Desk, url: str) -> bytes:
    """A picture that was sent along or uploaded. Raises ValueError in a model's words for anything else."""
    if url.startswith("data:"):
        try:
            return base64.b64decode(url.partition(";base64,")[2], validate=True)
        except binascii.Error:
            raise ValueError("Incorrect padding") from None
    found = uploads(desk).get(url.rpartition("/")[2])
    if found is None:
        raise ValueError("HTTP Error 404: the input file could not be downloaded")
    return found[1]


def _opened(data: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data)) as opened:
            return opened.convert("RGB")
    except (UnidentifiedImageError, OSError):
        raise ValueError("cannot identify image file") from None


def _wish(run: Run, sources: dict[str, bytes]) -> Wish:
    given, source = run.input, sources.get("image") or sources.get("control_image")
    width, height = _size(run, _opened(source).size if source else None)
    kind = FORMATS[
        str(given.get("output_format") or MODELS[run.model].fields.get("output_format", {}).get("default") or "png")
    ]
    return pictures.wish(run.prompt, run.seed, width, height, kind)


def _size(run: Run, source: tuple[int, int] | None) -> tuple[int, int]:
    given = run.input
    if source is None and "aspect_ratio" in MODELS[run.model].fields:
        width, height = RATIO_SIZES[given.get("aspect_ratio") or "1:1"]
        return (width // 2, height // 2) if given.get("megapixels") == "0.25" else (width, height)
    if source is None:
        width, height = int(given.get("width") or 1024), int(given.get("height") or 1024)
        if width % 8 or height % 8:
            raise ValueError(f"`height` and `width` have to be divisible by 8 but are {height} and {width}.")
        return width, height
    if MODELS[run.model].output in ("iterator", "object"):
        return source
    width, height = source
    shrink = min(1.0, LONGEST / max(source))
    if given.get("megapixels", "match_input") != "match_input" and "aspect_ratio" not in MODELS[run.model].fields:
        shrink = math.sqrt(float(given["megapixels"]) * 2**20 / (width * height))
    return max(16, round(width * shrink / 16) * 16), max(16, round(height * shrink / 16) * 16)


async def _make(desk: Desk, run: Run, sources: dict[str, bytes]) -> dict[str, bytes]:
    """File name -> file. Raises ValueError for pictures that a model could not read."""
    if MODELS[run.model].output in ("iterator", "object"):
        return await asyncio.to_thread(_cut_out, run, sources["image"])
    source = sources.get("image") or sources.get("control_image")
    if source is None:
        body = (await desk.draw(run.wish)).body
    else:
        body = await asyncio.to_thread(_repainted, run.wish, source, sources.get("mask"))
    kind = next(short for short, long in FORMATS.items() if long == run.wish.format)
    return {f"out-{n}.{kind}": body for n in range(int(run.input.get("num_outputs") or 1))}


def _repainted(wish: Wish, source: bytes, mask: bytes | None) -> bytes:
    """White of the mask is what is painted anew; the drawing room wants that as holes."""
    if mask is None:
        return pictures.repaint(source, None, wish).body
    white = _opened(mask).convert("L")
    if white.size != _opened(source).size:
        raise ValueError("Image and mask must have the same size")
    holes = Image.new("RGBA", white.size)
    holes.putalpha(white.point(lambda grey: 255 - grey))
    return pictures.repaint(source, pictures.pack(holes, "png").body, wish).body


def _cut_out(run: Run, source: bytes) -> dict[str, bytes]:
    """What it takes for the subject: an ellipse in the middle, grown or shrunk as asked."""
    picture = _opened(source)
    grow = int(run.input.get("adjustment_factor") or 0)
    mask = Image.new("L", picture.size)
    across, down = picture.width / 4 - grow, picture.height / 8 - grow
    ImageDraw.Draw(mask).ellipse((across, down, picture.width - across, picture.height - down), fill=255)
    marked = Image.composite(Image.new("RGB", picture.size, "red"), picture, mask.point(lambda grey: grey // 2))
    if MODELS[run.model].output == "object":
        body = pictures.pack(mask, "png").body
        return {"combined_mask.png": body, "mask_0.png": body}
    turned = mask.point(lambda grey: 255 - grey)
    files = {
        "annotated_picture_mask": marked,
        "neg_annotated_picture_mask": picture,
        "mask": mask,
        "inverted_mask": turned,
    }
    return {f"{name}.jpg": pictures.pack(image, "jpeg").body for name, image in files.items()}
