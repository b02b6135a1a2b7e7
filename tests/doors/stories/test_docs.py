"""The door's page for people and its OpenAPI: neither may leave out a code, and the page's story is one."""

from __future__ import annotations

import json
import re
from pathlib import Path

from django.conf import settings
from drf_spectacular.generators import SchemaGenerator

from generation.doors.stories.segments import parse

PAGE = (settings.BASE_DIR / "docs" / "stories.md").read_text()
DOOR = settings.BASE_DIR / "generation" / "doors" / "stories"
CODE = re.compile(r'"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|CANCELLED)"')
# What the desk's own rows are called by, which is translated, and the names of environment-like constants.
INNER = {"PROVIDER_AUTH", "CHECK_FAILED", "UNKNOWN_ERROR", "RATE_LIMITED"}


def codes_of(*files: str) -> set[str]:
    return {code for file in files for code in CODE.findall((DOOR / file).read_text())} - INNER


def test_the_page_names_every_fault_warning_and_error() -> None:
    codes = codes_of("segments.py", "serializers.py", "runs.py", "present.py")
    assert len(codes) > 20
    assert {code for code in codes if f"`{code}`" not in PAGE} == set()


def test_openapi_names_every_code_of_the_door() -> None:
    told = json.dumps(SchemaGenerator().get_schema(request=None, public=True))
    codes = codes_of(*(file.name for file in Path(DOOR).glob("*.py")))
    assert {code for code in codes if code not in told} == set()


def test_the_pages_story_has_no_fault() -> None:
    (sample,) = re.findall(r"~~~markdown\n(.*?)~~~", PAGE, re.DOTALL)
    outline = parse(sample.encode())
    assert (outline.faults, outline.warnings) == ((), ())
    assert [(one.number, one.duration_s) for one in outline.segments] == [(1, 8), (2, 14)]
    assert outline.segments[1].visual_guidance == "Earth and Moon from space soft blue light"
