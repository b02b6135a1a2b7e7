"""The papers hold what they say: links lead somewhere, commands and settings exist, queries run."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands
from django.db import connection
from django.urls import Resolver404, resolve

ROOT = Path(settings.BASE_DIR)
PAPERS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Endings of what the papers name as a file of the house.
FILES = (".py", ".js", ".md", ".toml", ".txt", ".yaml", ".json", ".html", ".png", ".sh", ".css")
# What they name besides: of the reader's, of the store, made by a command.
NOT_OURS = {"segments.md", "config.json", "diagram.png", "status.json", "generation_report.json", "atelier.dump"}

papers = pytest.mark.parametrize("paper", PAPERS, ids=lambda path: str(path.relative_to(ROOT)))


@cache
def files() -> set[str]:
    """Every file of the house by each end of its path: `auth.py`, `api/auth.py`, `config/api/auth.py`."""
    found = set()
    for top in ("config", "credits", "generation", "providers", "templates", "tests", "bench", "docs"):
        for path in (ROOT / top).rglob("*"):
            parts = path.relative_to(ROOT).parts
            found.update("/".join(parts[at:]) for at in range(len(parts)))
    return found | {path.name for path in ROOT.iterdir()}


def quoted(paper: Path) -> Iterator[str]:
    """The words that a paper sets as code within its lines."""
    text = re.sub(r"^```.*?^```", "", paper.read_text(), flags=re.DOTALL | re.MULTILINE)
    return iter(re.findall(r"`([^`\n]+)`", text))


def code(paper: Path) -> str:
    """All that a paper sets as code."""
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", paper.read_text(), flags=re.DOTALL | re.MULTILINE)
    return "\n".join([*blocks, *quoted(paper)])


@papers
def test_links_lead_somewhere(paper: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", paper.read_text())
    missing = [link for link in links if "://" not in link and not (paper.parent / link).exists()]
    assert missing == []


@papers
def test_files_that_are_named_exist(paper: Path) -> None:
    named = {word for word in quoted(paper) if re.fullmatch(r"[\w./-]+", word) and Path(word).suffix in FILES}
    assert {word for word in named - NOT_OURS if word.removeprefix("./") not in files()} == set()


@papers
def test_commands_that_are_named_exist(paper: Path) -> None:
    text = code(paper)
    commands = set(re.findall(r"manage\.py ([a-z][a-z_]*)", text))
    assert commands <= set(get_commands())
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"^make ([a-z]+)\b", "\n".join([text, *quoted(paper)]), flags=re.MULTILINE)) <= targets


@papers
def test_pages_that_are_named_are_routed(paper: Path) -> None:
    found = re.findall(
        r"(?<![\w.$*{}])(/(?:app|api|admin|health|metrics|tasks|generate)(?![\w-])[\w/.-]*)", code(paper)
    )
    gone = set()
    for address in found:
        try:
            resolve(address)
        except Resolver404:
            # Named by its beginning, as in `/api/credits/…`
            if not any(route.startswith(address) for route in routes()):
                gone.add(address)
    assert gone == set()


@cache
def routes() -> list[str]:
    from django.urls import get_resolver

    def walk(patterns: list, prefix: str) -> Iterator[str]:
        for one in patterns:
            route = prefix + str(getattr(one.pattern, "_route", ""))
            yield from walk(one.url_patterns, route) if hasattr(one, "url_patterns") else [route]

    return list(walk(get_resolver().url_patterns, "/"))


@papers
def test_what_is_to_be_typed_can_be_read(paper: Path) -> None:
    for language, block in re.findall(r"^```(sh|python)\n(.*?)^```", paper.read_text(), flags=re.DOTALL | re.MULTILINE):
        if language == "python":
            ast.parse(block)
        else:
            read = subprocess.run(["sh", "-n"], input=block, text=True, capture_output=True)
            assert read.returncode == 0, read.stderr


@papers
def test_labels_that_are_named_are_shown(paper: Path) -> None:
    """Words in italics with a capital are what stands on a button or in a menu: *Ledger → Export*."""
    # What a worker may be told, not a label.
    words = {"Pending", "Made", "Error"}
    named = re.findall(r"(?<!\*)\*([A-Z][^*\n]+)\*(?!\*)", paper.read_text())
    assert {label for label in named for word in label.split(" → ") if word not in shown()} - words == set()


@cache
def shown() -> str:
    pages = [
        *(ROOT / "templates").rglob("*.html"),
        *ROOT.glob("*/admin/*.py"),
        *ROOT.glob("*/*admin.py"),
        *ROOT.glob("*/models.py"),
    ]
    return "\n".join(path.read_text() for path in pages)


# --- Settings -------------------------------------------------------------------------------------


# The readers of config/env.py.
READERS = {"boolean", "choice", "counts", "hosts", "integer", "json_list", "number", "origins", "text", "url", "words"}


@cache
def read_settings() -> set[str]:
    """The variables that the house reads."""
    found = set()
    for path in (ROOT / "config").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READERS:
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found.add(first.value)
    return {name for name in found if re.fullmatch(r"[A-Z][A-Z0-9_]+", name)}


def table_of_settings() -> set[str]:
    rows = [
        "".join(line.split("|")[1::2])
        for line in (ROOT / "docs" / "settings.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    return {name for row in rows for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", row)}


def test_the_table_names_no_setting_that_nobody_reads() -> None:
    assert table_of_settings() - read_settings() == set()


def test_the_table_names_every_setting() -> None:
    assert read_settings() - table_of_settings() == set()


# --- Queries --------------------------------------------------------------------------------------


@pytest.mark.django_db
@papers
def test_queries_run(paper: Path) -> None:
    for block in re.findall(r"^```sql\n(.*?)^```", paper.read_text(), flags=re.DOTALL | re.MULTILINE):
        for query in block.replace("'…'", "'00000000-0000-0000-0000-000000000000'").split(";"):
            if query.strip():
                with connection.cursor() as cursor:
                    cursor.execute(query)
