"""Settings are read by name, and refused by name."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps

from config import env
from config.embedded import paths, services

Reader = Callable[[], object]


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("many", lambda: env.integer("THING", 1)),
        ("1.5", lambda: env.integer("THING", 1)),
        ("0", lambda: env.integer("THING", 1, low=1)),
        ("9", lambda: env.integer("THING", 1, high=8)),
        ("-1", lambda: env.number("THING", 1.0)),
        ("inf", lambda: env.number("THING", 1.0)),
        ("maybe", lambda: env.boolean("THING", False)),
        ("purple", lambda: env.choice("THING", "red", ("red", "blue"))),
        ("ftp://host", lambda: env.url("THING", schemes=("http",))),
        ("[", lambda: env.json_list("THING")),
        ("{}", lambda: env.json_list("THING")),
        ("app.example.com", lambda: env.origins("THING")),
        ("https://app.example.com/path", lambda: env.origins("THING")),
        ("https://files.example.com/bucket", lambda: env.hosts("THING")),
        ("ftp://files.example.com", lambda: env.hosts("THING")),
        ("files.example.com:8443", lambda: env.hosts("THING")),
        ("upscale", lambda: env.counts("THING")),
        ("upscale=many", lambda: env.counts("THING")),
        ("upscale=-1", lambda: env.counts("THING")),
    ],
)
def test_a_wrong_value_is_refused_by_the_variables_name_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, value: str, read: Reader
) -> None:
    monkeypatch.setenv("THING", value)

    with pytest.raises(env.SettingError) as refusal:
        read()

    assert str(refusal.value).startswith("THING must")
    assert value not in str(refusal.value).split()


def test_hosts_and_counts_are_read_into_what_their_rooms_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTS", "Project.supabase.co, *.example.com,http://MinIO:9000/")
    monkeypatch.setenv("COUNTS", "upscale=0, text-to-image = 10")

    assert env.hosts("HOSTS") == ["project.supabase.co", "*.example.com", "http://minio:9000"]
    assert env.counts("COUNTS") == {"upscale": 0, "text-to-image": 10}


def test_an_empty_value_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THING", "  ")

    assert env.integer("THING", 7) == 7
    with pytest.raises(env.SettingError, match="THING is not set"):
        env.text("THING")


@pytest.mark.parametrize(
    ("name", "value"),
    [("VISUAL_PROVIDER_ORDER", "openai,opnai"), ("WORKER_ONLY", "slowly"), ("MAKEIT3D_PER_MINUTE", "upscael")],
)
def test_a_setting_that_only_its_room_understands_is_refused_by_name_too(
    settings: Any, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    setattr(settings, name, value.split(","))

    with pytest.raises(env.SettingError, match=name):
        apps.get_app_config("config").ready()


@pytest.mark.parametrize(
    "program", [["manage.py", "check"], ["-c", "import config.asgi"], ["manage.py", "rqworker", "generation"]]
)
def test_a_wrong_setting_stops_every_start_with_one_line_that_names_it(program: list[str], tmp_path: Path) -> None:
    surroundings = {"LOCAL": "1", "ATELIER_STATE_DIR": str(tmp_path), "WORKER_THREADS": "lots", "PATH": "/usr/bin"}

    done = subprocess.run(
        [sys.executable, *program], env=surroundings, cwd=env.ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert done.stderr.splitlines() == ["atelier: WORKER_THREADS must be a whole number"]


class TestTheLocalDesk:
    """manage.py in another terminal finds the desk that is running, and no other."""

    @pytest.fixture(autouse=True)
    def bare(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("DATABASE_URL", "SECRET_KEY", "LOCAL", "SIMULATOR_URL"):
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
        monkeypatch.setenv("ATELIER_STATE_DIR", str(tmp_path))

    @staticmethod
    def write_run_file(mode: int = 0o600) -> None:
        paths.run_file().touch(mode=mode)
        paths.run_file().chmod(mode)
        paths.run_file().write_text(json.dumps({"LOCAL": "1", "SIMULATOR_URL": "http://127.0.0.1:4321"}))

    def test_its_settings_are_taken_while_it_runs(self) -> None:
        with services.the_only_one():
            self.write_run_file()
            env.use_local_desk()

        assert env.text("SIMULATOR_URL") == "http://127.0.0.1:4321"

    def test_a_file_left_by_a_killed_desk_is_not_believed(self) -> None:
        self.write_run_file()

        env.use_local_desk()

        assert env.text("SIMULATOR_URL", "") == ""
        assert env.boolean("LOCAL", False)

    def test_a_file_that_others_may_write_is_not_believed(self) -> None:
        with services.the_only_one():
            self.write_run_file(mode=0o666)
            env.use_local_desk()

        assert env.text("SIMULATOR_URL", "") == ""

    def test_given_settings_win(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/desk")
        with services.the_only_one():
            self.write_run_file()
            env.use_local_desk()

        assert env.text("SIMULATOR_URL", "") == ""
