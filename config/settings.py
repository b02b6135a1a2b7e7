"""Every setting, in chapters. Read through `config.env`, which refuses bad values by the variable's name.

The chapters on vendors, doors and the console's skin are files of their own beside this one.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dj_database_url

from config import env
from config.console import *  # noqa: F403
from config.door_rules import *  # noqa: F403
from config.doors import DOOR_CHANNELS as DOOR_CHANNELS
from config.doors import DOORS as DOORS
from config.embedded import paths
from config.vendors import *  # noqa: F403

BASE_DIR = env.ROOT

# --- Process -------------------------------------------------------------------------------------

# LOCAL is set by `make run`, `make test` and manage.py without settings: one machine, one person,
# bound to 127.0.0.1. It permits generated secrets and plain http, nothing else.
LOCAL = env.boolean("LOCAL", False)
DEBUG = env.boolean("DEBUG", False)


def _local_secret() -> str:
    """Read, or make once, the local desk's own secret key; only its user can read the file."""
    path: Path = paths.secret_key_file()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(50))
    return path.read_text()


SECRET_KEY = env.text("SECRET_KEY", "") or (_local_secret() if LOCAL else env.text("SECRET_KEY"))
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]", "testserver"] if LOCAL else [])
PUBLIC_URL = env.url("PUBLIC_URL", "", schemes=("http", "https")).rstrip("/")
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS", [PUBLIC_URL] if PUBLIC_URL else [])
# How many reverse proxies stand in front and may be believed about X-Forwarded-For.
TRUSTED_PROXIES = env.integer("TRUSTED_PROXIES", 0, low=0, high=10)
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "rest_framework_simplejwt",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "corsheaders",
    "csp",
    "django_htmx",
    "channels",
    "django_rq",
    "storages",
    "config.apps.DeskConfig",
    "credits.apps.CreditsConfig",
    "providers.apps.ProvidersConfig",
    "generation.apps.GenerationConfig",
]

MIDDLEWARE = [
    "config.api.trace.TraceMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "config.middleware.CSPMiddleware",
    "config.middleware.SessionMiddleware",
    "config.middleware.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "config.middleware.AuthenticationMiddleware",
    "config.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"
APPEND_SLASH = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

# --- PostgreSQL ----------------------------------------------------------------------------------

# The pool is shared by the threads of one process; a thread gives its connection back around every
# provider call, so a few connections carry hundreds of calls.
DATABASE_POOL_SIZE = env.integer("DATABASE_POOL_SIZE", 8, low=1, high=200)
DATABASES: dict[str, Any] = {
    "default": {
        **dj_database_url.parse(
            env.url(
                "DATABASE_URL",
                f"postgresql://atelier@/atelier?host={paths.socket_dir()}" if LOCAL else "",
                schemes=("postgresql", "postgres"),
            )
            or env.text("DATABASE_URL"),
            engine="config.postgresql",
        ),
        "CONN_MAX_AGE": 0,
    }
}
DATABASES["default"]["OPTIONS"] = {
    **DATABASES["default"].get("OPTIONS", {}),
    "pool": {"min_size": 1, "max_size": DATABASE_POOL_SIZE, "timeout": 10},
    # Off for a connection pooler that hands one session's statements to another.
    "prepare_threshold": 3 if env.boolean("DATABASE_PREPARED_STATEMENTS", True) else None,
}

# --- Redis: bells, hints, throttles. It may be emptied at any moment ------------------------------


def _redis_url() -> str:
    if url := env.url("REDIS_URL", "", schemes=("redis", "rediss", "unix")):
        return url
    if host := env.text("REDIS_HOST", ""):
        password = env.text("REDIS_PASSWORD", "")
        return f"redis://{':' + password + '@' if password else ''}{host}:{env.integer('REDIS_PORT', 6379)}/0"
    return f"unix://{paths.redis_socket()}" if LOCAL else env.text("REDIS_URL")


REDIS_URL = _redis_url()

# The pubsub layer, because the core layer's blocking pop and redis-py's default timeout kill idle sockets.
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "atelier"},
    }
}

# --- People, tokens, passwords -------------------------------------------------------------------

AUTH_USER_MODEL = "config.User"
# The password check of every door, behind the limit of failed logins per address.
AUTHENTICATION_BACKENDS = ["config.api.logins.LimitedBackend"]
LOGIN_URL = "/app/login"
LOGIN_REDIRECT_URL = "/app/"
LOGOUT_REDIRECT_URL = "/app/login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# Run for each user made on first sight of an outside token, in that transaction.
NEW_USER_HOOKS = ["credits.ledger.open_account"]

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
if not LOCAL:
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_SSL_REDIRECT = env.boolean("SECURE_SSL_REDIRECT", True)
    SECURE_REDIRECT_EXEMPT = [r"^health"]
    SECURE_HSTS_SECONDS = env.integer("SECURE_HSTS_SECONDS", 31536000, low=0)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True

SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "SIGNING_KEY": env.text("JWT_SIGNING_KEY", "jwt:" + SECRET_KEY),
    "AUDIENCE": "atelier",
    "ISSUER": "atelier",
    "USER_ID_CLAIM": "sub",
    "CHECK_REVOKE_TOKEN": True,
    "ACCESS_TOKEN_LIFETIME": timedelta(seconds=env.integer("JWT_ACCESS_SECONDS", 3600, low=60)),
    "REFRESH_TOKEN_LIFETIME": timedelta(seconds=env.integer("JWT_REFRESH_SECONDS", 14 * 86400, low=60)),
}
# Outside issuers: [{"issuer", "audience"?, "secret" | "jwks_url", "id_claim"?}, …]; see config.api.auth.
JWT_ISSUERS = env.json_list("JWT_ISSUERS")
SUPABASE_URL = env.url("SUPABASE_URL", "", schemes=("https", "http")).rstrip("/")
SUPABASE_JWT_SECRET = env.text("SUPABASE_JWT_SECRET", "")
JWT_SECRET = env.text("JWT_SECRET", "")

# --- Web: API, docs, CORS, CSP -------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["config.api.auth.JWTAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["config.api.parsers.AnyJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "config.api.negotiation.FirstUnlessAsked",
    "EXCEPTION_HANDLER": "config.api.errors.exception_handler",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "LIST_SERIALIZER_ERRORS_AS_DICT": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Atelier",
    "VERSION": "1.0.0",
    "DESCRIPTION": "Submit generation work, follow it live, fetch what was made, watch credits.",
    # In the order in which somebody new reads: a token first, then a door, then what it cost.
    "TAGS": [
        {"name": "auth", "description": "Tokens for a name and a password"},
        {"name": "visual-generation", "description": "Pictures from words, one or many at once"},
        {"name": "makeit3d", "description": "Pictures, their changes and 3D models"},
        {"name": "story-images", "description": "Checked pictures for each segment of a story"},
        {"name": "pose-generator", "description": "People in poses, their backgrounds and formats"},
        {"name": "credits", "description": "Balance and prices"},
    ],
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "VisualTypeEnum": "generation.doors.visuals.serializers.TYPES",
        "VisualStatusEnum": "generation.doors.visuals.answers.STATUSES",
        "VisualBatchStatusEnum": "generation.doors.visuals.answers.BATCH_STATUSES",
        "TaskStatusEnum": "generation.doors.makeit3d.present.STATUSES",
        "PoseGenerationStatusEnum": "generation.doors.poses.answers.STATUSES",
        "PoseStatusEnum": "generation.doors.poses.answers.POSE_STATUSES",
        "PoseProjectStatusEnum": "generation.doors.poses.answers.PROJECT_STATUSES",
        "PoseWishStatusEnum": "generation.doors.poses.record_answers.WISH_STATUSES",
        "PoseSourceEnum": "generation.doors.poses.record_answers.POSE_SOURCES",
        "PoseHealthEnum": "generation.doors.poses.record_answers.HEALTH",
        "AvatarSourceEnum": "generation.doors.poses.record_answers.AVATAR_SOURCES",
        "PictureFormatEnum": "generation.doors.makeit3d.catalogue.FORMATS",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "config.api.schema.add_problem",
        "config.api.schema.say_json",
    ],
    "SERVE_PUBLIC": True,
}
API_BODY_LIMIT_BYTES = env.integer("API_BODY_LIMIT_BYTES", 1024 * 1024, low=1024)

CORS_ALLOWED_ORIGINS = env.origins("CORS_ORIGIN")
CORS_EXPOSE_HEADERS = [
    "Retry-After",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Total-Count",
    "Location",
    "Idempotency-Replayed",
]
# The last one means nothing here; clients of the systems before send it along, and browsers ask whether they may.
CORS_ALLOW_HEADERS = ["accept", "authorization", "content-type", "idempotency-key", "x-csrftoken", "x-api-key"]

# Unfold needs unsafe-eval, so /admin/ is left to its own devices; everything else is strict.
_directives = {
    "default-src": ["'self'"],
    "img-src": ["'self'", "data:", *([PUBLIC_URL] if PUBLIC_URL else [])],
    "connect-src": ["'self'"],
    "object-src": ["'none'"],
    "base-uri": ["'self'"],
    "frame-ancestors": ["'none'"],
}
CONTENT_SECURITY_POLICY = {"EXCLUDE_URL_PREFIXES": ["/admin/"], "DIRECTIVES": _directives}

