"""What is written into rows names no vendor, whatever a vendor wrote about itself."""

from __future__ import annotations

import pytest

from providers import registry
from providers.disguise import disguise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HTTP 500: OpenAI is overloaded", "HTTP 500: provider_d is overloaded"),
        ("stabilityai said no", "provider_a said no"),
        ("The model `gpt-image-2` does not exist", "The model `***` does not exist"),
        ("/fal-ai/flux/requests/7", "/***/provider_f/requests/7"),
        ("see https://api.replicate.com/v1", "see https://api.provider_e.com/v1"),
        ("Hugging Face is down", "*** is down"),
        ("stable-diffusion-3.5-large was retired", "*** was retired"),
        ("a plain text", "a plain text"),
    ],
)
def test_names_become_aliases_and_brands_stars(text: str, expected: str) -> None:
    assert disguise(text) == expected


def test_no_name_of_the_registry_comes_through() -> None:
    names = [name for vendor in registry.VENDORS for name in vendor.names]
    told = disguise(" ".join(f"{name} {name.upper()} x{name}y" for name in names)).lower()
    assert not [name for name in names if name in told]
