"""The one table of this door: operation x provider x the parameters that it takes there, with ranges and defaults.

From the MakeIt3D contract, section 3. Serializers, validation, OpenAPI, plans and the console's forms read it;
nothing of it is written down a second time. Providers stand by their aliases, and a word that would tell which
vendor is behind one stands under `also`: it is taken, and never shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from generation.doors.makeit3d.parameters import Count, Earlier, Flag, Number, OneOf, Param, Size, Tier, Whole, Words


class Prompt(StrEnum):
    REQUIRED = "required"
    OPTIONAL = "optional"
    ABSENT = "absent"


class Kind(StrEnum):
    """What a result or an input is. The value is the folder of its results, and the table that lists them."""

    IMAGE = "images"
    MODEL = "models"


@dataclass(frozen=True)
class Input:
    """A field that names files by URL. word: where a call has them. most: of a list; 0 is a single file.

    adapts: its pictures may go to a provider smaller than they are and in another format, because what is made of
    them is another thing; where the result is the picture itself, changed, its owner would find it smaller than it
    was. What is too small for a provider goes out enlarged wherever it stands.
    """

    name: str
    word: str
    kind: Kind = Kind.IMAGE
    most: int = 0
    adapts: bool = False
    help: str = "Link to a picture: one of our own asset links, or of a host that is allowed here"


@dataclass(frozen=True)
class Offer:
    """One operation at one provider.

    model: the model key that makes it, unless a Tier chooses; empty: the usual one. takes: how many of a list of
    inputs it looks at; 0: all.
    """

    params: tuple[Param, ...] = ()
    model: str = ""
    takes: int = 0

    def param(self, name: str) -> Param | None:
        return next((param for param in self.params if param.name == name), None)


@dataclass(frozen=True)
class Operation:
    """One route. offers: by alias. default: the provider of a request that names none; None: it must name one.

    inputs: what it is made from. written: what its record has for a prompt where none is taken.
    per_minute: how many one person may ask for. file: what a result's file is called after the request's id;
    empty: after its index.
    """

    name: str
    summary: str
    offers: Mapping[str, Offer]
    kind: Kind = Kind.IMAGE
    prompt: Prompt = Prompt.REQUIRED
    inputs: tuple[Input, ...] = ()
    default: str | None = None
    written: str | None = None
    per_minute: int = 4
    file: str = ""

    @property
    def has_provider(self) -> bool:
        return OURSELVES not in self.offers

    @property
    def names(self) -> tuple[str, ...]:
        """Every parameter's name at whichever provider, each once."""
        return tuple(dict.fromkeys(param.name for offer in self.offers.values() for param in offer.params))


# Our own image work.
OURSELVES = "internal"
A, B, C, D, E, F = (f"provider_{letter}" for letter in "abcdef")

IMAGE = Input("input_image_asset_url", "images")
SOURCE = replace(IMAGE, adapts=True)

PRESETS = (
    *("3d-model", "analog-film", "anime", "cinematic", "comic-book", "digital-art", "enhance", "fantasy-art"),
    *("isometric", "line-art", "low-poly", "modeling-compound", "neon-punk", "origami", "photographic", "pixel-art"),
    "tile-texture",
)
FORMATS = ("png", "jpeg", "webp")
NEGATIVE = Words(name="negative_prompt", most=4000, help="What not to show")
SEED = Whole(name="seed", low=0, high=2**32 - 2, default=0, nothing=0, help="0: a random one")
PRESET = OneOf(name="style_preset", among=PRESETS)
FORMAT = OneOf(name="output_format", among=FORMATS, default="png")
PNG_OR_JPEG = OneOf(name="output_format", among=("png", "jpeg"), default="png")
PNG_OR_WEBP = OneOf(name="output_format", among=("png", "webp"), default="png")
STYLE = Words(name="style", help="The name of a style")
FREE_STYLE = Words(name="style", sends="", most=1000, help="Accepted; this provider's models know no styles")
SUBSTYLE = Words(name="substyle")
STYLE_ID = Words(name="style_id", most=100, help="Takes the place of `style`")
REALISTIC = Words(name="style", default="realistic_image", help="The name of a style")
# How a provider answers us is not the caller's concern: our own answer never changes.
RESPONSE = OneOf(name="response_format", among=("url", "b64_json"), default="url", sends="")
N = Count(name="n", low=1, high=10, default=1, help="How many results")
VERSIONS = {"recraftv3": "v3", "recraftv2": "v2"}
V3 = Tier(name="model", among=("v3",), also={"recraftv3": "v3"}, default="v3", becomes={"v3": "main"})
V3_OR_V2 = Tier(
    name="model", among=("v3", "v2"), also=VERSIONS, default="v3", becomes={"v3": "main"}, help="The quality tier"
)
CORE_OR_ULTRA = Tier(
    name="model", among=("core", "ultra"), default="core", becomes={"core": "main"}, help="The quality tier"
)
SAFETY = Whole(name="safety_tolerance", low=0, high=6, default=2)
UPSAMPLING = Flag(name="prompt_upsampling", default=False)
QUALITY = OneOf(
    name="quality",
    among=("standard", "hd"),
    default="standard",
    becomes={"standard": "medium", "hd": "high"},
    prices={"hd": "text_to_image_hd"},
)

