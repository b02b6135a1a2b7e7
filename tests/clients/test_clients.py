"""The worked clients of `docs/clients`, run as they stand, as their readers would."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from PIL import Image

from config.api import personal
from config.models import User
from tests.clients.conftest import NAME, PASSWORD

CLIENTS = Path(settings.BASE_DIR) / "docs" / "clients"
PROGRAMS = {".py": sys.executable, ".sh": shutil.which("bash") or "bash"}

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def is_picture(body: bytes) -> bool:
    with Image.open(io.BytesIO(body)) as image:
        image.load()
        return image.width > 100


def is_model(body: bytes) -> bool:
    return body[:4] == b"glTF"


def is_archive_of_pictures(body: bytes) -> bool:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return [is_picture(archive.read(name)) for name in archive.namelist()] == [True]


def run(desk: str, client: str, place: Path, *words: str, **told: str) -> subprocess.CompletedProcess[str]:
    """Run a client in a folder of its own, with nothing but the desk's address and what it is told.

    Without curl the scripts are left out, except where CI is set.
    """
    if client.endswith(".sh") and not (shutil.which("curl") and shutil.which("bash")):
        assert not os.environ.get("CI"), "no curl or bash on PATH: the scripts need them"
        pytest.skip("no curl or bash on PATH: the scripts are left out")
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "SSL_CERT_FILE") if name in os.environ}
    return subprocess.run(
        [PROGRAMS[Path(client).suffix], str(CLIENTS / client), *words],
        cwd=place,
        env={**environment, "NO_PROXY": "127.0.0.1", "DESK": desk, **told},
        capture_output=True,
        text=True,
        timeout=60,
    )


@dataclass(frozen=True)
class Outcome:
    """What a run leaves behind, by ending, and what it costs.

    is_given: a picture of one's own is named. by_token: a personal token does for name and password.
    """

    files: dict[str, tuple[int, Callable[[bytes], bool]]]
    credits: int
    is_given: bool = False
    by_token: bool = False


WORKED = {
    "makeit3d.py": Outcome({".glb": (1, is_model)}, 12),
    "makeit3d.sh": Outcome({".glb": (1, is_model)}, 10, is_given=True),
    "poses.py": Outcome({".png": (1, is_picture), ".jpg": (1, is_picture)}, 30, by_token=True),
    "poses.sh": Outcome({".zip": (1, is_archive_of_pictures)}, 30),
    "stories.py": Outcome({".png": (2, is_picture)}, 2, by_token=True),
    "stories.sh": Outcome({".png": (1, is_picture)}, 1),
    "visuals.py": Outcome({".png": (1, is_picture)}, 1),
    "visuals.sh": Outcome({".png": (1, is_picture)}, 1, by_token=True),
}


def test_every_client_is_worked() -> None:
    there = {path.name for path in CLIENTS.iterdir() if path.suffix in PROGRAMS}
    assert there == set(WORKED)
    assert {name.split(".")[0] for name in there} == set(settings.DOORS)


@pytest.mark.parametrize("client", sorted(WORKED))
def test_a_client_gets_its_result_and_sees_what_it_cost(desk: str, customer: User, tmp_path: Path, client: str) -> None:
    wanted = WORKED[client]
    words = []
    if wanted.is_given:
        Image.effect_noise((300, 300), 60).save(tmp_path / "chair.jpg")
        words = ["chair.jpg"]

    told = {"DESK_USER": NAME, "DESK_PASSWORD": PASSWORD}
    if wanted.by_token:
        told = {"DESK_TOKEN": personal.make(customer, "a client's")[1]}
        connection.close()

    done = run(desk, client, tmp_path, *words, **told)

    assert done.returncode == 0, done.stdout + done.stderr
    for ending, (count, is_right) in wanted.files.items():
        found = [path.read_bytes() for path in tmp_path.iterdir() if path.suffix == ending]
        assert [is_right(body) for body in found] == [True] * count, done.stdout
    assert done.stdout.strip().endswith(f"\n{100 - wanted.credits} credits left")


@pytest.mark.parametrize("client", ["visuals.py", "visuals.sh"])
def test_a_refusal_ends_the_client_and_says_why(desk: str, customer: User, tmp_path: Path, client: str) -> None:
    done = run(desk, client, tmp_path, DESK_USER=NAME, DESK_PASSWORD="wrong")
    assert done.returncode == 1
    assert "Wrong name or password." in done.stderr