STATIC_URL = "/static/"
STATIC_ROOT = None if LOCAL else BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "templates" / "static"]
WHITENOISE_USE_FINDERS = LOCAL

# Wrong logins and refused tokens allowed per address in a window. A password may be guessed, a token hardly: its limit
# is there for floods, and must not hide a plain 401 from the clients of a whole office.
LOGIN_LIMIT = env.integer("LOGIN_LIMIT", 20, low=1)
REFUSED_TOKEN_LIMIT = env.integer("REFUSED_TOKEN_LIMIT", 200, low=1)
LOGIN_WINDOW_S = env.integer("LOGIN_WINDOW_S", 300, low=1)
METRICS_TOKEN = env.text("METRICS_TOKEN", "")
# Threads of one web process: how many HTTP calls it answers at a time.
WEB_THREADS = env.integer("WEB_THREADS", 16, low=1, high=500)

# --- Queue and workers ---------------------------------------------------------------------------

# The source systems named the same number differently; the first one set wins.
WORKER_THREADS = env.integer(
    "WORKER_THREADS",
    env.integer("WORKER_CONCURRENCY", env.integer("MAX_CONCURRENT_REQUESTS", 16, low=1, high=1000), low=1, high=1000),
    low=1,
    high=1000,
)
WORKER_DRAIN_S = env.integer("WORKER_DRAIN_S", 30, low=0, high=3600)
WORKER_ONLY = env.words("WORKER_ONLY")
LEASE_S = env.integer("LEASE_S", 60, low=1, high=3600)
SWEEP_INTERVAL_S = env.integer("QUEUE_PROCESSING_INTERVAL", 3000, low=100) / 1000
AGEING_S = env.integer("AGEING_S", 600, low=1)
AUDIT_INTERVAL_S = env.integer("AUDIT_INTERVAL_S", 600, low=1)
ENABLE_METRICS = env.boolean("ENABLE_METRICS", True)
METRICS_INTERVAL_S = env.integer("METRICS_COLLECTION_INTERVAL", 60000, low=1000) / 1000
# How long ended things are kept before the daily prune.
KEEP_EVENTS_DAYS = env.integer("KEEP_EVENTS_DAYS", 90, low=1)
KEEP_ORPHANS_DAYS = env.integer("KEEP_ORPHANS_DAYS", 7, low=1)

# Two connections for each thread and some for the bells, so that no thread waits for another's.
RQ_QUEUES = {
    "generation": {
        "URL": REDIS_URL,
        "DEFAULT_TIMEOUT": -1,
        "SERIALIZER": "rq.serializers.JSONSerializer",
        "REDIS_CLIENT_KWARGS": {"max_connections": 2 * WORKER_THREADS + 16},
    }
}
RQ = {"WORKER_CLASS": "generation.worker.ThreadedWorker", "COMMIT_MODE": "auto"}
# Its pages are mounted by generation.admin.bells.
RQ_SHOW_ADMIN_LINK = False

# --- Credits -------------------------------------------------------------------------------------

SIGNUP_GRANT_CREDITS = env.integer("SIGNUP_GRANT_CREDITS", 30, low=0)
# What a credit is sold for, for the console's margin; 0: not known, so no margin is shown.
CREDIT_USD = Decimal(str(env.number("CREDIT_USD", 0.0)))
# Most credits that one member of staff moves alone by one form; above it a second one approves. 0: no limit.
STAFF_CREDITS_ALONE = env.integer("STAFF_CREDITS_ALONE", 500, low=0)
# Of one person and route, in any 60 seconds; 0 is no limit.
CREDITS_READS_PER_MINUTE = env.integer("CREDITS_READS_PER_MINUTE", 120, low=0)

# --- Providers -----------------------------------------------------------------------------------

PROVIDERS_MODE = env.choice("PROVIDERS_MODE", "simulated", ("simulated", "real"))
SIMULATOR_URL = env.url("SIMULATOR_URL", "http://127.0.0.1:4010", schemes=("http",)).rstrip("/")
# aws: Secrets Manager alone, with boto3's own credentials; the names stand in config/vendors.py.
SECRETS_BACKEND = env.choice("SECRETS_BACKEND", "env", ("env", "aws"))
SECRETS_REGION = env.text("AWS_REGION", env.text("AWS_DEFAULT_REGION", "us-east-2"))
SECRETS_ENDPOINT_URL = env.url("AWS_ENDPOINT_URL_SECRETS_MANAGER", "", schemes=("https", "http"))
PROVIDER_CONNECT_TIMEOUT_S = env.number("PROVIDER_CONNECT_TIMEOUT_S", 10.0)
PROVIDER_MAX_BYTES = env.integer("PROVIDER_MAX_BYTES", 64 * 1024 * 1024, low=1024)
PROVIDER_CA_BUNDLE = env.text("PROVIDER_CA_BUNDLE", "")
# The keys and the chapter of each vendor stand in config/vendors.py.

