"""Reads segments.md: one template line, then segments. Pure; no input makes it fail or take more than linear time.

Everything wrong with a file is found at once, each fault with its line. The grammar is the story-images
contract's, section 4; where that leaves room:

    a fence        is any line that begins with three backticks; what is inside is text, and a header ends it
    a label        holds its phrase before a colon; the header's own line and lines before any header are none
    beyond 50      segments are counted, and what is inside them is not looked at
    names          of template and segments become folders: see `lines.clean_name`
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from generation.doors.stories.lines import clean_name, lines_of, lines_with, plain

MOST_BYTES = 1024 * 1024
MOST_SEGMENTS = 50

HEADER, TEMPLATE, FENCE = b"**Segment", b"Template:", b"```"
NARRATION, GUIDANCE = b"narration text", b"visual guidance"

_NUMBER = re.compile(r"0*([1-9][0-9]{0,2})", re.ASCII)
_DIGITS = re.compile(r"[0-9]+", re.ASCII)
_BULLET = re.compile(rb"^[ \t]*- ", re.MULTILINE)


@dataclass(frozen=True)
class Fault:
    """field: `template`, `segments` or `segments[i].…`, i from 0 in the order of the file. line: from 1."""

    field: str
    code: str
    message: str
    line: int


@dataclass(frozen=True)
class Caution:
    """Something odd that does not keep the file from being used."""

    code: str
    message: str
    line: int = 0


@dataclass(frozen=True)
class Segment:
    number: int
    title: str
    duration_s: int
    narration: str
    visual_guidance: str
    line: int


@dataclass(frozen=True)
class Outline:
    """What a file says. segments: sorted by number; only those without faults. found: headers in the file."""

    template_title: str = ""
    segments: tuple[Segment, ...] = ()
    faults: tuple[Fault, ...] = ()
    warnings: tuple[Caution, ...] = ()
    found: int = 0


def parse(data: bytes) -> Outline:
    """Read a file whole."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = len(re.findall(rb"\r\n?|\n", data[: error.start])) + 1
        return Outline(faults=(Fault("segments", "NOT_UTF8", "The file is not UTF-8 text.", line),))
    return _File(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")).outline()


# --- The file ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Block:
    """A segment's place: its header line and where its text ends. Offsets into the file."""

    index: int
    begin: int
    text: int
    end: int
    line: int


@dataclass
class _File:
    data: bytes
    faults: list[Fault] = field(default_factory=list)
    warnings: list[Caution] = field(default_factory=list)

    def outline(self) -> Outline:
        heads = [place for place in lines_of(self.data, HEADER) if self.data.find(b":", *place) >= 0]
        title = self._template({begin for begin, _ in heads})
        blocks = self._blocks(heads)
        read = [_Reader(self, block).read() for block in blocks]
        if not heads:
            self._fault("segments", "NO_SEGMENTS", "There is no line that begins with **Segment and has a colon.", 1)
        elif len(heads) > MOST_SEGMENTS:
            message = f"There are {len(heads)} segments; at most {MOST_SEGMENTS} are taken."
            self._fault("segments", "TOO_MANY_SEGMENTS", message, self.line_at(heads[MOST_SEGMENTS][0]))
        numbers: set[int] = set()
        for block, segment in zip(blocks, read, strict=True):
            if segment.number and segment.number in numbers:
                text = f"Segment number {segment.number} is used before."
                self._fault(f"segments[{block.index}].number", "DUPLICATE_SEGMENT_NUMBER", text, block.line)
            numbers.add(segment.number)
        self.faults.sort(key=lambda fault: fault.line)  # stable: what is wrong with one line stays in its order
        whole = sorted((segment for segment in read if _is_whole(segment)), key=lambda segment: segment.number)
        return Outline(title, tuple(whole), tuple(self.faults), tuple(self.warnings), len(heads))

    def _fault(self, name: str, code: str, message: str, line: int) -> None:
        self.faults.append(Fault(name, code, message, line))

    def _blocks(self, heads: list[tuple[int, int]]) -> list[_Block]:
        """The segments that are looked at, by their headers, which count also inside a fence."""
        ends = [begin for begin, _ in heads[1 : MOST_SEGMENTS + 1]] + [len(self.data)]
        blocks, line, counted = [], 1, 0
        for index, ((begin, text), end) in enumerate(zip(heads[:MOST_SEGMENTS], ends, strict=False)):
            line, counted = line + self.data.count(b"\n", counted, begin), begin
            blocks.append(_Block(index, begin, text, end, line))
        return blocks

    def _template(self, heads: set[int]) -> str:
        """Find the first template line outside fences. A header ends a fence."""
        places = [(*place, TEMPLATE) for place in lines_of(self.data, TEMPLATE)]
        if places:
            places += [(*place, FENCE) for place in lines_of(self.data, FENCE)]
            places += [(begin, begin, HEADER) for begin in heads]
        is_inside = False
        for begin, end, kind in sorted(places):
            if kind == TEMPLATE and not is_inside:
                return self._title(begin, end)
            is_inside = not is_inside if kind == FENCE else is_inside and kind != HEADER
        self._fault("template", "MISSING_TEMPLATE", "There is no line that begins with Template:.", 1)
        return ""

    def _title(self, begin: int, end: int) -> str:
        title = self.data[begin:end].partition(b":")[2].decode().strip()
        if not title:
            self._fault("template", "MISSING_TEMPLATE", "Nothing stands after Template:.", self.line_at(begin))
        return clean_name(title) if title else ""

    def line_at(self, offset: int, block: _Block | None = None) -> int:
        """The line of an offset, counted from the block's header on."""
        if block is None:
            return 1 + self.data.count(b"\n", 0, offset)
        return block.line + self.data.count(b"\n", block.begin, offset)


def _is_whole(segment: Segment) -> bool:
    return bool(segment.number and segment.narration and segment.visual_guidance)


# --- A segment -----------------------------------------------------------------------------------


class _Reader:
    """Reads one block, from its header down."""

    def __init__(self, file: _File, block: _Block) -> None:
        self.file, self.block, self.data = file, block, file.data
        self.narration = ""
        self.guidance: list[str] = []
        self.unclosed: int | None = None  # where the fence begins that is never closed
        self.is_narration_unclosed = False

    def read(self) -> Segment:
        number, title, duration_s = self._header()
        self._body()
        guidance = " ".join(self.guidance)
        self._judge(guidance)
        return Segment(number, title, duration_s, self.narration, guidance, self.block.line)

    def _header(self) -> tuple[int, str, int]:
        head = self.data[self.block.begin : self.block.text].decode().lstrip()
        before, _, after = head.partition(":")
        title, bracket, rest = after.partition("(")
        words = before[len(HEADER) :].split(maxsplit=1)
        name = title.strip().removesuffix("**")
        return self._number(words[0] if words else ""), clean_name(name), self._duration(bracket, rest)

    def _number(self, word: str) -> int:
        if not word:
            self._fault("number", "MISSING_SEGMENT_NUMBER", "A number must stand between **Segment and the colon.")
            return 0
        if found := _NUMBER.fullmatch(word):
            return int(found[1])
        self._fault("number", "INVALID_SEGMENT_NUMBER", "The number must be a whole number from 1 to 999.")
        return 0

    def _duration(self, bracket: str, rest: str) -> int:
        inside = rest.partition(")")[0] if bracket else ""
        seconds = [int(digits) if len(digits) <= 6 else 999_999 for digits in islice(_DIGITS.findall(inside), 2)]
        if not seconds:
            self._warn("MISSING_DURATION", "No seconds stand in brackets; taken as 0.")
            return 0
        lasts = seconds[1] - seconds[0] if len(seconds) == 2 else seconds[0]
        if lasts < 0:
            self._warn("NEGATIVE_DURATION", "The end lies before the beginning; taken as 0.")
        return max(0, lasts)

    def _body(self) -> None:
        """Walk from one line of interest to the next; what is inside a fence is none."""
        lines = self._lines_of_interest()
        at = 0
        while at < len(lines):
            begin, end, kind = lines[at]
            at += 1
            if kind == FENCE:
                at = self._pass_fence(lines, at, begin)
            elif kind == GUIDANCE:
                if text := plain(self.data[begin:end].partition(b":")[2]):
                    self.guidance.append(text)
            elif kind == NARRATION:
                at = self._narration_after(lines, at, begin, end)

    def _lines_of_interest(self) -> list[tuple[int, int, bytes]]:
        """Fences, labels and template lines in order; a template line only ends what stands before it."""
        begin, end = self.block.text, self.block.end
        found = [(*place, FENCE) for place in lines_of(self.data, FENCE, begin, end)]
        found += [(*place, TEMPLATE) for place in lines_of(self.data, TEMPLATE, begin, end)]
        low = self.data[begin:end].lower()
        for phrase in (NARRATION, GUIDANCE):
            found += [(*place, phrase) for place in self._labels(low, phrase, begin)]
        found.sort()
        return found

    def _labels(self, low: bytes, phrase: bytes, offset: int) -> Iterator[tuple[int, int]]:
        """Lines with the phrase before their first colon. Of both phrases in one line the first counts."""
        other = GUIDANCE if phrase == NARRATION else NARRATION
        for begin, at, end in lines_with(low, phrase):
            colon = low.find(b":", begin, end)
            if at < colon and low.find(other, begin, at) < 0:
                yield begin + offset, end + offset

    def _narration_after(self, lines: list[tuple[int, int, bytes]], at: int, begin: int, end: int) -> int:
        """Take the narration that belongs to a label, which replaces one read before; return what comes next."""
        said = plain(self.data[begin:end].partition(b":")[2])
        following = lines[at] if at < len(lines) else None
        if following and following[2] == FENCE and not self.data[end : following[0]].strip():
            after = self._pass_fence(lines, at + 1, following[0], is_narration=True)
            if self.unclosed is None:
                self.narration = plain(self.data[following[1] : lines[after - 1][0]])
            return after
        if said:
            self.narration = said
            return at
        return self._unfenced(lines, at, end)

    def _unfenced(self, lines: list[tuple[int, int, bytes]], at: int, begin: int) -> int:
        """Take the lines below a label, up to the next label or bullet; a fence among them leaves its text."""
        parts, upto = [], begin
        while at < len(lines) and lines[at][2] == FENCE:
            if _BULLET.search(self.data, upto, lines[at][0]):
                break
            parts.append(self.data[upto : lines[at][0]])
            upto, opened = lines[at][1], lines[at][0]
            at = self._pass_fence(lines, at + 1, opened)
            if self.unclosed is None:
                parts.append(self.data[upto : lines[at - 1][0]])
                upto = lines[at - 1][1]
            else:
                upto = self.block.end
        end = lines[at][0] if at < len(lines) else self.block.end
        bullet = _BULLET.search(self.data, upto, end)
        parts.append(self.data[upto : bullet.start() if bullet else end])
        self.narration = plain(b"".join(parts))
        return at

    def _pass_fence(
        self, lines: list[tuple[int, int, bytes]], at: int, opened: int, *, is_narration: bool = False
    ) -> int:
        """Go to what follows the fence's end; without one, to the end of the block."""
        while at < len(lines):
            at += 1
            if lines[at - 1][2] == FENCE:
                return at
        self.unclosed, self.is_narration_unclosed = opened, is_narration
        return at

    def _judge(self, guidance: str) -> None:
        """Report what is missing; a fence that is never closed stands for whatever it has swallowed."""
        is_missing = not (self.narration and guidance)
        if self.unclosed is not None and (self.is_narration_unclosed or is_missing):
            self.narration = ""
            line = self.file.line_at(self.unclosed, self.block)
            self._fault("narration", "UNCLOSED_NARRATION", "The block that begins here is never closed.", line)
            return
        if not self.narration:
            self._fault("narration", "MISSING_NARRATION", "The segment has no narration text.")
        if not guidance:
            self._fault("visual_guidance", "MISSING_VISUAL_GUIDANCE", "The segment has no visual guidance.")

    def _fault(self, name: str, code: str, message: str, line: int | None = None) -> None:
        self.file.faults.append(
            Fault(f"segments[{self.block.index}].{name}", code, message, line if line is not None else self.block.line)
        )

    def _warn(self, code: str, message: str) -> None:
        self.file.warnings.append(Caution(code, message, self.block.line))
