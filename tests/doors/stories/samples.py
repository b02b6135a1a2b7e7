"""The two files of the story-images contract, section 4: one that is taken, one with every fault but three."""

from __future__ import annotations

GOOD = """\
Template: How Tides Work

**Segment 1: Hook (0-8 seconds)**

- Duration badge: "8s"
- Narration text (editable textarea):
  ```
  "Why does the beach you played on this morning vanish under water by noon?"
  ```
- Visual guidance preview: "A sandcastle on a wide beach, the sea far away"
- Edit controls: Pencil icon to edit narration

**Segment 2: The Pull of the Moon (8-22 seconds)**

- Narration text (editable):
  ```text
  The Moon pulls on the Earth. Rock barely moves, but the oceans can flow,
  so the water bulges on the side that faces the Moon.
  ```
- Visual guidance: "Earth and Moon from space, ocean swelling toward the Moon"
- Visual guidance: "soft blue light, no labels"

**Segment 4: Look Again (40-50 seconds)**
- Visual guidance: Child watching the tide come in at sunset
- Narration text:
  ```
  Next time the water creeps up to your towel, you will know who is pulling it.
  ```

**Segment 3: Two Tides a Day (22-40 seconds)**
- Visual guidance preview: Time-lapse of one harbour: boats afloat, then boats on mud
- Narration text:
  ```
  "The planet turns through both bulges, so most coasts see two high tides every day."
  ```
"""

BAD = """\
<!-- MISSING_TEMPLATE, field template: the next line has the wrong word -->
Title: Volcanoes
<!-- index 0 is fine -->
**Segment 1: Hook (0-10 seconds)**
- Narration text:
  ```
  What wakes a volcano?
  ```
- Visual guidance: Quiet mountain at dawn
<!-- index 1: INVALID_SEGMENT_NUMBER -->
**Segment One: In words (10-20 seconds)**
- Narration text: Magma rises.
- Visual guidance: Cutaway of the crust
<!-- index 2: MISSING_SEGMENT_NUMBER -->
**Segment: No number (20-30 seconds)**
- Narration text: Gas bubbles form.
- Visual guidance: Bubbles in melted rock
<!-- index 3: DUPLICATE_SEGMENT_NUMBER -->
**Segment 1: Again (30-40 seconds)**
- Narration text: The top gives way.
- Visual guidance: First crack of light
<!-- index 4: MISSING_NARRATION, and warning NEGATIVE_DURATION -->
**Segment 3: Silent (50-40 seconds)**
- Visual guidance: Ash cloud over a valley
<!-- index 5: MISSING_NARRATION (blank fence), and warning MISSING_DURATION -->
**Segment 4: Empty block**
- Narration text:
  ```

  ```
- Visual guidance: Lava meets the sea
<!-- index 6: MISSING_VISUAL_GUIDANCE -->
**Segment 5: Blind (60-70 seconds)**
- Narration text: New land is born.
- Visual guidance:
<!-- index 7: UNCLOSED_NARRATION, reported alone -->
**Segment 6: Never closed (70-80 seconds)**
- Narration text:
  ```
  And the mountain sleeps again.
- Visual guidance: Green slopes, years later
"""
