"""The settings' chapter on vendors: keys, hosts, model ids, limits and prices, one dict for each vendor.

Vendors retire models every few months, so every id and host is a setting. In each chapter:

    BASE_URL      where the protocol begins in real mode
    MODELS        model key -> the vendor's own id or path
    TIMEOUT_S     the longest one call may take
    WINDOW        (requests, seconds), or several such pairs, shared by all workers; 0 requests is no limit
    POLL_S        how often a parked call is asked about; POLL_SOONEST_S how soon, at the least
    RESULT_HOSTS  where result links may lead
    …_USD         prices with the month in which they were read
"""

from __future__ import annotations

from typing import Any

from config import env

# Read only by providers.secrets. Real mode without a key: that provider is off.
PROVIDER_KEYS = {
    "huggingface": env.text("HUGGINGFACE_API_KEY", ""),
    "openai": env.text("OPENAI_API_KEY", ""),
    "openrouter": env.text("OPENROUTER_API_KEY", ""),
    "recraft": env.text("RECRAFT_API_KEY", ""),
    "replicate": env.text("REPLICATE_API_KEY", env.text("REPLICATE_KEY", "")),
    "replicate-webhook": env.text("REPLICATE_WEBHOOK_SECRET", ""),
    "stability": env.text("STABILITY_API_KEY", ""),
    "tripo": env.text("TRIPO_API_KEY", ""),
    # What the vendor signs its webhooks with. Without it none is believed, and parked calls are only asked about.
    "tripo-webhook": env.text("TRIPO_WEBHOOK_SECRET", ""),
}

# With SECRETS_BACKEND=aws: under which name each of them lies in Secrets Manager, as plain text.
SECRET_NAMES = {
    "huggingface": env.text("HUGGINGFACE_SECRET_NAME", "pipeline/huggingface-api-key"),
    "openai": env.text("OPENAI_SECRET_NAME", "pipeline/openai-api-key"),
    "openrouter": env.text("OPENROUTER_SECRET_NAME", "pipeline/openrouter-api-key"),
    "recraft": env.text("RECRAFT_SECRET_NAME", "pipeline/recraft-api-key"),
    "replicate": env.text("REPLICATE_SECRET_NAME", "pipeline/replicate-api-key"),
    "replicate-webhook": env.text("REPLICATE_WEBHOOK_SECRET_NAME", "pipeline/replicate-webhook-secret"),
    "stability": env.text("STABILITY_SECRET_NAME", "pipeline/stability-api-key"),
    "tripo": env.text("TRIPO_SECRET_NAME", "pipeline/tripo-api-key"),
    "tripo-webhook": env.text("TRIPO_WEBHOOK_SECRET_NAME", "pipeline/tripo-webhook-secret"),
}

_SDXL = "stability-ai/sdxl:39ed52f2a78e934b3ba6e2a89f5b1c712de7dfea535525255b1aa35c5565e08b"
_GROUNDED_SAM = "schananas/grounded_sam:ee871c19efb1941f55f66a3d7d960428c8a5afcb77449547fe8e5a3ab9ebc21c"

