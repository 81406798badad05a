"""Django settings: every variable of the gateway's own is read here, once, typed and validated.

What a product reads beside them it reads itself (experience/settings.py). docs/settings.md lists them all; a
wrong value stops the start with one line (proxy/env.py).
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

from config import logging as gateway_logging
from config import parsers, product, traces
from config.keys import read_token_keys
from proxy.core.origins import OriginPattern
from proxy.core.webhooks import EventType
from proxy.env import SettingError, env
from proxy.tables.database_settings import database

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"

# What others call ours.
env.also_called(
    {
        "JWT_SECRET": "JWT_SIGNING_KEY",
        "JWT_SECRET_KEY": "JWT_SIGNING_KEY",
        "JWT_KEY": "JWT_SIGNING_KEY",
        "JWT_PUBLIC_KEY": "JWT_VERIFYING_KEY",
        "JWT_JWKS_URI": "JWT_JWKS_URL",
        "JWKS_URL": "JWT_JWKS_URL",
    }
)

# --- Process -----
DEBUG = env.flag("DEBUG", False)
GATEWAY_HOST = parsers.read_host(env, "127.0.0.1" if DEBUG else "0.0.0.0")  # noqa: S104  a server listens
GATEWAY_PORT = env.integer("GATEWAY_PORT", 8666, most=65535)
SECRET_KEY = env.secret("SECRET_KEY", expected="a long random text")
if not SECRET_KEY:
    _expected = "set to a long random text (or SECRET_KEY_FILE to a file that holds it)"
    SECRET_KEY = env.amiss(SettingError("SECRET_KEY", _expected), secrets.token_urlsafe(64))
ALLOWED_HOSTS = list(
    env.several(
        "ALLOWED_HOSTS",
        parsers.host_pattern,
        default=("localhost", "127.0.0.1", "[::1]"),
        expected="host names separated by commas, such as .example.com, without scheme and port",
    )
)
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
LOG_FORMAT = env.choice("LOG_FORMAT", "json", ("json", "console"))

METRICS_TOKEN = env.secret(
    "METRICS_TOKEN", parse=parsers.long_token, expected="a text of 16 characters or more"
)

# --- Who may connect -----
_peers = env.several(
    "TRUSTED_PROXIES",
    parsers.peer,
    expected="addresses or networks separated by commas, such as 10.0.0.0/8, or unix",
)
TRUSTED_PROXIES = tuple(network for network in _peers if network is not None)
TRUSTS_UNIX_SOCKET = None in _peers
ALLOWED_ORIGINS = env.several(
    "ALLOWED_ORIGINS",
    OriginPattern.parse,
    expected="origins separated by commas, such as https://*.example.com, or *",
)
API_RATE_PER_USER = env.rate("API_RATE_PER_USER", "20/s")
WEBSOCKET_ENABLED = env.flag("WEBSOCKET_ENABLED", True)
MAX_CONNECTIONS = env.integer("MAX_CONNECTIONS", 9_500)
CONNECTION_CAP_POLICY = env.choice("CONNECTION_CAP_POLICY", "refuse", ("refuse", "replace_oldest"))

# --- Tokens -----
JWT_ALGORITHM = env.choice("JWT_ALGORITHM", "HS256", ("HS256", "HS384", "HS512", "RS256", "ES256"))
_token_keys = read_token_keys(env, algorithm=JWT_ALGORITHM, secret_key=SECRET_KEY)
JWT_SIGNING_KEY, JWT_VERIFYING_KEY = _token_keys.signing, _token_keys.verifying
JWT_JWKS_URL = _token_keys.jwks_url
JWT_ISSUER = env.text("JWT_ISSUER")
JWT_AUDIENCE = env.text("JWT_AUDIENCE")
JWT_LEEWAY_SECONDS = env.seconds("JWT_LEEWAY_SECONDS", 0, least=0, most=3600)
JWT_USER_ID_CLAIM = env.read(
    "JWT_USER_ID_CLAIM",
    "sub",
    parsers.users_claim,
    expected="the claim that holds the user id, such as sub, other than " + ", ".join(parsers.NOBODYS_CLAIMS),
)
JWT_USER_FIELD = env.choice("JWT_USER_FIELD", "username", ("username", "pk"))
REVOKE_ON = env.several(
    "REVOKE_ON",
    parsers.change_of_user,
    default=parsers.CHANGES_OF_USERS,
    expected=f"some of {', '.join(parsers.CHANGES_OF_USERS)}, separated by commas, or none",
)
JWT_LIFETIME_SECONDS = env.seconds("JWT_LIFETIME_SECONDS", 30 * 86_400, least=1, most=3660 * 86_400)

# --- Links -----
RECONNECT_SECONDS = env.seconds("RECONNECT_SECONDS", 30)
MAX_MESSAGE_BYTES = env.integer("MAX_MESSAGE_BYTES", 1 << 20, least=128)
OUTBOX_BYTES = env.integer("OUTBOX_BYTES", 1 << 20, least=1024)
MAX_EVENT_BYTES = env.integer("MAX_EVENT_BYTES", OUTBOX_BYTES, least=256, most=OUTBOX_BYTES)
SLOW_CONSUMER_SECONDS = env.seconds("SLOW_CONSUMER_SECONDS", 20)
WS_TIMEOUT_SECONDS = env.seconds("WS_TIMEOUT_SECONDS", 300)
SLOW_TURN_SECONDS = env.seconds("SLOW_TURN_SECONDS", 0.1, least=0)
DRAIN_SECONDS = env.seconds("DRAIN_SECONDS", 30, least=0)
DIAL_TIMEOUT_SECONDS = env.seconds("DIAL_TIMEOUT_SECONDS", 5)
MAX_CONCURRENT_DIALS = env.integer("MAX_CONCURRENT_DIALS", 100)
TOKEN_GRACE_SECONDS = env.seconds("TOKEN_GRACE_SECONDS", 5)

# --- What staff see of messages -----
TAP_REDACT = env.several(
    "TAP_REDACT",
    parsers.name_of_secret,
    default=parsers.NAMES_OF_SECRETS,
    expected="names separated by commas, each with 2 letters or figures or more, such as token, api_key",
)

# --- Traces -----
env.leaves_to_others(*traces.OTHERS)
_is_disabled = env.flag("OTEL_SDK_DISABLED", False)
OTEL_RESOURCE_ATTRIBUTES = env.text("OTEL_RESOURCE_ATTRIBUTES")
OTEL_SERVICE_NAME = env.text("OTEL_SERVICE_NAME", traces.service_in(OTEL_RESOURCE_ATTRIBUTES) or "sluicegate")
_HEADERS = "headers as NAME=VALUE, separated by commas"
OTEL_EXPORTER_OTLP_HEADERS = env.read(
    "OTEL_EXPORTER_OTLP_HEADERS", {}, traces.headers, expected=_HEADERS, secret=True
)
OTEL_EXPORTER_OTLP_TRACES_HEADERS = env.read(
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    OTEL_EXPORTER_OTLP_HEADERS,
    traces.headers,
    expected=_HEADERS,
    secret=True,
)
OTEL_EXPORTER_OTLP_TIMEOUT = env.seconds("OTEL_EXPORTER_OTLP_TIMEOUT", 10)
OTEL_EXPORTER_OTLP_TRACES_TIMEOUT = env.seconds(
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", OTEL_EXPORTER_OTLP_TIMEOUT
)
OTEL_TRACES_SAMPLER = env.choice("OTEL_TRACES_SAMPLER", "parentbased_always_on", traces.SAMPLERS)
OTEL_TRACES_SAMPLER_ARG = env.read(
    "OTEL_TRACES_SAMPLER_ARG", 1.0, traces.share, expected="a share from 0 to 1, such as 0.01"
)
OTEL_BSP_MAX_QUEUE_SIZE = env.integer("OTEL_BSP_MAX_QUEUE_SIZE", 2048)
OTEL_BSP_SCHEDULE_DELAY = env.integer("OTEL_BSP_SCHEDULE_DELAY", 5000)
TRACES_ENDPOINT = parsers.traces_endpoint(env) if not _is_disabled else ""
TRACEPARENT_FROM_PROXIES = env.flag("TRACEPARENT_FROM_PROXIES", False)

# --- A webhook -----
WEBHOOK_URL, WEBHOOK_KEY = parsers.webhook(env)
WEBHOOK_EVENTS = env.several(
    "WEBHOOK_EVENTS",
    EventType,
    default=tuple(EventType),
    expected=f"some of {', '.join(EventType)}, separated by commas",
)

# --- The product -----
ROUTES = product.routes(env)
EXTRA_APPS = product.extra_apps(env)
# Where a request may have a body, as clients write the path; elsewhere its head is refused.
BODY_PATHS = (
    "/admin/",
    "/api/",
    *env.several(
        "BODY_PATHS",
        parsers.start_of_path,
        expected="how paths begin, separated by commas, such as /orders/",
    ),
)

# --- Stores -----
DATABASE_URL = parsers.read_url(env, "DATABASE_URL", ("postgres", "postgresql", "sqlite"), host=False)
REDIS_URL = parsers.read_url(env, "REDIS_URL", ("redis", "rediss", "unix"), host=False)

DATABASE_POOL_SIZE = env.integer("DATABASE_POOL_SIZE", 10, least=3)
EVENT_WAIT_SECONDS = env.seconds("EVENT_WAIT_SECONDS", 86_400)
RECORD_RETENTION_DAYS = env.integer("RECORD_RETENTION_DAYS", 30, least=0)
VAR_DIR.mkdir(exist_ok=True)
try:
    DATABASES: dict[str, Any] = {
        "default": database(
            DATABASE_URL, sqlite_path=VAR_DIR / "gateway.sqlite3", most_connections=DATABASE_POOL_SIZE
        )
    }
except ValueError:
    _expected = "a URL that names a database, like postgres://user:password@host:5432/name"
    DATABASES = env.amiss(SettingError("DATABASE_URL", _expected), {"default": {}})
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_HOST = {
    "address": REDIS_URL,
    "socket_connect_timeout": 3,
    "socket_timeout": 10,
    "socket_keepalive": True,
    "health_check_interval": 15,
}
CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "proxy.cluster.layer.GatewayChannelLayer",
        "CONFIG": {"hosts": [REDIS_HOST], "prefix": "gateway"},
    }
    if REDIS_URL
    else {"BACKEND": "proxy.cluster.memory_layer.MemoryChannelLayer", "CONFIG": {"capacity": 10_000}}
}

# --- Django -----
INSTALLED_APPS = [
    "daphne",
    "proxy.site.GatewayAdminConfig",  # django.contrib.admin, with pages of the gateway
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "corsheaders",
    "django_prometheus",
    "axes",
    "proxy",
]
INSTALLED_APPS += [app for app in EXTRA_APPS if app not in INSTALLED_APPS]
MIDDLEWARE = [
    "proxy.http.guard.security_headers",
    "corsheaders.middleware.CorsMiddleware",
    "proxy.admin.logins.one_login_at_a_time",
    "django.middleware.security.SecurityMiddleware",
    "proxy.http.guard.clean_text",
    "proxy.http.guard.DatabaseAway",
    "proxy.http.guard.StaticFiles",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "proxy.http.guard.in_one_thread",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
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
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
# Failed logins are counted by django-axes, by the limits of proxy/admin/logins.py.
AXES_HANDLER = "proxy.admin.logins.LoginLimits"
AXES_FAILURE_LIMIT = 1
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"], ["ip_address"], ["username"]]
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_CLIENT_IP_CALLABLE = "proxy.admin.logins.counted_address"
AXES_LOCKOUT_CALLABLE = "proxy.admin.logins.refuse_locked"
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
LOGIN_REDIRECT_URL = "admin:index"  # where a login goes whose `next` leads elsewhere
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
# The client for web pages, as it is published; an image may do without.
_client = BASE_DIR / "clients" / "js"
STATICFILES_DIRS = [("sluicegate-client", _client)] if _client.is_dir() else []
WHITENOISE_USE_FINDERS = True  # straight from the packages: nothing is collected

REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
SPECTACULAR_SETTINGS = {
    "TITLE": "Sluicegate",
    "DESCRIPTION": "What other programs ask of a gateway. docs/publishing.md tells what is promised.",
    "VERSION": "1",
}

# For ALLOWED_ORIGINS (proxy/http/cors.py), without cookies: a session of staff in admin buys tickets.
CORS_ALLOW_CREDENTIALS = False
CORS_URLS_REGEX = "^/api/"
CORS_ALLOW_METHODS = ["GET", "POST", "DELETE"]
CORS_ALLOW_HEADERS = ["authorization", "content-type"]
CORS_EXPOSE_HEADERS = ["Retry-After"]
CORS_PREFLIGHT_MAX_AGE = 600

# --- Security -----
# Which requests came over TLS, TRUSTED_PROXIES tell (proxy/http/guard.py); SECURE_PROXY_SSL_HEADER
# would believe anybody.
# HTTPS_ONLY is switched off where no TLS stands in front; `check --deploy` warns of it.
HTTPS_ONLY = env.flag("HTTPS_ONLY", not DEBUG)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS_ONLY
SECURE_SSL_REDIRECT = (
    False  # /health, /metrics and plain ws:// clients come without TLS; the proxy in front redirects
)
SECURE_HSTS_SECONDS = env.integer("SECURE_HSTS_SECONDS", 3600 if HTTPS_ONLY else 0, least=0)
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
SILENCED_SYSTEM_CHECKS = [
    "security.W005",
    "security.W008",
    "security.W021",
]  # TLS ends in front of the gateway
if not HTTPS_ONLY:  # gateway.W026 says it once, and what to do
    SILENCED_SYSTEM_CHECKS += ["security.W004", "security.W012", "security.W016"]
CSRF_TRUSTED_ORIGINS = list(
    env.several(
        "CSRF_TRUSTED_ORIGINS",
        parsers.site,
        expected="origins separated by commas, such as https://example.com",
    )
)

LOGGING_CONFIG = "config.logging.configure"
LOGGING = gateway_logging.configuration(level=LOG_LEVEL, style=LOG_FORMAT)
