"""The words that providers get for a segment's pictures. Pure.

Ingredients and their order follow the story-images contract, section 8: the look of all pictures, what this
one of so many shows, the diagram's style, and at the end the demand for no text of any kind.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from generation.doors.stories.segments import Segment

# Words that invite letters into a picture: whole words, one or many of them, any case.
_INVITES_TEXT = re.compile(
    r"\b(?:text\s+overlays?|texts?|labels?|captions?|annotations?|writings?|letterings?)\b", re.IGNORECASE
)
_SPACES = re.compile(r"\s+")
# Models read some hundred words; what a segment says beyond this would only crowd out the demands at the end.
LONGEST_PART = 2000

LOOK = "Educational storytelling illustration with a cinematic look, wide 16:9 frame."
LIKE_DIAGRAM = "Match the style and the colours of the reference diagram."
NO_TEXT = (
    "The picture must hold no text of any kind: no letters, words, numbers, labels, captions, signs, watermarks,"
    " logos or signatures. Purely visual."
)
NEGATIVE = (
    "text, letters, words, numbers, labels, captions, subtitles, annotations, writing, watermark, logo, signature,"
    " speech bubble"
)


def prompts(segment: Segment, num_images: int, *, has_diagram: bool) -> tuple[str, ...]:
    """One prompt for each picture of a segment, in order."""
    guidance, narration = without_text_words(segment.visual_guidance), _part(segment.narration)
    style = [LIKE_DIAGRAM] if has_diagram else []
    return tuple(" ".join([LOOK, *scene, *style, NO_TEXT]) for scene in _scenes(guidance, narration, num_images))


def _scenes(guidance: str, narration: str, num_images: int) -> Sequence[Sequence[str]]:
    look, story = f"Visual guidance: {guidance}.", f"The story at this point: {narration}"
    if num_images == 1:
        return [[look, story, "Show the one moment that answers the question behind it."]]
    opening = ["Establishing shot.", look]
    if num_images == 2:
        return [
            [*opening, "The question is posed and still open."],
            ["Main scene.", story, "The answer becomes visible."],
        ]
    return [
        [*opening, "A curious opening that makes one wonder."],
        ["Middle scene.", story, "The moment of discovery."],
        ["Closing scene.", story, "The answer, clear to see."],
    ]


def without_text_words(guidance: str) -> str:
    """Take out words that ask for letters: a picture with letters in it is thrown away."""
    return _part(_INVITES_TEXT.sub(" ", guidance)).rstrip(" .,;:")


def _part(text: str) -> str:
    """Collapse spaces, and cut what is too long at a word."""
    text = _SPACES.sub(" ", text).strip()
    return text if len(text) <= LONGEST_PART else text[:LONGEST_PART].rpartition(" ")[0] or text[:LONGEST_PART]
