"""Image, compose file and Railway's file say what is so: their commands, settings, files and health path exist."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands
from django.test import Client
from django.utils.module_loading import import_string

from tests.papers.test_docs import read_settings

ROOT = Path(settings.BASE_DIR)
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
RAILWAY: dict[str, Any] = json.loads((ROOT / "railway.json").read_text())
# Services of our own image, and what the others are.
OURS = {"prepare", "web", "sockets", "worker"}


def flat(command: Any) -> str:
    """A command as one line, whether it is written as a list, a text or for a shell."""
    return command if isinstance(command, str) else " ".join(command)


def commands() -> Iterator[tuple[str, str]]:
    for name in sorted(OURS):
        service = COMPOSE["services"][name]
        yield f"compose {name}", flat(service.get("command", ""))
        yield f"compose {name} health", flat(service.get("healthcheck", {}).get("test", ""))
    yield "image", DOCKERFILE
    for command in RAILWAY["deploy"]["preDeployCommand"]:
        yield "railway", command


@pytest.mark.parametrize(("where", "command"), [*commands()])
def test_commands_exist(where: str, command: str) -> None:
    named = re.findall(r"manage\.py[\s,\"]+([a-z_]+)", command)
    assert set(named) <= set(get_commands()), where
    for target in re.findall(r"uvicorn ([\w.]+:\w+)", command):
        assert import_string(target.replace(":", "."))


def test_the_compose_file_passes_settings_that_are_read() -> None:
    for name in OURS:
        unknown = set(COMPOSE["services"][name]["environment"]) - read_settings()
        assert unknown == set(), name
    assert {"PORT", "MEDIA_ROOT"} <= read_settings()


def test_whatever_stands_in_env_reaches_the_desk() -> None:
    for name in OURS:
        assert [one["path"] for one in COMPOSE["services"][name]["env_file"]] == [".env"], name


def test_every_value_that_must_be_chosen_is_asked_for_in_the_papers() -> None:
    """Compose stops without them, so whoever follows the page has to meet each of them there."""
    must = set(re.findall(r"\$\{([A-Z_]+):\?", (ROOT / "compose.yaml").read_text()))
    assert must
    page = (ROOT / "docs" / "deploy.md").read_text()
    assert {name for name in must if f"\n{name}=" not in page} == set()


def test_every_service_is_limited_watched_and_scales() -> None:
    assert set(COMPOSE["services"]) >= OURS | {"database", "redis", "storage", "proxy"}
    for name, service in COMPOSE["services"].items():
        limits = service["deploy"]["resources"]["limits"]
        assert set(limits) == {"cpus", "memory"}, name
        assert "container_name" not in service, f"{name} could run once only"
        for needed in service.get("depends_on", {}):
            assert needed in COMPOSE["services"]
    assert COMPOSE["services"]["worker"]["deploy"]["replicas"] >= 3


def test_the_proxy_knows_the_services_and_keeps_sockets_together() -> None:
    told = COMPOSE["configs"]["proxy"]["content"]
    for service, port in re.findall(r"dynamic a (\w+) (\d+)", told):
        assert port in COMPOSE["services"][service]["expose"]
    live = told[told.index("reverse_proxy @live") :]
    assert "lb_policy cookie" in live[: live.index("}", live.index("lb_policy"))]
    assert "/ws/* /socket.io/*" in told


@pytest.mark.django_db
def test_the_health_path_answers() -> None:
    paths = {RAILWAY["deploy"]["healthcheckPath"]}
    paths |= set(re.findall(r"health_uri (\S+)", COMPOSE["configs"]["proxy"]["content"]))
    paths |= set(re.findall(r"/health[\w/]*", DOCKERFILE))
    assert paths == {"/health"}
    assert Client().get("/health").json() == {"status": "healthy"}


def test_the_image_gets_what_it_copies_and_all_that_the_house_imports() -> None:
    final = DOCKERFILE[DOCKERFILE.rindex("FROM ") :]
    copied = {
        words[0] for line in re.findall(r"^COPY (?!--from)(.*)$", final, re.MULTILINE) if (words := shlex.split(line))
    }
    kept = [line for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")]
    for source in copied | {"requirements.txt"}:
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, rule[1:]) for rule in kept), f"{source} is ignored"
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "bench"}
    assert packages | {"templates", "manage.py", "docs/clients"} <= copied


def test_the_image_is_nobodys_root_and_holds_no_secret() -> None:
    assert int(re.findall(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)[-1]) > 0
    kept = {line for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    assert not any("confidential" in rule or "env" in rule for rule in kept)
    assert not re.search(r"^ENV .*(SECRET|PASSWORD|KEY)", DOCKERFILE, re.MULTILINE)


def test_railway_builds_the_same_image() -> None:
    assert RAILWAY["build"]["builder"] == "DOCKERFILE"
    assert (ROOT / RAILWAY["build"]["dockerfilePath"]).exists()