MODEL_PARAMS: tuple[Param, ...] = (
    Words(name="style"),
    Flag(name="texture", default=True),
    Flag(name="pbr"),
    Words(name="model_version", most=100, shown=False),
    Whole(name="face_limit", low=1),
    Flag(name="auto_size"),
    OneOf(name="texture_quality", among=("standard", "detailed")),
)

_REPAINT = (
    OneOf(name="aspect_ratio", among=("1:1", "16:9", "9:16", "21:9", "2:3", "3:2", "4:5", "5:4"), default="1:1"),
    SAFETY,
    UPSAMPLING,
    PNG_OR_JPEG,
)
_DRAW = (
    Whole(name="width", low=256, high=1440, step=32, default=1024),
    Whole(name="height", low=256, high=1440, step=32, default=1024),
    SAFETY,
    UPSAMPLING,
)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "image-to-image",
        "A picture from a picture and a text",
        inputs=(SOURCE,),
        offers={
            A: Offer((PRESET, Number(name="fidelity", low=0, high=1, default=0.8), NEGATIVE, FORMAT, SEED)),
            B: Offer(
                (
                    REALISTIC,
                    SUBSTYLE,
                    STYLE_ID,
                    Number(name="strength", low=0, high=1, default=0.2),
                    NEGATIVE,
                    N,
                    V3,
                    RESPONSE,
                )
            ),
            D: Offer(
                (
                    FREE_STYLE,
                    N,
                    OneOf(name="background", among=("transparent", "opaque", "auto")),
                    Size(name="size", low=16, high=4096, lenient=True),
                    OneOf(
                        name="quality",
                        among=("standard", "hd"),
                        becomes={"standard": "medium", "hd": "high"},
                        lenient=True,
                    ),
                )
            ),
            E: Offer(_REPAINT),
            F: Offer(_REPAINT),
        },
    ),
    Operation(
        "text-to-image",
        "A picture from a text",
        offers={
            A: Offer(
                (
                    CORE_OR_ULTRA,
                    OneOf(
                        name="aspect_ratio",
                        among=("1:1", "16:9", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21"),
                        default="1:1",
                    ),
                    PRESET,
                    NEGATIVE,
                    FORMAT,
                    SEED,
                )
            ),
            B: Offer(
                (
                    STYLE,
                    SUBSTYLE,
                    STYLE_ID,
                    N,
                    V3_OR_V2,
                    Size(name="size", low=256, high=4096, default="1024x1024"),
                    RESPONSE,
                )
            ),
            D: Offer(
                (
                    FREE_STYLE,
                    N,
                    Size(name="size", among=("1024x1024", "1792x1024", "1024x1792"), default="1024x1024"),
                    QUALITY,
                )
            ),
            E: Offer(_DRAW),
            F: Offer(_DRAW),
        },
    ),
    Operation(
        "sketch-to-image",
        "A picture from a sketch and a text",
        inputs=(Input("input_sketch_asset_url", "images", adapts=True),),
        default=A,
        per_minute=30,
        offers={
            A: Offer(
                (
                    Number(name="control_strength", low=0, high=1, default=0.8),
                    OneOf(name="style_preset", among=PRESETS, default="3d-model"),
                    NEGATIVE,
                    FORMAT,
                    SEED,
                )
            )
        },
    ),
    Operation(
        "remove-background",
        "A picture without its background",
        inputs=(IMAGE,),
        prompt=Prompt.ABSENT,
        written="Remove background",
        per_minute=30,
        offers={A: Offer((PNG_OR_WEBP,)), B: Offer((RESPONSE,))},
    ),
    Operation(
        "search-and-recolor",
        "Find something in a picture and give it another colour",
        inputs=(IMAGE,),
        default=A,
        offers={
            A: Offer(
                (
                    Words(name="select_prompt", most=4000, required=True, help="What to find"),
                    NEGATIVE,
                    Whole(name="grow_mask", low=0, high=20, default=3),
                    SEED,
                    FORMAT,
                    PRESET,
                )
            )
        },
    ),
    Operation(
        "image-inpaint",
        "Repaint a part of a picture under a mask",
        inputs=(
            IMAGE,
            Input("input_mask_asset_url", "mask", help="Link to a mask of the picture's size: white is repainted"),
        ),
        default=B,
        per_minute=30,
        offers={
            B: Offer(
                (
                    NEGATIVE,
                    Count(name="n", low=1, high=6, default=1, help="How many results"),
                    REALISTIC,
                    SUBSTYLE,
                    STYLE_ID,
                    V3,
                    RESPONSE,
                )
            )
        },
    ),
    Operation(
        "text-to-model",
        "A 3D model from a text",
        kind=Kind.MODEL,
        file="model",
        offers={C: Offer(MODEL_PARAMS)},
    ),
    Operation(
        "image-to-model",
        "A 3D model from one to four pictures",
        kind=Kind.MODEL,
        prompt=Prompt.OPTIONAL,
        inputs=(
            Input(
                "input_image_asset_urls",
                "images",
                most=4,
                adapts=True,
                help="Links to pictures: one, or the views front, left, back, right, of which the later ones may be "
                f"null. {A} uses the first alone",
            ),
        ),
        file="model",
        offers={
            A: Offer(
                (
                    OneOf(name="texture_resolution", among=(512, 1024, 2048), default=2048),
                    OneOf(name="remesh", among=("none", "quad", "triangle")),
                    Number(name="foreground_ratio", low=0.1, high=2, default=1.3),
                    OneOf(name="target_type", among=("none", "vertex", "face"), default="none"),
                    Whole(name="target_count", low=100, high=20000, default=10000),
                    Number(name="guidance_scale", low=1, high=10, default=6),
                    SEED,
                ),
                model="point-aware",
                takes=1,
            ),
            C: Offer((*MODEL_PARAMS, OneOf(name="orientation", among=("default", "align_image")))),
        },
    ),
    Operation(
        "refine-model",
        "A 3D model made better",
        kind=Kind.MODEL,
        prompt=Prompt.OPTIONAL,
        inputs=(
            Input(
                "input_model_asset_url",
                "model",
                kind=Kind.MODEL,
                help="Link to a GLB or OBJ file: one of our own asset links, or of a host that is allowed here",
            ),
        ),
        default=C,
        per_minute=2,
        file="refined_model",
        offers={
            C: Offer(
                (
                    Earlier(
                        name="draft_model_task_id",
                        help="The id of an earlier model of yours, or of the request that made it",
                    ),
                    *(param for param in MODEL_PARAMS if param.name != "style"),
                )
            )
        },
    ),
    Operation(
        "upscale",
        "A picture with more pixels",
        inputs=(IMAGE,),
        prompt=Prompt.ABSENT,
        written="Upscale",
        offers={
            A: Offer((Tier(name="model", among=("fast",), default="fast", becomes={"fast": "main"}), FORMAT)),
            B: Offer((Tier(name="model", among=("crisp",), default="crisp", becomes={"crisp": "main"}), RESPONSE)),
        },
    ),
    Operation(
        "downscale",
        "A picture that fits into a size of file",
        inputs=(IMAGE,),
        prompt=Prompt.ABSENT,
        written="Downscale",
        default=OURSELVES,
        per_minute=30,
        offers={
            OURSELVES: Offer(
                (
                    Number(name="max_size_mb", low=0.1, high=20, required=True, help="Most megabytes of the result"),
                    OneOf(
                        name="aspect_ratio_mode",
                        among=("original", "square"),
                        default="original",
                        help="square: padded with white",
                    ),
                    OneOf(name="output_format", among=("original", "jpeg", "png", "webp"), default="original"),
                )
            )
        },
    ),
)
BY_NAME: Mapping[str, Operation] = {operation.name: operation for operation in OPERATIONS}

# A prompt's most characters, and those of any link that a body may hold.
PROMPT_CHARS, URL_CHARS = 4000, 8000
