"""Pictures of every page: `make screenshots`, or of some by `make screenshots ONLY=desk,queue`.

Starts a desk of its own on throwaway services, fills it with a week of believable work, and walks the table of
pages (`tests.site.pages`), signed in as staff and as a customer. Everything that was started ends with it.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from config import env
from config.embedded import services, throwaway

PREFIX = "atelier-shots-"
FOLDER = env.ROOT / "docs" / "screenshots"
# Of a call while the pictures are taken: longer than that takes, so that what runs keeps running.
PATIENCE_S = 900
SETTINGS = {
    "LOCAL": "1",
    "PROVIDERS_MODE": "simulated",
    "DJANGO_SETTINGS_MODULE": "config.settings",
    "LOG_LEVEL": "warning",
    "LOG_FORMAT": "plain",
    "CREDIT_USD": "0.04",
    "SIGNUP_GRANT_CREDITS": "0",
    "VISUAL_PROVIDER_ORDER": "openai,huggingface,stability,replicate",
    "VISUAL_CALL_TIMEOUT_S": str(PATIENCE_S),
    "OPENAI_TIMEOUT_S": str(PATIENCE_S),
    "STABILITY_TIMEOUT_S": str(PATIENCE_S),
    # Much is asked for in little time.
    "VISUAL_RATE_LIMIT": "100000",
    "POSE_RATE_LIMIT": "0",
    "MAKEIT3D_PER_MINUTE": "remove-background=0,image-to-model=0",
    "MAKEIT3D_UPLOADS_PER_MINUTE": "0",
}
# A bell that rings is gone at once.
LEFT_OUT = ("bell",)


def main() -> int:
    os.environ |= SETTINGS
    for name in ("REDIS_HOST", "WORKER_ONLY", "SIMULATOR_URL"):
        os.environ.pop(name, None)
    signal.signal(signal.SIGTERM, _stop)
    with throwaway.run(PREFIX):
        import django

        django.setup()
        return _open_desk()


def _open_desk() -> int:
    from django.core.management import call_command

    from bench import desk
    from tests.screenshots import camera, history, today

    with desk.running(desk.simulator(delay_s=0)):
        call_command("migrate", verbosity=0, interactive=False)
        call_command("load_poses", verbosity=0)
        print("A week of work …", flush=True)
        history.fill()
        staffs_work = today.staff_at_work()
        today.queue_up()
        desk.simulator_says("POST", "_settings", {"delay_s": PATIENCE_S})
        port = desk.free_port()
        with desk.running(desk.web(port), *desk.workers(2, threads=12)):
            today.await_busy()
            shots = choose(staffs_work, env.words("ONLY"))
            print(f"{len(shots)} pages, each four times …", flush=True)
            faults = camera.take(shots, f"http://127.0.0.1:{port}", FOLDER)
    _tell(faults)
    return 1 if faults else 0


def choose(staffs_work: dict[str, Any], only: list[str]) -> list[Any]:
    """Each template of the table once, or the named pages."""
    from tests.screenshots.camera import Shot
    from tests.screenshots.scenes import house as look_around
    from tests.site import pages

    house = look_around(staffs_work)
    chosen = [page for page in pages.PAGES if page.name in only] if only else pages.one_of_each()
    chosen = [page for page in chosen if page.name not in LEFT_OUT]
    found = []
    for page in chosen:
        person = page.person(house)
        home = "/admin/" if person == house.stella else "/app/"
        found.append(Shot(page.name, person.username if person else "", page.address(house), home))
    return found


def _tell(faults: list[str]) -> None:
    files = list(FOLDER.glob("*.webp"))
    size = sum(file.stat().st_size for file in files) / 1e6
    print(f"{len(files)} pictures of {size:.1f} MB in {FOLDER.relative_to(Path.cwd())}")
    for fault in faults:
        print(fault, file=sys.stderr)


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(f"screenshots: stopped by {signal.Signals(number).name}")  # everything that was started is stopped


if __name__ == "__main__":
    try:
        sys.exit(main())
    except services.ServiceError as error:
        sys.exit(f"screenshots: {error}")