OPENAI: dict[str, Any] = {
    "BASE_URL": env.url("OPENAI_BASE_URL", "https://api.openai.com/v1", schemes=("https", "http")).rstrip("/"),
    "MODELS": {"main": env.text("OPENAI_MODEL", "gpt-image-2")},
    "TIMEOUT_S": env.number("OPENAI_TIMEOUT_S", 300.0),
    # Requests allowed in a window of seconds, shared by all workers; 0 is no limit.
    "WINDOW": (env.integer("OPENAI_REQUESTS_PER_MINUTE", 0, low=0), 60.0),
    "QUALITY": env.choice("OPENAI_QUALITY", "medium", ("auto", "low", "medium", "high")),
    # USD per million tokens (text in, image in, made), from the day on which they apply.
    "TOKEN_RATES_USD": {"2026-04-21": ("5", "8", "30")},
    # USD per picture by quality, for an answer without usage.
    "ESTIMATES_USD": {"low": "0.02", "medium": "0.07", "high": "0.19"},
}
HUGGINGFACE: dict[str, Any] = {
    "BASE_URL": env.url("HUGGINGFACE_BASE_URL", "https://router.huggingface.co", schemes=("https", "http")).rstrip("/"),
    # Which inference company the router forwards to: fal-ai (queue, parks) or hf-inference (bytes back).
    "ROUTE": env.choice("HUGGINGFACE_ROUTE", "fal-ai", ("fal-ai", "hf-inference")),
    "MODELS": {"main": env.text("HUGGINGFACE_MODEL", "black-forest-labs/FLUX.1-dev")},
    "FAL_PATHS": {"main": env.text("HUGGINGFACE_FAL_PATH", "fal-ai/flux/dev")},
    # Of image-to-image. No model is listed for it on hf-inference, so that route refuses unless another is set.
    "EDIT_MODELS": {"main": env.text("HUGGINGFACE_EDIT_MODEL", "black-forest-labs/FLUX.2-klein-9B")},
    "FAL_EDIT_PATHS": {"main": env.text("HUGGINGFACE_FAL_EDIT_PATH", "fal-ai/flux-2/klein/9b/edit")},
    # No limit is published; pictures beyond this go as a smaller JPEG.
    "INPUT_BYTES": env.integer("HUGGINGFACE_INPUT_BYTES", 4_000_000, low=1024),
    "BILL_TO": env.text("HUGGINGFACE_BILL_TO", ""),
    "TIMEOUT_S": env.number("HUGGINGFACE_TIMEOUT_S", 180.0),
    "WINDOW": (env.integer("HUGGINGFACE_REQUESTS_PER_MINUTE", 0, low=0), 60.0),
    "POLL_S": env.number("HUGGINGFACE_POLL_S", 1.0),
    # Where result links may lead.
    "RESULT_HOSTS": env.words("HUGGINGFACE_RESULT_HOSTS", ["fal.media", "*.fal.media", "*.fal.run"]),
    # USD, November 2026: fal-ai per megapixel made (of edits the maker's own price), hf-inference per second of
    # hardware.
    "MEGAPIXEL_USD": env.text("HUGGINGFACE_MEGAPIXEL_USD", "0.025"),
    "EDIT_MEGAPIXEL_USD": env.text("HUGGINGFACE_EDIT_MEGAPIXEL_USD", "0.015"),
    "SECOND_USD": env.text("HUGGINGFACE_SECOND_USD", "0.00012"),
}
OPENROUTER: dict[str, Any] = {
    "BASE_URL": env.url("OPENROUTER_BASE_URL", "https://openrouter.ai/api/v1", schemes=("https", "http")).rstrip("/"),
    "MODELS": {"main": env.text("OPENROUTER_MODEL", "openai/gpt-4o-mini")},
    "TIMEOUT_S": env.number("OPENROUTER_TIMEOUT_S", 60.0),
    # json_schema holds the model to our keys; json_object is for models that know no schema.
    "RESPONSE_FORMAT": env.choice("OPENROUTER_RESPONSE_FORMAT", "json_schema", ("json_schema", "json_object")),
    # A picture is reduced to this many pixels at its longest side before it is shown.
    # A picture beyond one of them is shown as a JPEG of at most so many pixels a side.
    "PICTURE_PIXELS": env.integer("OPENROUTER_PICTURE_PIXELS", 1024, low=64, high=4096),
    "PICTURE_BYTES": env.integer("OPENROUTER_PICTURE_BYTES", 300_000, low=0),
    "DETAIL": env.choice("OPENROUTER_DETAIL", "auto", ("auto", "low", "high")),
    "ANSWER_TOKENS": env.integer("OPENROUTER_ANSWER_TOKENS", 200, low=16),
    # The site named in the vendor's rankings; none is told by default.
    "SITE_URL": env.text("OPENROUTER_SITE_URL", ""),
    # USD per check, for an answer that does not say what it cost (November 2026).
    "CHECK_USD": env.text("OPENROUTER_CHECK_USD", "0.00015"),
}
RECRAFT: dict[str, Any] = {
    "BASE_URL": env.url("RECRAFT_BASE_URL", "https://external.api.recraft.ai/v1", schemes=("https", "http")).rstrip(
        "/"
    ),
    "MODELS": {"main": env.text("RECRAFT_MODEL", "recraftv3"), "v2": env.text("RECRAFT_MODEL_V2", "recraftv2")},
    # Only the third generation edits everywhere: later ones lack masks and backgrounds.
    "EDIT_MODELS": {"main": env.text("RECRAFT_EDIT_MODEL", "recraftv3")},
    "TIMEOUT_S": env.number("RECRAFT_TIMEOUT_S", 180.0),
    "WINDOW": (
        (env.integer("RECRAFT_REQUESTS_PER_SECOND", 5, low=0), 1.0),
        (env.integer("RECRAFT_IMAGES_PER_MINUTE", 100, low=0), 60.0),
    ),
    # Pictures come behind a link (url) or in the answer itself (b64_json).
    "RESPONSE_FORMAT": env.choice("RECRAFT_RESPONSE_FORMAT", "url", ("url", "b64_json")),
    # A picture whose link fails for the moment is fetched again after so long, from hosts that hold no star.
    "POLL_S": env.number("RECRAFT_POLL_S", 5.0),
    "RESULT_HOSTS": env.words("RECRAFT_RESULT_HOSTS", ["img.recraft.ai", "*.recraft.ai"]),
    "INPUT_BYTES": env.integer("RECRAFT_INPUT_BYTES", 10_000_000, low=1),
    # USD per picture, November 2026, for an answer that does not say what it cost.
    "ESTIMATES_USD": {
        "image-inpaint": "0.04",
        "image-to-image": "0.04",
        "remove-background": "0.01",
        "replace-background": "0.04",
        "text-to-image": "0.04",
        "upscale": "0.004",
    },
}
REPLICATE: dict[str, Any] = {
    "BASE_URL": env.url("REPLICATE_BASE_URL", "https://api.replicate.com/v1", schemes=("https", "http")).rstrip("/"),
    # Official models by owner/name, any other by owner/name:version. Only those whose input is known to the adapter.
    "MODELS": {
        "image-inpaint": {"main": env.text("REPLICATE_INPAINT_MODEL", "black-forest-labs/flux-fill-dev")},
        "image-to-image": {
            "main": env.text("REPLICATE_MODEL", "black-forest-labs/flux-dev"),
            "fallback": env.text("REPLICATE_FALLBACK_MODEL", _SDXL),
        },
        "pose-to-image": {"main": env.text("REPLICATE_POSE_MODEL", "black-forest-labs/flux-depth-dev")},
        "segment": {"main": env.text("REPLICATE_SEGMENT_MODEL", _GROUNDED_SAM)},
        "text-to-image": {
            "main": env.text("REPLICATE_MODEL", "black-forest-labs/flux-dev"),
            "fast": env.text("REPLICATE_FAST_MODEL", "black-forest-labs/flux-schnell"),
            "fallback": env.text("REPLICATE_FALLBACK_MODEL", _SDXL),
        },
    },
    "TIMEOUT_S": env.number("REPLICATE_TIMEOUT_S", 60.0),
    "WINDOW": (env.integer("REPLICATE_REQUESTS_PER_MINUTE", 600, low=0), 60.0),
    "POLL_S": env.number("REPLICATE_POLL_S", 2.0),
    "POLL_SOONEST_S": env.number("REPLICATE_POLL_SOONEST_S", 0.1),
    # After this the vendor stops a call by itself, so that one we gave up is not billed on; 0 lets it run.
    "CANCEL_AFTER_S": env.integer("REPLICATE_CANCEL_AFTER_S", 1800, low=0),
    "RESULT_HOSTS": env.words("REPLICATE_RESULT_HOSTS", ["replicate.delivery", "*.replicate.delivery"]),
    # USD, November 2026: per picture of official models (of the fill and control ones no price is published, so
    # their sister's), per second of hardware for the rest; "" is for a model without a line.
    "PICTURE_USD": {
        "black-forest-labs/flux-canny-dev": env.text("REPLICATE_CONTROL_USD", "0.025"),
        "black-forest-labs/flux-depth-dev": env.text("REPLICATE_CONTROL_USD", "0.025"),
        "black-forest-labs/flux-dev": env.text("REPLICATE_DEV_USD", "0.025"),
        "black-forest-labs/flux-fill-dev": env.text("REPLICATE_FILL_USD", "0.025"),
        "black-forest-labs/flux-fill-pro": env.text("REPLICATE_FILL_PRO_USD", "0.05"),
        "black-forest-labs/flux-schnell": env.text("REPLICATE_SCHNELL_USD", "0.003"),
        "stability-ai/sdxl": env.text("REPLICATE_SDXL_USD", "0.0029"),
    },
    "SECOND_USD": {"": env.text("REPLICATE_SECOND_USD", "0.000975"), "xlabs-ai/flux-dev-controlnet": "0.0014"},
}
STABILITY: dict[str, Any] = {
    "BASE_URL": env.url("STABILITY_BASE_URL", "https://api.stability.ai/v2beta", schemes=("https", "http")).rstrip("/"),
    # Of text-to-image: the last part of a path, or (sd3) the model named in the form.
    "MODELS": {
        "main": env.text("STABILITY_MODEL", "core"),
        "ultra": env.text("STABILITY_ULTRA_MODEL", "ultra"),
        "sd3": env.text("STABILITY_SD3_MODEL", "sd3.5-large"),
    },
    # Of image-to-model: the last part of a path.
    "MODELS_3D": {
        "main": env.text("STABILITY_3D_MODEL", "stable-fast-3d"),
        "point-aware": env.text("STABILITY_POINT_AWARE_MODEL", "stable-point-aware-3d"),
    },
    "TIMEOUT_S": env.number("STABILITY_TIMEOUT_S", 120.0),
    # Whoever breaks it is shut out for a minute, so questions about parked calls are counted too.
    "WINDOW": (env.integer("STABILITY_REQUESTS_PER_10_S", 150, low=0), 10.0),
    # Asked about a call more often than every ten seconds this vendor refuses.
    "POLL_S": env.number("STABILITY_POLL_S", 10.0),
    # Credits by endpoint or model, November 2026; `other` for a model that is newer than this table.
    "CREDITS": {
        "core": "3",
        "ultra": "8",
        "sd3.5-large": "6.5",
        "sd3.5-large-turbo": "4",
        "sd3.5-medium": "3.5",
        "sd3.5-flash": "2.5",
        "sketch": "5",
        "structure": "5",
        "style": "5",
        "remove-background": "5",
        "search-and-recolor": "5",
        "inpaint": "5",
        "replace-background-and-relight": "8",
        "fast": "2",
        "stable-fast-3d": "10",
        "stable-point-aware-3d": "4",
        "other": "8",
    },
    "CREDIT_USD": env.text("STABILITY_CREDIT_USD", "0.01"),
}
TRIPO: dict[str, Any] = {
    # A key works in one region only; the other is https://openapi.tripo3d.com/v3.
    "BASE_URL": env.url("TRIPO_BASE_URL", "https://openapi.tripo3d.ai/v3", schemes=("https", "http")).rstrip("/"),
    "MODELS": {"main": env.text("TRIPO_MODEL", "v3.1-20260211")},
    "TEXTURE_MODELS": {"main": env.text("TRIPO_TEXTURE_MODEL", "v3.0-20250812")},
    # What a customer may ask for by the vendor's own id; older ones are retired.
    "VERSIONS": env.words(
        "TRIPO_VERSIONS", ["v3.1-20260211", "v3.0-20250812", "v2.5-20250123", "P1-20260311", "P2-20260801"]
    ),
    "TEXTURE_VERSIONS": env.words("TRIPO_TEXTURE_VERSIONS", ["v3.5-20260815", "v3.0-20250812", "v2.5-20250123"]),
    # Whether a style word has any effect is not documented for this version of the protocol.
    "SENDS_STYLE": env.boolean("TRIPO_SENDS_STYLE", False),
    "TIMEOUT_S": env.number("TRIPO_TIMEOUT_S", 120.0),
    "WINDOW": (env.integer("TRIPO_REQUESTS_PER_MINUTE", 200, low=0), 60.0),
    "POLL_S": env.number("TRIPO_POLL_S", 3.0),
    "RESULT_HOSTS": env.words("TRIPO_RESULT_HOSTS", ["*.tripo3d.com", "*.tripo3d.ai"]),
    # Models are larger than pictures, so they have a cap of their own.
    "MODEL_BYTES": env.integer("TRIPO_MODEL_BYTES", 150 * 1024 * 1024, low=1024),
    # USD per credit, and credits per model for an answer that does not say what it took (November 2026).
    "CREDIT_USD": env.text("TRIPO_CREDIT_USD", "0.01"),
    "CREDITS": {"image-to-model": 30, "multiview-to-model": 30, "refine-model": 10, "text-to-model": 20},
}
