"""The small rooms: registry, lanes, breaker, keys, windows, shapes, sniffing, lifting."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image
from redis.exceptions import ReadOnlyError

from config.api import redis as desk_redis
from providers import breaker, checks, registry, secrets, shapes, sniff, windows
from providers.breaker import Recent
from providers.errors import BadAnswer, RateLimited
from providers.lift import NotJSON, lift
from providers.models import Lane
from providers.spool import Spool, TooBig
from providers.transport import Answer
from tests.providers.make import make_png

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


# --- Registry ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "alias"),
    [
        ("openai", "provider_d"),
        (" OpenAI ", "provider_d"),
        ("stabilityai", "provider_a"),
        ("STABILITY", "provider_a"),
        ("tripoai", "provider_c"),
        ("provider_g", "provider_g"),
        ("openrouter", "provider_h"),
        ("google-imagen", None),
        ("", None),
    ],
)
def test_real_names_and_aliases_are_understood_in_any_case(said: str, alias: str | None) -> None:
    assert registry.alias_of(said) == alias


def test_candidates_are_those_that_can_here_once_and_in_order(settings: Any) -> None:
    order = ["huggingface", "stability", "OpenAI", "provider_g", "nobody"]
    three = [("provider_g", "main"), ("provider_a", "main"), ("provider_d", "main")]
    assert registry.candidates("text-to-image", order) == three
    assert registry.candidates("image-to-model", order) == [("provider_a", "main")]
    assert registry.candidates("verify-image", order) == []
    settings.PROVIDERS_MODE = "real"
    settings.PROVIDER_KEYS = {"openai": "sk-real", "huggingface": ""}
    assert registry.candidates("text-to-image", order) == [("provider_d", "main")]
    assert {message.id for message in checks.missing_keys()} == {"providers.W001"}


def test_work_of_our_own_has_its_lane() -> None:
    assert registry.lane_of("", "thumbnail") == "internal" == registry.lane_of("internal", "thumbnail")
    assert registry.lane_of("provider_d", "image-inpaint") == "provider_d"
    assert registry.real_name("provider_g") == "huggingface"


def test_a_provider_without_an_adapter_is_known_but_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._BY_ALIAS, "provider_z", registry.Vendor("provider_z", ("newcomer",)))
    assert registry.real_name("provider_z") == "newcomer"
    assert not registry.is_available("provider_z")
    with pytest.raises(LookupError):
        registry.adapter("provider_z")


# --- Lanes and breaker ---------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_first_lanes_are_there() -> None:
    caps = dict(Lane.objects.values_list("name", "cap"))
    assert caps == {**caps, "desk": None, "internal": None, "provider_d": 50, "provider_g": 50}
    lanes = {registry.lane_of(alias, operation) for operation, alias, *_ in registry.table()}
    assert lanes <= set(caps)


@pytest.mark.django_db
@pytest.mark.parametrize("wrong", [{"breaker": "ajar"}, {"breaker": "open"}, {"cap": -1}])
def test_the_database_refuses_an_impossible_lane(wrong: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Lane.objects.filter(name="provider_d").update(**wrong)


def recent(pattern: str, step_s: float = 1.0) -> list[Recent]:
    """One outcome per letter, the last just now: . made, x failed, o ours."""
    size = len(pattern)
    return [
        Recent(NOW - timedelta(seconds=(size - 1 - n) * step_s), letter != ".", letter == "o")
        for n, letter in enumerate(pattern)
    ]


@pytest.mark.parametrize(
    ("pattern", "step_s", "state"),
    [
        ("", 1, "closed"),
        ("x" * 19, 1, "closed"),  # too few to judge
        ("x" * 20, 1, "open"),
        (".x" * 10, 1, "open"),  # half
        (".x" * 9 + "..", 1, "closed"),  # just under half
        ("x" * 20, 10, "closed"),  # only 6 of them within the minute
        ("....o", 1, "open"),  # ours, at once
        ("o.", 1, "closed"),  # answered by a probe
        ("o.x", 1, "closed"),
        ("ox", 1, "open"),
    ],
)
def test_when_the_breaker_opens(pattern: str, step_s: float, state: str) -> None:
    assert breaker.verdict(recent(pattern, step_s), NOW) == state
    assert bool(breaker.reason(recent(pattern, step_s), NOW)) is (state == "open")


# --- Errors --------------------------------------------------------------------------------------


def test_what_staff_read_of_a_binary_answer_can_be_stored() -> None:
    assert BadAnswer(detail="not JSON: \x89PNG\0\0IHDR").detail == "not JSON: \x89PNGIHDR"


# --- Keys ----------------------------------------------------------------------------------------


def test_simulated_mode_has_keys_that_are_worth_nothing(settings: Any) -> None:
    settings.PROVIDER_KEYS = {"openai": "sk-real-and-expensive"}
    assert secrets.key("openai") == "sk-simulator"
    settings.PROVIDERS_MODE = "real"
    assert secrets.key("openai") == "sk-real-and-expensive"
    with pytest.raises(secrets.MissingKey, match="HUGGINGFACE_API_KEY"):
        secrets.key("huggingface")


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-abcdef123456",
        "Authorization: Bearer abcdefgh12345678",
        "see https://cdn.example/file.png?X-Signature=abcdefgh12345678",
        "token hf_abcdefgh12345678",
        "my own key is topsecretvalue",
        "tell https://desk.example/hooks/provider_e/abcdef-token",
    ],
)
def test_secrets_are_cut_out_of_what_staff_read(settings: Any, text: str) -> None:
    settings.PROVIDER_KEYS = {"openai": "topsecretvalue"}
    shown = secrets.redact(text)
    assert not any(part in shown for part in ("abcdef", "topsecretvalue"))
    assert "***" in shown


@pytest.mark.parametrize("before", range(260, 300, 5))
def test_a_key_across_the_cut_is_cut_out_whole(settings: Any, before: int) -> None:
    settings.PROVIDER_KEYS = {"recraft": "a-key-without-any-shape-of-its-own"}
    spool = Spool(10_000)
    spool.write(b"." * before + b"a-key-without-any-shape-of-its-own" + b"." * 500)
    shown = Answer(400, {}, spool.rewind(), 0.1).excerpt(300)
    spool.close()
    assert "a-key" not in shown
    assert len(shown) <= 300


# --- Windows -------------------------------------------------------------------------------------


@pytest.fixture(params=["redis", "redis down"])
def window(request: pytest.FixtureRequest, settings: Any) -> str:
    name = f"test-{id(request)}"
    if request.param == "redis down":
        settings.REDIS_URL = "unix:///nowhere.sock"
    else:
        desk_redis.client().delete(f"atelier:window:{name}:30", f"atelier:window:{name}:60")
    return name


def test_a_window_lets_just_so_many_through(window: str) -> None:
    for _ in range(3):
        windows.take(window, (3, 30.0))
    with pytest.raises(RateLimited) as caught:
        windows.take(window, (3, 30.0))
    assert 1 <= (caught.value.retry_after_s or 0) <= 30
    assert not caught.value.costs_start


def test_a_redis_that_refuses_to_write_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class ReadOnly:
        def register_script(self, script: str) -> Any:
            def refuse(**_: Any) -> None:
                raise ReadOnlyError("You can't write against a read only replica.")

            return refuse

    monkeypatch.setattr(desk_redis, "client", ReadOnly)
    windows.take("test-read-only", (1, 30.0))
    with pytest.raises(RateLimited):
        windows.take("test-read-only", (1, 30.0))


def test_no_line_or_error_about_a_window_names_its_vendor(
    settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REDIS_URL = "unix:///nowhere.sock"
    windows.take("recraft", (1, 0.001))
    assert [record for record in caplog.records if "recraft" in str(record.__dict__)] == []


def test_a_call_counts_in_all_windows_of_its_vendor_or_in_none(window: str) -> None:
    for _ in range(2):
        windows.take(window, (2, 30.0), (3, 60.0))
    for _ in range(5):
        with pytest.raises(RateLimited):
            windows.take(window, (2, 30.0), (3, 60.0))
    windows.take(window, (0, 30.0), (3, 60.0))
    with pytest.raises(RateLimited) as caught:
        windows.take(window, (9, 30.0), (3, 60.0))
    assert 30 < (caught.value.retry_after_s or 0) <= 60


def test_a_window_is_exact_for_many_at_once(window: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def one(_: int) -> bool:
        try:
            windows.take(window, (10, 30.0))
        except RateLimited:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(one, range(60))) == 10


def test_no_limit_asks_nobody(settings: Any) -> None:
    settings.REDIS_URL = "unix:///nowhere.sock"
    windows.take("free", (0, 60))


# --- Shapes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "size"),
    [
        ({}, (1024, 1024)),
        ({"aspect_ratio": "3:4"}, (864, 1152)),
        ({"aspect_ratio": "16:9"}, (1280, 720)),
        ({"aspect_ratio": "7:5"}, (1024, 1024)),
        ({"width": 1000, "height": 1000, "aspect_ratio": "16:9"}, (992, 992)),
        ({"width": 8000, "height": 8000}, (1024, 1024)),
        ({"width": 2000, "height": 100}, (1280, 432)),  # no longer than 3:1
        ({"width": 600, "height": 200}, (608, 208)),
        ({"width": 1, "height": 1}, (16, 16)),
    ],
)
def test_the_size_wanted(inputs: dict[str, Any], size: tuple[int, int]) -> None:
    assert shapes.wanted_size(inputs, most_pixels=1024 * 1024, longest=1280) == size


@given(st.integers(1, 20_000), st.integers(1, 20_000))
@hypothesis_settings(max_examples=200)
def test_a_size_always_fits_what_the_models_take(width: int, height: int) -> None:
    wide, high = shapes.wanted_size({"width": width, "height": height}, most_pixels=2560 * 1440, longest=3840)
    assert wide % 16 == 0 == high % 16
    assert min(wide, high) >= 16
    assert max(wide, high) <= 3840
    assert wide * high <= 3840 * 2160
    assert 1 / 3 <= wide / high <= 3


def test_the_nearest_of_a_list() -> None:
    assert shapes.nearest_ratio({"aspect_ratio": "3:4"}, ["1:1", "4:5", "2:3", "9:16"]) == "4:5"
    assert shapes.nearest_size({"width": 500, "height": 900}, [(1024, 1024), (1024, 1536), (1536, 1024)]) == (
        1024,
        1536,
    )


@pytest.mark.parametrize(("colour", "alpha"), [("white", 0), ("black", 255), ((140, 140, 140), 0), ((90, 90, 90), 255)])
def test_white_becomes_transparent(colour: Any, alpha: int) -> None:
    made = Image.open(io.BytesIO(shapes.alpha_mask(make_png(8, 8, colour), (20, 10))))
    assert made.mode == "RGBA"
    assert made.size == (20, 10)
    assert made.getpixel((5, 5))[3] == alpha  # type: ignore[index]


@pytest.mark.parametrize("mask", [b"", b"x" * 100, make_png()[:40]])
def test_a_mask_that_is_no_picture_is_a_value_error(mask: bytes) -> None:
    for shape in (shapes.alpha_mask, shapes.plain_mask):
        with pytest.raises(ValueError, match="not a picture"):
            shape(mask, (8, 8))


@pytest.mark.parametrize(("colour", "grey"), [("white", 255), ("black", 0), ((140, 140, 140), 255), ((90, 90, 90), 0)])
def test_a_plain_mask_is_white_where_to_change(colour: Any, grey: int) -> None:
    made = Image.open(io.BytesIO(shapes.plain_mask(make_png(8, 8, colour), (20, 10))))
    assert (made.mode, made.size) == ("L", (20, 10))
    assert made.getpixel((5, 5)) == grey


@pytest.mark.parametrize("size", [(8, 8), (20, 10)])
def test_a_mask_that_is_grey_already_serves_as_well(size: tuple[int, int]) -> None:
    mask = make_png(8, 8, 255, "L")
    assert Image.open(io.BytesIO(shapes.plain_mask(mask, size))).getpixel((4, 4)) == 255
    assert Image.open(io.BytesIO(shapes.alpha_mask(mask, size))).getpixel((4, 4))[3] == 0  # type: ignore[index]


def test_what_is_transparent_in_a_mask_stays() -> None:
    mask = make_png(8, 8, (255, 255, 255, 0), "RGBA")
    assert Image.open(io.BytesIO(shapes.plain_mask(mask, (8, 8)))).getpixel((4, 4)) == 0


def test_a_picture_is_reduced_for_those_who_only_look() -> None:
    made = Image.open(io.BytesIO(shapes.reduced(make_png(300, 120, (255, 0, 0, 0), "RGBA"), 100)))
    assert (made.format, made.size) == ("JPEG", (100, 40))
    assert made.getpixel((50, 20)) == (255, 255, 255)
    assert Image.open(io.BytesIO(shapes.reduced(make_png(30, 20), 100))).size == (30, 20)
    with pytest.raises(ValueError, match="not a picture"):
        shapes.reduced(b"no picture", 100)


# --- Sniffing and lifting ------------------------------------------------------------------------


def encoded(format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((70, 50), 60).convert("RGB").save(out, format, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (encoded("PNG"), "image/png"),
        (encoded("JPEG"), "image/jpeg"),
        (encoded("JPEG", progressive=True), "image/jpeg"),
        (encoded("WEBP"), "image/webp"),
        (encoded("WEBP", lossless=True), "image/webp"),
        (encoded("WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"), "image/webp"),
    ],
)
def test_a_picture_is_known_with_its_size_and_whether_it_is_whole(data: bytes, content_type: str) -> None:
    seen = sniff.look(io.BytesIO(data), len(data))
    assert seen == sniff.Look(content_type, True, 70, 50)
    half = data[: len(data) // 2]
    assert sniff.look(io.BytesIO(half), len(half)).is_whole is False


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<html>", b"\x89PNG", b"RIFF\0\0\0\0AVI ", bytes(100)])
def test_anything_else_is_nothing(data: bytes) -> None:
    assert sniff.look(io.BytesIO(data), len(data)).content_type == ""


@given(st.lists(st.binary(max_size=3000), max_size=4), st.integers(0, 3), st.booleans())
@hypothesis_settings(max_examples=100)
def test_lifting_gives_back_what_json_would(values: list[bytes], indent: int, escaped: bool) -> None:
    document = {"before": [1, {"x": "y"}], "data": [{"b64": base64.b64encode(v).decode()} for v in values], "z": "b64"}
    text = json.dumps(document, indent=indent or None)
    if escaped:
        text = text.replace("/", "\\/")
    rest, spools = lift(io.BytesIO(text.encode()), "b64", 10_000)
    found = []
    for spool in spools:
        with spool.file as file:
            found.append(file.read())
    assert found == values
    assert rest == {**document, "data": [{"b64": ""}] * len(values)}


def test_lifting_spans_the_chunks_it_reads() -> None:
    for shift in range(0, 200, 7):
        pad = "p" * (64 * 1024 - 100 + shift)
        body = json.dumps({"pad": pad, "b64": base64.b64encode(b"x" * 100_000).decode()}).encode()
        rest, [spool] = lift(io.BytesIO(body), "b64", 100_000)
        assert spool.size_bytes == 100_000
        assert rest["pad"] == pad
        spool.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"3",
        b'{"b64": "@@@@"}',
        b'{"b64": "abc',
        b'{"b64": "QUJD"',
        b"[" * 100_000,
        b'{"a": "\xff"}',
    ],
)
def test_what_is_not_json_is_said_to_be_so(body: bytes) -> None:
    with pytest.raises(NotJSON):
        lift(io.BytesIO(body), "b64", 1000)


def test_lifting_more_than_the_cap_is_refused() -> None:
    body = json.dumps({"b64": base64.b64encode(b"x" * 2000).decode()}).encode()
    with pytest.raises(NotJSON):
        lift(io.BytesIO(body), "b64", 1000)
    with pytest.raises(NotJSON):
        lift(io.BytesIO(b'{"a": "' + b"x" * 2_000_000 + b'"}'), "b64", 1000)


def test_a_spool_stops_at_its_cap() -> None:
    spool = Spool(10)
    spool.write(b"x" * 10)
    with pytest.raises(TooBig):
        spool.write(b"x")
    spool.close()


# --- The floor -----------------------------------------------------------------------------------


def test_calling_a_provider_needs_no_database() -> None:
    """Adapters work where no ORM is set up: nothing in their way imports a model."""
    code = (
        "import django.conf, os; os.environ['DJANGO_SETTINGS_MODULE'] = 'config.settings';"
        "from providers import registry; registry.adapter('provider_d'); registry.adapter('provider_g');"
        "import sys; assert 'providers.models' not in sys.modules and 'django.db.models' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
