"""The embedded services end with their launcher, however it goes, and the next start works."""

from __future__ import annotations

import os
import pwd
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import env
from config.embedded import paths, services, supervisor
from config.embedded.children import Part
from config.embedded.supervisor import PartError, Supervisor


class Desk:
    """A launcher of the services alone, in a state folder with a space in its name."""

    def __init__(self, state: Path, uid: int) -> None:
        self.state, self.uid = state, uid

    def start(self) -> subprocess.Popen[str]:
        surroundings = {"ATELIER_STATE_DIR": str(self.state), "PATH": os.environ["PATH"]}
        return subprocess.Popen(
            [sys.executable, "-m", "tests.config.desk_of_services"],
            env=surroundings,
            cwd=env.ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **({"user": self.uid, "group": self.uid, "extra_groups": []} if self.uid != os.getuid() else {}),
        )

    @property
    def sockets(self) -> Path:
        # As paths.socket_dir(), but for the desk's user and folder.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ATELIER_STATE_DIR", str(self.state))
            patch.setattr(os, "getuid", lambda: self.uid)
            return paths.socket_dir()

    def leaves_nothing(self) -> bool:
        left = list(self.sockets.iterdir()) if self.sockets.exists() else []
        return not left and not (self.state / "postgres" / "postmaster.pid").exists()


def pids_of(launcher: subprocess.Popen[str]) -> list[int]:
    assert launcher.stdout is not None
    line = launcher.stdout.readline()
    assert line.replace(" ", "").strip().isdigit(), line + launcher.stdout.read()
    return [int(word) for word in line.split()]


def await_end(handles: list[int], timeout_s: float = 20) -> None:
    for handle in handles:
        ended, _, _ = select.select([handle], [], [], timeout_s)
        assert ended, "a service outlived its launcher"
        os.close(handle)


def _can_run_us(uid: int) -> bool:
    try:
        probe = [sys.executable, "-c", "import config.env"]
        return subprocess.run(probe, cwd=env.ROOT, user=uid, capture_output=True, check=False).returncode == 0
    except PermissionError:
        return False


@pytest.fixture(params=["ourselves", "an ordinary user"])
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    uid = os.getuid()
    if request.param == "an ordinary user":
        if uid != 0:
            pytest.skip("we are an ordinary user already")
        uid = pwd.getpwnam("nobody").pw_uid
        if not _can_run_us(uid):
            pytest.skip("an ordinary user cannot read this checkout or its Python")
    with tempfile.TemporaryDirectory(prefix="atelier test ") as folder:
        Path(folder).chmod(0o755)
        os.chown(folder, uid, -1)
        desk = Desk(Path(folder) / "state", uid)
        yield desk
        if desk.sockets.exists():
            desk.sockets.rmdir()


@pytest.mark.slow
def test_nothing_outlives_a_killed_launcher_and_the_next_start_works(desk: Desk) -> None:
    first = desk.start()
    handles = [os.pidfd_open(pid) for pid in pids_of(first)]

    first.send_signal(signal.SIGKILL)
    second = desk.start()  # at once: it has to wait for what is still ending
    second_pids = pids_of(second)

    await_end(handles, timeout_s=0)
    assert len(second_pids) == 2
    first.communicate()

    third = desk.start()
    said, _ = third.communicate()
    assert third.returncode == 1
    assert said.startswith("atelier: this checkout's desk is already running")
    assert len(said.splitlines()) == 1

    second.communicate()  # the end of its input
    assert second.returncode == 0
    assert desk.leaves_nothing()


@pytest.mark.slow
def test_a_killed_launcher_leaves_no_socket_and_no_pid_file(desk: Desk) -> None:
    launcher = desk.start()
    handles = [os.pidfd_open(pid) for pid in pids_of(launcher)]

    launcher.send_signal(signal.SIGKILL)

    launcher.communicate()
    await_end(handles)
    assert desk.leaves_nothing()


