"""No page shuts anybody out: axe-core finds nothing serious on any of them, in light and in dark; phones fit them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from django.conf import settings
from django.test import Client

from tests.browser.conftest import program
from tests.chromium import launched
from tests.site.house import House
from tests.site.pages import CUSTOMER, NEWCOMER, STAFF, VISITOR, one_of_each

__all__ = ["program"]

pytestmark = [pytest.mark.slow, pytest.mark.django_db, pytest.mark.timeout(400)]

# Rows that are only read, by widgets that generation-attempt has too.
ALIKE = {
    *("generation-event", "generation-chore", "generation-auditrun", "generation-avatar", "generation-posecategory"),
    *("credits-entry", "config-staffact", "config-personaltoken"),
}
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
GRAVE = ("serious", "critical")
# The structure is the same in both schemes; of the dark one the colours are left to look at.
RULES = {"light": None, "dark": ["color-contrast", "link-in-text-block"]}
# A colour on its way is no colour: what moves is brought to its end, and what that sets moving too.
STILL = """async () => {
  for (let round = 0; round < 3; round += 1) {
    for (const moving of document.getAnimations()) { try { moving.finish(); } catch { moving.cancel(); } }
    await new Promise(requestAnimationFrame);
  }
}"""
# The console looks once, when it is loaded, at what the system likes.
SCHEME_OF_THE_CONSOLE = (
    """scheme => document.querySelector("html[x-data]")?.classList.toggle("dark", scheme === "dark")"""
)
# Rows of a list are alike: a handful of them is looked at.
LOOK = """async rules => {
  const options = { resultTypes: ["violations"], preload: false, iframes: false };
  if (rules) options.runOnly = rules;
  const exclude = ["#result_list tbody:nth-of-type(n+6)", ".console-table tbody tr:nth-child(n+8)"];
  const { violations } = await axe.run({ include: [":root"], exclude }, options);
  return violations.flatMap(({ id, impact, nodes }) => nodes.map((node) => (
    { id, impact, target: node.target.join(" "), html: node.html.slice(0, 200), why: node.failureSummary }
  )));
}"""


@dataclass(frozen=True)
class Visit:
    name: str
    who: str
    address: str
    session: str


@pytest.fixture(scope="module")
def visits(house: House) -> list[Visit]:
    """Every page: looked up before the browser runs, beside which Django reads no rows."""
    sessions: dict[Any, str] = {None: ""}
    found = []
    for page in one_of_each():
        if page.name in ALIKE:
            continue
        person = page.person(house)
        if person not in sessions:
            client = Client()
            client.force_login(person)
            sessions[person] = client.cookies[settings.SESSION_COOKIE_NAME].value
        found.append(Visit(page.name, page.who, page.address(house), sessions[person]))
    return found


@pytest.mark.parametrize("who", [VISITOR, CUSTOMER, NEWCOMER, STAFF])
def test_axe_finds_nothing_serious_on_any_page(program: str, visits: list[Visit], base: str, who: str) -> None:
    with launched() as browser:  # here, because Django talks to no database while it runs
        faults = _all_faults(browser, [visit for visit in visits if visit.who == who], base)
    assert faults == [], "\n".join(["", *faults])


def _all_faults(browser: Any, visits: list[Visit], base: str) -> list[str]:
    context = browser.new_context(base_url=base, reduced_motion="reduce")
    if session := visits[0].session:
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": base}])
    page = context.new_page()
    faults: list[str] = []
    page.on("requestfailed", lambda call: faults.append(f"not loaded: {call.url}: {call.failure}"))
    page.on("request", lambda call: _is_here(call.url, base) or faults.append(f"elsewhere: {call.url}"))
    for visit in visits:
        faults += _faults(page, visit)
    context.close()
    return faults


def _is_here(address: str, base: str) -> bool:
    return address.startswith((base, "data:", "blob:"))


def _faults(page: Any, visit: Visit) -> list[str]:
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(WIDE)
    answer = page.goto(visit.address)
    found = [] if answer and answer.status < 500 else [f"not shown: {visit.address}"]
    page.evaluate(AXE_SCRIPT)
    for scheme, rules in RULES.items():
        page.emulate_media(color_scheme=scheme)
        page.evaluate(SCHEME_OF_THE_CONSOLE, scheme)
        page.evaluate(STILL)
        found += [
            f"{visit.name}, {scheme}: {one['id']} ({one['impact']}) at {one['target']}\n    {one['html']}\n    "
            f"{one['why']}"
            for one in page.evaluate(LOOK, rules)
            if one["impact"] in GRAVE
        ]
    page.set_viewport_size(PHONE)
    page.evaluate(STILL)
    over = page.evaluate(SIDEWAYS)
    return found + ([f"{visit.name}: on a phone it scrolls sideways by {over} pixels"] if over > 0 else [])
