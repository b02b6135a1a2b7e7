"""`make run`: the whole desk on one machine, from one command, gone without a trace when it ends.

Starts PostgreSQL, Redis, the simulator, the web and the workers as children, keeps them running, and
makes one real picture to show that it works.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from contextlib import ExitStack
from types import FrameType

from config import env
from config.embedded import children, first_request, paths, prepare, services
from config.embedded.children import Part, Signal
from config.embedded.supervisor import LOOK_S, PartError, Supervisor

HEALTHY_S = 90.0
# What manage.py in another terminal has to know to talk to the same desk.
TOLD = (
    "LOCAL",
    "DATABASE_URL",
    "REDIS_URL",
    "REDIS_HOST",
    "REDIS_PORT",
    "REDIS_PASSWORD",
    "SECRET_KEY",
    "PROVIDERS_MODE",
    "SIMULATOR_URL",
    "ATELIER_STATE_DIR",
    "MEDIA_ROOT",
)


class StopRequested(Exception):
    """Ctrl-C, `kill`, or a closed terminal."""


class StartError(Exception):
    """The desk cannot run. The text is for the person at the terminal."""


def main() -> int:
    if "--with-parent" in sys.argv:
        children.die_with_parent()  # `make` killed hard takes the desk along
    _on_signals(_request_stop)
    try:
        with ExitStack() as desk:
            _run(desk)
    except StopRequested:
        print("\nStopped; nothing is left running.", flush=True)
    except (
        StartError,
        PartError,
        services.ServiceError,
        first_request.FirstRequestError,
        env.SettingError,
    ) as error:
        print(f"\natelier: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def _run(desk: ExitStack) -> None:
    port, once = env.integer("PORT", 4000, low=1, high=65535), env.boolean("ONCE", False)
    base = f"http://127.0.0.1:{port}"
    _settle_environment()
    desk.enter_context(services.the_only_one())
    if not _is_free(port):
        raise StartError(
            f"port {port} is taken by another program: stop it, or choose another, as in `make run PORT=4321`"
        )

    keeper = Supervisor()
    desk.callback(services.clean_up)
    desk.callback(keeper.stop)
    # Unwinding begins here: further signals no longer break off, they only shorten the wait.
    desk.callback(_on_signals, lambda number, frame: keeper.hurry())

    is_embedded = _start_services(keeper)
    simulator = _simulator(port)
    _write_run_file(desk)
    # Starting Python is most of the wait: web and simulator, which need no tables yet, start meanwhile.
    for part in [*simulator, _web(port)]:
        keeper.add(part)
    has_people = _prepare(desk, is_embedded)
    print("Starting web and workers …", flush=True)
    first, *others = _workers()
    keeper.add(first)
    keeper.until(lambda: first_request.is_healthy(base), HEALTHY_S, "the desk was not healthy")
    for part in others:
        keeper.add(part)

    if has_people:
        picture = paths.state_dir() / "first-picture.png"
        first_request.make(base, picture, watch=keeper.look)
        print(f"  The picture lies in {picture}", flush=True)
    else:
        print("DATABASE_URL holds people of its own: `demo` and `staff` are not made there, and nothing is submitted.")
    if not once:
        print(_welcome(base, has_people), flush=True)
        while True:
            keeper.look()
            time.sleep(LOOK_S)


def _settle_environment() -> None:
    """Fix what the children inherit, so that all of them mean the same desk."""
    os.environ["ATELIER_STATE_DIR"] = str(paths.state_dir().absolute())
    os.environ["LOCAL"] = "1"
    os.environ["PYTHONUNBUFFERED"] = "1"
    for name, value in {"PROVIDERS_MODE": "simulated", "LOG_FORMAT": "plain", "WORKER_DRAIN_S": "5"}.items():
        os.environ.setdefault(name, value)
    # The simulator is on this machine, whatever proxy the way out needs.
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name, ""), "127.0.0.1", "localhost"]))


def _start_services(keeper: Supervisor) -> bool:
    """Start what the environment does not name. Returns whether the database is our own."""
    is_embedded = not env.text("DATABASE_URL", "")
    services.prepare()
    if is_embedded:
        _serve(keeper, services.postgres())
        os.environ["DATABASE_URL"] = services.database_url()
    if not (env.text("REDIS_URL", "") or env.text("REDIS_HOST", "")):
        _serve(keeper, services.redis())
        os.environ["REDIS_URL"] = services.redis_url()
    return is_embedded


def _serve(keeper: Supervisor, part: Part) -> None:
    print(f"Starting {part.name} …", flush=True)
    keeper.add(part, is_service=True)
    services.await_start(part)


def _write_run_file(desk: ExitStack) -> None:
    file = paths.run_file()
    file.unlink(missing_ok=True)
    desk.callback(file.unlink, missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps({name: os.environ[name] for name in TOLD if os.environ.get(name)}, indent=1))


def _prepare(desk: ExitStack, is_embedded: bool) -> bool:
    """Migrate, and make `demo` and `staff`. Returns whether they are there. Raises StartError."""
    print("Preparing the database …", flush=True)
    part = _python("prepare", "-m", "config.embedded.prepare", *(["--embedded"] if is_embedded else []))
    desk.callback(part.stop)
    part.start()
    assert part.process is not None
    code = part.process.wait()
    if code == prepare.REFUSED:
        raise StartError(part.last_lines(1).strip())
    if code not in (prepare.DONE, prepare.NOT_OURS):
        raise StartError(f"the desk could not be prepared; the log ends with:\n{part.last_lines()}")
    return code == prepare.DONE


def _simulator(port: int) -> list[Part]:
    """The stand-in for the providers, unless the environment names one or the providers are real."""
    if env.text("PROVIDERS_MODE") != "simulated" or env.text("SIMULATOR_URL", ""):
        return []
    its_port = next(free for free in range(port + 10, port + 1000, 10) if _is_free(free))
    os.environ["SIMULATOR_URL"] = f"http://127.0.0.1:{its_port}"
    return [_python("simulator", "-m", "config.embedded.simulate", str(its_port))]


def _web(port: int) -> Part:
    where = ["--host", "127.0.0.1", "--port", str(port), "--timeout-graceful-shutdown", "3"]
    quiet = ["--no-access-log", "--no-server-header", "--no-proxy-headers", "--log-level", "warning"]
    # Compressing small messages for each of many sockets costs more than sending them.
    sockets = ["--ws-per-message-deflate", "false"]
    return _python("web", "-m", "uvicorn", "config.asgi:application", *where, *quiet, *sockets)


def _workers() -> list[Part]:
    count = env.integer("WORKERS", 2, low=1, high=64)
    command = ("manage.py", "rqworker", "generation", "--skip-checks")
    return [_python(f"worker-{n}", *command) for n in range(1, count + 1)]


def _python(name: str, *argv: str) -> Part:
    log = paths.state_dir() / "logs" / f"{name}.log"
    log.unlink(missing_ok=True)
    log.touch(mode=0o600)
    return Part(name, [sys.executable, *argv], log, cwd=env.ROOT)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _welcome(base: str, has_people: bool) -> str:
    logins = ("   (demo / demo)", "   (staff / staff)") if has_people else ("", "")
    return f"""
  Your desk       {base}/app/{logins[0]}
  The console     {base}/admin/{logins[1]}
  The API         {base}/api/docs
  Logs            {paths.state_dir() / "logs"}

  Providers are {env.text("PROVIDERS_MODE")}. Ctrl-C stops everything."""


def _request_stop(number: int, frame: FrameType | None) -> None:
    raise StopRequested


def _on_signals(handler: object) -> None:
    for sig in (Signal.SIGINT, Signal.SIGTERM, Signal.SIGHUP):
        signal.signal(sig, handler)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
