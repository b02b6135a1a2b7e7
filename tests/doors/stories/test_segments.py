"""The reader of segments.md: what it takes, every fault with its line, and that no input harms it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generation.doors.stories.lines import clean_name
from generation.doors.stories.segments import MOST_BYTES, Outline, parse
from tests.doors.stories.samples import BAD, GOOD

GUIDANCE = "- Visual guidance: a quiet mountain\n"


def story(body: str, head: str = "**Segment 1: Hook (0-8 seconds)**\n") -> Outline:
    return parse(f"Template: Volcanoes\n{head}{body}".encode())


def narration(body: str) -> str:
    outline = story(body + GUIDANCE)
    assert not outline.faults, outline.faults
    return outline.segments[0].narration


def faults(outline: Outline) -> list[tuple[str, str, int]]:
    return [(fault.code, fault.field, fault.line) for fault in outline.faults]


# --- The contract's own files --------------------------------------------------------------------


def test_the_good_sample_is_read_and_sorted() -> None:
    outline = parse(GOOD.encode())

    assert (outline.template_title, outline.faults, outline.warnings) == ("How Tides Work", (), ())
    assert [(one.number, one.title, one.duration_s) for one in outline.segments] == [
        (1, "Hook", 8),
        (2, "The Pull of the Moon", 14),
        (3, "Two Tides a Day", 18),
        (4, "Look Again", 10),
    ]
    hook, moon, tides, again = outline.segments
    assert hook.narration == "Why does the beach you played on this morning vanish under water by noon?"
    assert hook.visual_guidance == "A sandcastle on a wide beach, the sea far away"
    assert moon.narration.startswith("The Moon pulls on the Earth. Rock barely moves, but the oceans can flow,\nso the")
    assert moon.visual_guidance.endswith("toward the Moon soft blue light, no labels")
    assert tides.visual_guidance == "Time-lapse of one harbour: boats afloat, then boats on mud"
    assert again.visual_guidance == "Child watching the tide come in at sunset"


def test_the_bad_sample_tells_every_fault_with_its_line() -> None:
    outline = parse(BAD.encode())

    assert faults(outline) == [
        ("MISSING_TEMPLATE", "template", 1),
        ("INVALID_SEGMENT_NUMBER", "segments[1].number", 11),
        ("MISSING_SEGMENT_NUMBER", "segments[2].number", 15),
        ("DUPLICATE_SEGMENT_NUMBER", "segments[3].number", 19),
        ("MISSING_NARRATION", "segments[4].narration", 23),
        ("MISSING_NARRATION", "segments[5].narration", 26),
        ("MISSING_VISUAL_GUIDANCE", "segments[6].visual_guidance", 33),
        ("UNCLOSED_NARRATION", "segments[7].narration", 39),
    ]
    assert [(one.code, one.line) for one in outline.warnings] == [("NEGATIVE_DURATION", 23), ("MISSING_DURATION", 26)]


@pytest.mark.parametrize("end", ["\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("sample", [GOOD, BAD])
def test_line_ends_and_a_byte_order_mark_change_nothing(sample: str, mark: str, end: str) -> None:
    assert parse((mark + sample.replace("\n", end)).encode()) == parse(sample.encode())


# --- File, template, header ----------------------------------------------------------------------


def test_an_empty_file_misses_its_template_and_its_segments() -> None:
    assert faults(parse(b"")) == [("MISSING_TEMPLATE", "template", 1), ("NO_SEGMENTS", "segments", 1)]
    assert faults(parse(b"Template: x\n## Segment 1: Hook (0-8)\n")) == [("NO_SEGMENTS", "segments", 1)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_what_is_not_utf8_is_said_with_the_line_where_it_begins(end: bytes) -> None:
    assert faults(parse(b"Template: x" + end + end + b"**Segment \xff")) == [("NOT_UTF8", "segments", 3)]


def test_fifty_segments_are_taken_and_one_more_is_not() -> None:
    one = "**Segment {}: Title (0-8)**\n- Narration text: Words.\n- Visual guidance: A picture\n"
    fifty = "Template: Many\n" + "".join(map(one.format, range(1, 51)))
    assert len(parse(fifty.encode()).segments) == 50
    assert faults(parse((fifty + one.format(51)).encode())) == [("TOO_MANY_SEGMENTS", "segments", 152)]
    assert "51 segments" in parse((fifty + one.format(51)).encode()).faults[0].message


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Template: Tides", "Tides"),
        ("  Template:Tides  ", "Tides"),
        ("Template: a/b: c?", "a_b_ c_"),
        ("Template: ...", "unnamed"),
        ("Template: one\nTemplate: two", "one"),
        ("```\nTemplate: inside\n```\nTemplate: outside", "outside"),
        ("template: small\nTemplate: right", "right"),
        ("**Segment 9: x\n```\nTemplate: inside\n**Segment 10: y\nTemplate: after a header", "after a header"),
    ],
)
def test_the_first_template_line_outside_fences_counts(text: str, title: str) -> None:
    assert parse(text.encode()).template_title == title


def test_a_template_line_with_nothing_after_it_is_missing() -> None:
    assert faults(parse(b"\nTemplate:  \nTemplate: two\n"))[:1] == [("NO_SEGMENTS", "segments", 1)]
    assert faults(parse(b"\nTemplate:  \nTemplate: two\n"))[1:] == [("MISSING_TEMPLATE", "template", 2)]


@pytest.mark.parametrize(
    ("head", "number", "title", "duration_s"),
    [
        ("**Segment 2: Hook (0-8 seconds)**", 2, "Hook", 8),
        ("  **Segment 2: Hook (0-8 seconds)", 2, "Hook", 8),
        ("**Segment 2 intro: Hook: the sea (10-22s)**", 2, "Hook_ the sea", 12),
        ("**Segment 002: Hook** (7)", 2, "Hook", 7),
        ("**Segment 999: Hook (from 3 to 10, about 20)**", 999, "Hook", 7),
        ("**Segment 2:**", 2, "unnamed", 0),
        ("**Segment 2: What / why? (1-2)**", 2, "What _ why_", 1),
        ("**Segment 2: Hook (soon)**", 2, "Hook", 0),
        ("**Segment 2: Hook (9-1)**", 2, "Hook", 0),
        ("**Segment 2: Hook (1-99999999999999999999)**", 2, "Hook", 999_998),
    ],
)
def test_a_header_gives_number_title_and_duration(head: str, number: int, title: str, duration_s: int) -> None:
    outline = story("- Narration text: Words.\n" + GUIDANCE, head + "\n")
    assert not outline.faults
    (one,) = outline.segments
    assert (one.number, one.title, one.duration_s, one.line) == (number, title, duration_s, 2)


@pytest.mark.parametrize("word", ["0", "1000", "-1", "1.5", "One", "1st", "１", "9" * 5000])
def test_a_number_is_a_whole_number_from_1_to_999(word: str) -> None:
    outline = story("- Narration text: Words.\n" + GUIDANCE, f"**Segment {word}: x (1)\n")
    assert faults(outline) == [("INVALID_SEGMENT_NUMBER", "segments[0].number", 2)]


def test_a_header_without_a_colon_is_none() -> None:
    assert faults(story("", "**Segment 1\n")) == [("NO_SEGMENTS", "segments", 1)]


def test_numbers_may_have_gaps_and_any_order_and_the_later_double_is_at_fault() -> None:
    body = "- Narration text: Words.\n" + GUIDANCE
    text = "Template: x\n" + "".join(f"**Segment {n}: t (1)\n{body}" for n in (9, 2, 9))
    outline = parse(text.encode())
    assert faults(outline) == [("DUPLICATE_SEGMENT_NUMBER", "segments[2].number", 8)]
    assert [one.number for one in outline.segments][0] == 2


def test_names_are_fit_for_folders() -> None:
    assert clean_name('<a>:"b"/\\|?*\0\x1f') == "_a_b_"
    assert clean_name(" . x . ") == "x"
    assert clean_name("__a____b") == "_a_b"
    assert clean_name("..") == clean_name("") == "unnamed"
    assert len(clean_name("ü" * 500).encode()) == 120


# --- Narration and guidance ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("- Narration text:\n```\nWords.\n```\n", "Words."),
        ("- NARRATION TEXT (editable textarea):\n\n  \n  ```text\n  Words,\n    more.\n\n  ```\n", "Words,\nmore."),
        ('Narration text:\n```\n\n"Words."\n\n```\n', "Words."),
        ("- Narration text: Words.\nnot these\n", "Words."),
        ('- Narration text: "Words: more."\n', "Words: more."),
        ("- Narration text:\nWords,\nmore.\n- Edit controls: none\nnot these\n", "Words,\nmore."),
        ("- Narration text:\nWords.\n", "Words."),
        ("- Narration text: first\n- Narration text: last\n", "last"),
        ("- Narration text: first\n```\nfenced\n```\n", "fenced"),
        ("- Narration text:\n```\n- Visual guidance: no label here\n```\n", "- Visual guidance: no label here"),
        ("- Narration text:\n```\nBefore\n```inner\ncode\n```\nafter\n```\n", "Before"),
        ("- Narration text:\nHere it is:\n```\nWords.\n```\n", "Here it is:\n\nWords."),
        ("- Narration text:\n````\nWords.\n````\n", "Words."),
        ("- Narration text:\n```\nWith\0a NUL\n```\n", "With a NUL"),
    ],
)
def test_narration_is_found_in_each_of_its_shapes(body: str, text: str) -> None:
    assert narration(body) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("- Visual guidance: The sea\n", "The sea"),
        ('- VISUAL GUIDANCE preview: "The sea: calm"\n', "The sea: calm"),
        ('- Visual guidance: "The sea"\n- Visual guidance:\n- Visual guidance: "at noon"\n', "The sea at noon"),
    ],
)
def test_guidance_may_stand_before_the_narration_and_in_several_lines(body: str, text: str) -> None:
    outline = story(body + "- Narration text: Words.\n")
    assert [one.visual_guidance for one in outline.segments] == [text]


def test_a_phrase_behind_the_colon_or_without_one_is_no_label() -> None:
    outline = story("Note: the narration text matters\nVisual guidance helps\n")
    assert [code for code, _, _ in faults(outline)] == ["MISSING_NARRATION", "MISSING_VISUAL_GUIDANCE"]


def test_labels_before_the_first_header_belong_to_nobody() -> None:
    outline = parse(b"Template: x\n- Narration text: lost\n- Visual guidance: lost\n**Segment 1: x (1)\n")
    assert [code for code, _, _ in faults(outline)] == ["MISSING_NARRATION", "MISSING_VISUAL_GUIDANCE"]


@pytest.mark.parametrize("inside", ["", "  \n", '""\n', '"  "\n'])
def test_a_blank_narration_is_missing(inside: str) -> None:
    outline = story(f"- Narration text:\n```\n{inside}```\n{GUIDANCE}")
    assert faults(outline) == [("MISSING_NARRATION", "segments[0].narration", 2)]


def test_a_header_ends_an_open_fence_and_the_fault_names_its_line() -> None:
    later = "**Segment 2: Next (8-9)**\n- Narration text: Words.\n" + GUIDANCE
    outline = story("- Narration text:\n```\nnever closed\n" + GUIDANCE + later)
    assert faults(outline) == [("UNCLOSED_NARRATION", "segments[0].narration", 4)]
    assert [one.number for one in outline.segments] == [2]


def test_a_stray_open_fence_is_at_fault_only_where_it_swallows_something() -> None:
    both = "- Narration text: Words.\n" + GUIDANCE
    assert not story(both + "```\nan aside\n").faults
    assert faults(story("```\nan aside\n" + both)) == [("UNCLOSED_NARRATION", "segments[0].narration", 3)]


# --- Any input -----------------------------------------------------------------------------------

WORDS = [
    *("Template:", "**Segment", " 1", " 2 x", ":", "(0-8)", ")", "**", "```", "```text", "\n", "\r\n", "\r", "\n\n"),
    *("- Narration text:", "- Visual guidance:", "visual guidance", "narration text", '"', "- ", "  ", "words", "\0"),
    *("\u2028", "\ufeff", "İ", "ß", "９", "\x1c", "\t", "."),
]
files = st.one_of(
    st.binary(max_size=400),
    st.text(max_size=400).map(lambda text: text.encode("utf-8", "replace")),
    st.lists(st.sampled_from(WORDS), max_size=80).map(lambda words: "".join(words).encode()),
    st.lists(st.sampled_from((GOOD + BAD).splitlines(keepends=True)), max_size=60).map(
        lambda text: "".join(text).encode()
    ),
)


@settings(max_examples=400, deadline=None)
@given(files)
def test_no_input_makes_it_fail_and_what_it_says_holds(data: bytes) -> None:
    outline = parse(data)

    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n") + 1
    assert all(1 <= fault.line <= lines and fault.message for fault in outline.faults)
    assert all(1 <= caution.line <= lines for caution in outline.warnings)
    assert [fault.line for fault in outline.faults] == sorted(fault.line for fault in outline.faults)
    numbers = [one.number for one in outline.segments]
    assert numbers == sorted(numbers)
    if not outline.faults:
        assert outline.template_title
        assert len(outline.segments) == outline.found == len(set(numbers)) > 0
    for one in outline.segments:
        assert one.narration.strip()
        assert one.visual_guidance.strip()
        assert one.title == clean_name(one.title)
        assert not {"\0", "\r"} & {*one.title, *one.narration, *one.visual_guidance}


@settings(max_examples=100, deadline=None)
@given(files)
def test_line_ends_change_nothing(data: bytes) -> None:
    plain = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert parse(plain.replace(b"\n", b"\r\n")) == parse(plain) == parse(plain.replace(b"\n", b"\r"))


@pytest.mark.parametrize(
    "piece",
    [
        *(b"\n", b" ", b":", b"\r", b"```\n", b"```", b"**Segment:\n", b"**Segment", b"Template:\n", b"- \n"),
        *(b"narration text:\n", b"narration text", b"visual guidance:\n", b"Narration text:\n```\n", b"((((1-2"),
        *(b"```\nTemplate:\n", b"narration text visual guidance", b"\xe2\x80\xa8"),
    ],
)
def test_a_megabyte_of_anything_takes_linear_time(piece: bytes) -> None:
    """What took quadratic time would take minutes here."""
    for head in (b"", b"Template: x\n**Segment 1: x (1)\n- Narration text:\n"):
        data = head + piece * (MOST_BYTES // len(piece))
        began = time.perf_counter()
        parse(data)
        assert time.perf_counter() - began < 5
