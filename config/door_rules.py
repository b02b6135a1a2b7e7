"""The settings' chapter on doors: how much they take, whom they ask, how often they try."""

from __future__ import annotations

from config import env
from config.banned import BANNED_WORDS

# --- Visual-generation door ----------------------------------------------------------------------

VISUAL_RATE_LIMIT = env.integer("VISUAL_RATE_LIMIT", 100, low=0)
VISUAL_RATE_WINDOW_S = env.integer("VISUAL_RATE_WINDOW", 900, low=1)
VISUAL_SECONDS_PER_REQUEST = env.integer("VISUAL_SECONDS_PER_REQUEST", 30, low=1)
VISUAL_PROVIDER_ORDER = env.words("VISUAL_PROVIDER_ORDER", ["openai", "stability", "replicate", "huggingface"])
VISUAL_RUNNING_CANCEL_REFUND = env.choice("VISUAL_RUNNING_CANCEL_REFUND", "confirmed", ("never", "confirmed", "always"))
VISUAL_RETRY_BASE_S = env.integer("RETRY_DELAY_MS", 10000, low=0) / 1000
VISUAL_RETRY_CAP_S = env.integer("RETRY_DELAY_MAX_MS", 300000, low=0) / 1000
VISUAL_CALL_TIMEOUT_S = env.number("VISUAL_CALL_TIMEOUT_S", 300.0)

# --- Inputs behind links -------------------------------------------------------------------------

# Whose links a request may be made from, beside our own: `project.supabase.co` and `*.example.com` are asked over
# https at public addresses; an origin such as `http://minio:9000` is trusted whole, private address and all.
INPUT_ASSET_ALLOWED_HOSTS = env.hosts("INPUT_ASSET_ALLOWED_HOSTS")
INPUT_FETCH_TIMEOUT_S = env.number("INPUT_FETCH_TIMEOUT_S", 30.0)

# --- MakeIt3D door -------------------------------------------------------------------------------

MAKEIT3D_MAX_MODEL_BYTES = env.integer("MAKEIT3D_MAX_MODEL_BYTES", 100 * 1024 * 1024, low=1024)
# Nobody brings a larger file; beside it the rest of its form.
UPLOAD_LIMIT_BYTES = MAKEIT3D_MAX_MODEL_BYTES + 1024 * 1024
FILE_UPLOAD_HANDLERS = [
    "config.api.uploads.Limit",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]
# Of one person and route, in any 60 seconds; 0 is no limit. The routes that make things have their own in the
# door's catalogue: MAKEIT3D_PER_MINUTE=text-to-image=10,upscale=0 changes some of them.
MAKEIT3D_PER_MINUTE = env.counts("MAKEIT3D_PER_MINUTE")
MAKEIT3D_READS_PER_MINUTE = env.integer("MAKEIT3D_READS_PER_MINUTE", 120, low=0)
MAKEIT3D_UPLOADS_PER_MINUTE = env.integer("MAKEIT3D_UPLOADS_PER_MINUTE", 30, low=0)
MAKEIT3D_CALL_TIMEOUT_S = env.number("MAKEIT3D_CALL_TIMEOUT_S", 300.0)
# From the first start to the end of all tries; what is not made by then fails and is refunded.
MAKEIT3D_DEADLINE_S = env.integer("MAKEIT3D_DEADLINE_S", 1800, low=1)
MAKEIT3D_RETRY_BASE_S = env.number("MAKEIT3D_RETRY_BASE_S", 5.0)

# --- Story-images door ---------------------------------------------------------------------------

STORY_MAX_PARALLEL_SEGMENTS = env.integer("STORY_MAX_PARALLEL_SEGMENTS", 8, low=1, high=50)
# A picture with text in it is drawn anew at once; true asks the checker again before, and takes any clean answer.
STORY_REASK_ON_TEXT = env.boolean("STORY_REASK_ON_TEXT", False)
# After so many failures in a row a picture is drawn by the fallback model.
STORY_FALLBACK_AFTER = env.integer("STORY_FALLBACK_AFTER", 2, low=1)
# Pauses before another pass: full jitter of base * 2^n seconds, at most cap; after a rate limit likewise.
STORY_RETRY_BASE_S = env.number("STORY_RETRY_BASE_S", 2.0)
STORY_RETRY_CAP_S = env.number("STORY_RETRY_CAP_S", 15.0)
STORY_RATE_LIMIT_BASE_S = env.number("STORY_RATE_LIMIT_BASE_S", 5.0)
STORY_RATE_LIMIT_CAP_S = env.number("STORY_RATE_LIMIT_CAP_S", 60.0)
STORY_RATE_LIMIT_STARTS = env.integer("STORY_RATE_LIMIT_STARTS", 5, low=1)
# How long one picture may be at its provider.
STORY_PARK_S = env.number("STORY_PARK_S", 300.0, low=1.0)

# --- Pose-generator door -------------------------------------------------------------------------

POSE_RATE_LIMIT = env.integer("POSE_RATE_LIMIT", 5, low=0)
POSE_RATE_WINDOW_S = env.integer("POSE_RATE_WINDOW", 60, low=1)
# Changes of backgrounds, and exports that are made while their caller waits.
POSE_CHANGES_PER_MINUTE = env.integer("POSE_CHANGES_PER_MINUTE", 30, low=0)
POSE_EXPORTS_PER_MINUTE = env.integer("POSE_EXPORTS_PER_MINUTE", 30, low=0)
# What people are told to wait for each pose.
POSE_SECONDS_PER_POSE = env.integer("POSE_SECONDS_PER_POSE", 30, low=1)
POSE_CALL_TIMEOUT_S = env.number("POSE_CALL_TIMEOUT_S", 300.0)
# A pose's control picture: the map of its skeleton, or its mannequin for models that see shapes and no skeletons.
POSE_CONTROL_PICTURE = env.choice("POSE_CONTROL_PICTURE", "map", ("map", "mannequin"))
# Who makes a pose from its map, who from words alone, who cuts figures out, who repaints the seam.
POSE_PROVIDER_ORDER = env.words("POSE_PROVIDER_ORDER", ["replicate", "stability"])
POSE_TEXT_PROVIDER_ORDER = env.words("POSE_TEXT_PROVIDER_ORDER", ["huggingface", "replicate", "stability", "openai"])
POSE_CUT_OUT_PROVIDER_ORDER = env.words("POSE_CUT_OUT_PROVIDER_ORDER", ["stability", "recraft"])
POSE_SEAM_PROVIDER_ORDER = env.words("POSE_SEAM_PROVIDER_ORDER", ["replicate", "stability", "recraft"])
POSE_INPAINT_SEAM = env.boolean("POSE_INPAINT_SEAM", True)
# What a provider's content filter refuses is not given back, unless this says so.
POSE_REFUND_FILTERED = env.boolean("POSE_REFUND_FILTERED", False)
POSE_BANNED_WORDS = env.words("POSE_BANNED_WORDS", BANNED_WORDS)