@pytest.mark.slow
def test_what_a_machine_crash_left_does_not_stop_the_start(desk: Desk) -> None:
    desk.start().communicate()
    # Numbers that other processes have by now, and sockets nobody listens on.
    (desk.state / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{desk.state}/postgres\n")
    desk.sockets.mkdir(mode=0o700)
    os.chown(desk.sockets, desk.uid, -1)
    for name in ("redis.sock", ".s.PGSQL.5432", ".s.PGSQL.5432.lock"):
        (desk.sockets / name).touch()

    launcher = desk.start()

    assert len(pids_of(launcher)) == 2
    launcher.communicate()
    assert desk.leaves_nothing()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a folder that is somebody else's")
def test_a_socket_folder_of_somebody_else_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ATELIER_STATE_DIR", str(tmp_path))
    paths.socket_dir().mkdir()
    os.chown(paths.socket_dir(), 12345, 12345)
    try:
        with pytest.raises(services.ServiceError, match="belongs to somebody else"):
            services.prepare()
    finally:
        paths.socket_dir().rmdir()


class TestTheSupervisor:
    @pytest.fixture
    def now(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        now = [0.0]
        monkeypatch.setattr(supervisor.time, "monotonic", lambda: now[0])
        return now

    @pytest.fixture
    def keeper(self) -> Iterator[Supervisor]:
        keeper = Supervisor()
        yield keeper
        keeper.stop()

    def make_part(self, tmp_path: Path, *argv: str) -> Part:
        (tmp_path / "part.log").touch()
        return Part("part", argv, tmp_path / "part.log")

    def test_a_killed_part_is_started_again(
        self, keeper: Supervisor, now: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        part = self.make_part(tmp_path, "sleep", "60")
        keeper.add(part)
        assert part.process is not None
        before = part.process
        before.kill()
        before.wait()

        keeper.look()
        assert not part.is_running()
        now[0] += 1
        keeper.look()

        assert part.is_running()
        assert part.process is not before
        assert "part was killed (SIGKILL); starting it again" in capsys.readouterr().err

    def test_one_that_keeps_ending_waits_longer_and_shows_its_log(
        self, keeper: Supervisor, now: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        part = self.make_part(tmp_path, "sh", "-c", "echo no such door; exit 3")
        keeper.add(part)
        for _ in range(3):
            assert part.process is not None
            part.process.wait()
            keeper.look()
            now[0] += 1
            keeper.look()

        said = capsys.readouterr().err
        assert [line.rsplit(" ", 2)[1] for line in said.splitlines() if "starting" in line] == ["0.2", "0.4", "0.8"]
        assert "part ended with 3" in said
        assert "    no such door" in said

    def test_a_start_that_cannot_work_is_given_up(self, keeper: Supervisor, tmp_path: Path) -> None:
        keeper.add(self.make_part(tmp_path, "sh", "-c", "echo no such door; exit 3"))

        with pytest.raises(PartError, match="part keeps ending(.|\n)*no such door"):
            keeper.until(lambda: False, 60, "the desk was not healthy")

    def test_warnings_and_tracebacks_reach_the_terminal_and_small_talk_does_not(
        self, keeper: Supervisor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        part = self.make_part(tmp_path, "sleep", "60")
        keeper.add(part)
        part.log.write_text(
            "10:00:00 INFO desk: hello\n"
            "10:00:01 ERROR desk: it broke\nTraceback (most recent call last):\nValueError: why\n"
            "10:00:02 INFO desk: goodbye\n"
            '{"time": "t", "level": "WARNING", "message": "careful"}\n'
        )

        keeper.look()

        assert capsys.readouterr().err.splitlines() == [
            "[part] 10:00:01 ERROR desk: it broke",
            "[part] Traceback (most recent call last):",
            "[part] ValueError: why",
            '[part] {"time": "t", "level": "WARNING", "message": "careful"}',
        ]
