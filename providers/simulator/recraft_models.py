"""Recraft's models with their prices, and the sizes that each family of them makes."""

from __future__ import annotations

# model -> units of a picture, a thousand to the dollar
MODELS = {
    "recraft20b": 22,
    "recraftv2": 22,
    "recraftv2_vector": 44,
    "recraftv3": 40,
    "recraftv3_vector": 80,
    "recraftv4": 40,
    "recraftv4_1": 35,
    "recraftv4_1_flash": 7,
    "recraftv4_1_pro": 210,
    "recraftv4_1_pro_vector": 300,
    "recraftv4_1_utility": 35,
    "recraftv4_1_utility_pro": 210,
    "recraftv4_1_utility_pro_vector": 300,
    "recraftv4_1_utility_vector": 80,
    "recraftv4_1_vector": 80,
    "recraftv4_pro": 250,
    "recraftv4_pro_vector": 300,
    "recraftv4_styles": 35,
    "recraftv4_styles_pro": 100,
    "recraftv4_styles_pro_vector": 120,
    "recraftv4_styles_vector": 50,
    "recraftv4_vector": 80,
}
# The second and third generation know curated styles and negative prompts, later ones do not.
CURATED = ("recraftv2", "recraftv3", "recraft20b")
RATIOS = ("1:1", "2:1", "1:2", "3:2", "2:3", "4:3", "3:4", "5:4", "4:5", "6:10", "14:10", "10:14", "16:9", "9:16")

_CURATED_SIZES = """
    1024x1024 1365x1024 1024x1365 1536x1024 1024x1536 1820x1024 1024x1820 1024x2048 2048x1024 1434x1024 1024x1434
    1024x1280 1280x1024 1024x1707 1707x1024
"""
_LATER_SIZES = """
    1024x1024 1536x768 768x1536 1280x832 832x1280 1216x896 896x1216 1152x896 896x1152 832x1344 1280x896 896x1280
    1344x768 768x1344
"""
_PRO_SIZES = """
    2048x2048 3072x1536 1536x3072 2560x1664 1664x2560 2432x1792 1792x2432 2304x1792 1792x2304 1664x2688 2560x1792
    1792x2560 2688x1536 1536x2688
"""


def sizes_of(model: str) -> list[tuple[int, int]]:
    """Width and height of what this model makes; models for vectors take only a ratio of them."""
    text = _CURATED_SIZES if model.startswith(CURATED) else _PRO_SIZES if "_pro" in model else _LATER_SIZES
    return [(int(width), int(height)) for width, _, height in (size.partition("x") for size in text.split())]