# --- Files ---------------------------------------------------------------------------------------

STORAGE_BACKEND = env.choice("STORAGE_BACKEND", "local", ("local", "s3"))
STORAGE_BUCKET = env.text("STORAGE_BUCKET", env.text("R2_BUCKET_NAME", "pipeline-backend-assets"))
STORAGE_ENDPOINT_URL = env.url("STORAGE_ENDPOINT_URL", "", schemes=("https", "http"))
STORAGE_REGION = env.text("STORAGE_REGION", "us-east-2")
STORAGE_ACCESS_KEY_ID = env.text("STORAGE_ACCESS_KEY_ID", env.text("R2_ACCESS_KEY_ID", ""))
STORAGE_SECRET_ACCESS_KEY = env.text("STORAGE_SECRET_ACCESS_KEY", env.text("R2_SECRET_ACCESS_KEY", ""))
STORAGE_PUBLIC_URL = env.url("STORAGE_PUBLIC_URL", env.text("R2_PUBLIC_URL", ""), schemes=("https", "http")).rstrip("/")
if (account := env.text("R2_ACCOUNT_ID", "")) and not STORAGE_ENDPOINT_URL:
    STORAGE_ENDPOINT_URL = f"https://{account}.r2.cloudflarestorage.com"
MEDIA_ROOT = Path(env.text("MEDIA_ROOT", str(paths.media_dir())))
LINK_SECONDS = env.integer("LINK_SECONDS", 3600, low=60)
MAX_IMAGE_BYTES = env.integer("MAX_IMAGE_BYTES", 20 * 1024 * 1024, low=1024)
MAX_IMAGE_PIXELS = env.integer("MAX_IMAGE_PIXELS", 40_000_000, low=1)
THUMBNAIL_PIXELS = env.integer("THUMBNAIL_PIXELS", 400, low=32, high=2048)

if STORAGE_BACKEND == "s3":
    from botocore.config import Config  # takes a second to import, so only where it is used

    _default_storage: dict[str, Any] = {
        "BACKEND": "generation.s3.S3Files",
        "OPTIONS": {
            "bucket_name": STORAGE_BUCKET,
            "endpoint_url": STORAGE_ENDPOINT_URL or None,
            "region_name": STORAGE_REGION,
            "access_key": STORAGE_ACCESS_KEY_ID or None,
            "secret_key": STORAGE_SECRET_ACCESS_KEY or None,
            "file_overwrite": False,
            "querystring_expire": LINK_SECONDS,
            "client_config": Config(
                connect_timeout=5,
                read_timeout=30,
                retries={"total_max_attempts": 3, "mode": "standard"},  # with exponential back-off
                signature_version="s3v4",
                s3={"addressing_style": "path"} if STORAGE_ENDPOINT_URL else None,
            ),
        },
    }
else:
    _default_storage = {"BACKEND": "generation.storage.LocalFiles", "OPTIONS": {"location": str(MEDIA_ROOT)}}
STORAGES = {
    "default": _default_storage,
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if LOCAL
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# Pages show pictures straight from where they are stored: a bucket may be part of the path or of the host.
if _store := STORAGE_PUBLIC_URL or (STORAGE_ENDPOINT_URL or "https://amazonaws.com" if STORAGE_BACKEND == "s3" else ""):
    _scheme, _host = _store.split("/")[0], _store.split("/")[2]
    _directives["img-src"] += [f"{_scheme}//{_host}", f"{_scheme}//*.{_host}"]

# --- Logs ----------------------------------------------------------------------------------------

LOG_FORMAT = env.choice("LOG_FORMAT", "json", ("json", "plain"))
LOG_LEVEL = env.choice("LOG_LEVEL", "info", ("debug", "info", "warning", "error")).upper()
# Django hands LOGGING to it before loading anything else, so that redaction cannot be left out.
LOGGING_CONFIG = "config.logging.configure"
LOGGING = {"format": LOG_FORMAT, "level": LOG_LEVEL}
SENTRY_DSN = env.text("SENTRY_DSN", "")
