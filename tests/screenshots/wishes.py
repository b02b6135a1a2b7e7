"""Who asks the demo desk for what: people, words, a story. Literal tables, so that two runs show the same."""

from __future__ import annotations

from generation.dashboard.story_form import EXAMPLE

# username -> (name, credits to begin with). The first one's dashboard is shown.
CUSTOMERS = {
    "mara": ("Mara Lindqvist", 1500),
    "jonas": ("Jonas Weber", 900),
    "aiko": ("Aiko Tanaka", 900),
    "priya": ("Priya Raman", 700),
    "tomas": ("Tomás Ferreira", 600),
    "lena": ("Lena Okafor", 600),
}
NEWCOMER = "nils"  # has asked for nothing yet
STAFF = {"noor": "Noor Haddad", "finn": "Finn Albrecht"}

# (who, type, prompt, more of the body)
PICTURES = (
    ("mara", "illustration", "A lighthouse on a cliff at sunrise, calm sea, warm light", {}),
    ("jonas", "cover", "Cover of a travel journal: a valley in the first light of morning", {}),
    ("aiko", "background", "Layers of blue hills, mist between them, paper-cut style", {}),
    ("mara", "coloring-page", "A hut in the woods with three birds above it, for colouring in", {}),
    ("priya", "illustration", "Evening over the tea gardens, birds going home", {}),
    ("tomas", "background", "A quiet night sky above dark pines, a full moon", {}),
    ("lena", "cover", "Cover of a cookbook: autumn hills, warm colours", {}),
    ("mara", "cover", 'Cover for "The Keeper of the North Light", dusk, a lonely coast', {}),
    ("jonas", "coloring-page", "A farmhouse, pines and a smiling sun, thick outlines", {}),
    ("aiko", "character-reference", "A fox in a raincoat, front, side and back", {}),
    ("mara", "illustration", "Two hikers on a ridge, seen from far away, the sun behind them", {}),
    ("priya", "background", "Morning fog in a valley, soft colours, room for a title", {}),
    ("lena", "illustration", "A small railway between green hills, early summer", {}),
    ("tomas", "cover", "Cover of a thriller: a cold lake at night", {}),
    ("mara", "background", "Rolling hills under a wide sky, late afternoon", {}),
    ("jonas", "illustration", "Storks above a meadow, a village in the distance", {}),
)
BATCH = tuple(
    f"Page {page} of the bedtime book: {what}"
    for page, what in enumerate(
        (
            "the hill where the story begins",
            "the forest at noon",
            "the bird that lost its way",
            "night falls over the valley",
            "the moon shows the path",
            "home again, everybody asleep",
        ),
        start=1,
    )
)
# (who, the client's task, prompt of the picture that the model is then made from)
THINGS = (
    ("mara", "harbour-vase", "A slender ceramic vase, glazed, plain background"),
    ("jonas", "garden-urn", "A garden urn of terracotta, studio light"),
    ("aiko", "sake-bottle", "A sake bottle with a brushed pattern"),
)
FAILING = (
    ("priya", "illustration", "A crowded market at noon, every face in detail"),
    ("tomas", "cover", "Cover of a comic: the hero and the dam that breaks"),
    ("mara", "illustration", "A famous statue in the rain, photorealistic"),
    ("lena", "background", "A city street with the names of real shops"),
)
STORY = f"""\
{EXAMPLE}
**Segment 3: Two tides a day (22-40 seconds)**
- Narration text:
  ```
  The planet turns through both bulges, so most coasts see two high tides every day.
  ```
- Visual guidance: One harbour twice: boats afloat, then boats on mud

**Segment 4: Look again (40-50 seconds)**
- Narration text:
  ```
  Next time the water creeps up to your towel, you will know who is pulling it.
  ```
- Visual guidance: A child watches the tide come in at sunset
"""
POSES = 3  # of the library, in two variations each
POSE_TEXT = "A woman in a yellow raincoat waves from a pier, evening light"
# What customers would like to see in the library: who, name, why, state
WISHES = (
    ("aiko", "Archer at full draw", "For a series about the Olympic sports.", "pending"),
    ("priya", "Sitting on a suitcase", "Travel shop, spring campaign.", "approved"),
    ("lena", "Carrying a child on the shoulders", "Family portraits.", "pending"),
    ("tomas", "Breakdance freeze", "A poster for our dance school.", "rejected"),
)
# What waits while the pictures are taken: who, how many, priority, provider that it would rather have
WAITING = (
    ("jonas", 14, "normal", "provider_d"),
    ("aiko", 9, "high", "provider_d"),
    ("lena", 12, "low", "provider_g"),
    ("priya", 5, "urgent", "provider_a"),
    ("mara", 1, "urgent", "provider_g"),
    ("mara", 2, "normal", "provider_d"),
    ("tomas", 8, "normal", "provider_g"),
)
