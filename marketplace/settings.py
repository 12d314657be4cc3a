"""Every setting there is. Each is an environment variable, read here, typed, and refused with a clear line if wrong."""

import base64
import hmac
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
from environs import Env, EnvError, validate

from marketplace.embedded.layout import Layout
from marketplace.kernel import logs

BASE_DIR = Path(__file__).resolve().parent.parent

env = Env(eager=False)

# --- where things are -------------------------------------------------------------------------------------------------
PORT: int = env.int("PORT", 8000, validate=validate.Range(min=1, max=64535))
HOST: str = env.str("HOST", "127.0.0.1")
WEB_WORKERS: int = env.int("WEB_WORKERS", 1, validate=validate.Range(min=1, max=64))
WEB_THREADS: int = env.int("WEB_THREADS", 16, validate=validate.Range(min=1, max=256))
DATA_DIR = Path(env.str("DATA_DIR", "") or BASE_DIR / "var").resolve()
STATIC_ROOT = Path(env.str("STATIC_ROOT", "") or DATA_DIR / "static")
EMBEDDED = Layout(DATA_DIR)
DATABASE_URL: str = env.str("DATABASE_URL", "") or EMBEDDED.database_url
PREPARED_STATEMENTS: bool = env.bool("PREPARED_STATEMENTS", True)  # off behind a pooler that doesn't pass them on
REDIS_URL: str = env.str("REDIS_URL", "") or EMBEDDED.redis_url
CELERY_BROKER: str = env.str("CELERY_BROKER_URL", "") or REDIS_URL
EVENT_BUS_URL: str = env.str("EVENT_BUS_URL", "") or REDIS_URL
EVENT_STREAM_MAXLEN: int = env.int("EVENT_STREAM_MAXLEN", 100_000, validate=validate.Range(min=1))  # entries a topic
PUBLIC_URL: str = env.str("PUBLIC_URL", f"http://127.0.0.1:{PORT}")

# --- orders, holds, sagas ---------------------------------------------------------------------------------------------
CURRENCY: str = env.str("CURRENCY", "EUR", validate=validate.Regexp(r"^[A-Z]{3}$"))
GUEST_CHECKOUT: bool = env.bool("GUEST_CHECKOUT", True)
RESERVATION_TTL_SECONDS: int = env.int("RESERVATION_TTL_SECONDS", 900, validate=validate.Range(min=1))
FRAUD_AMOUNT_LIMIT: int = env.int("FRAUD_AMOUNT_LIMIT", 25_000, validate=validate.Range(min=1))
PAYMENT_OUTCOME_SECONDS: int = env.int("PAYMENT_OUTCOME_SECONDS", 900, validate=validate.Range(min=1))
SAGA_QUEUES = ("orders", "inventory", "payments", "fulfillment")  # those that workers serve
SAGA_RETRY_ATTEMPTS: int = env.int("SAGA_RETRY_ATTEMPTS", 3, validate=validate.Range(min=1, max=100))
SAGA_RETRY_DELAY_SECONDS: float = env.float("SAGA_RETRY_DELAY_SECONDS", 5.0, validate=validate.Range(min=0))
SAGA_TIMEOUT_SECONDS: int = env.int("SAGA_TIMEOUT_SECONDS", 300, validate=validate.Range(min=1))
SAGA_STEP_TIMEOUT_SECONDS: float = env.float("SAGA_STEP_TIMEOUT_SECONDS", 60.0, validate=validate.Range(min=0.1))
SAGA_SWEEP_SECONDS: float = env.float("SAGA_SWEEP_SECONDS", 2.0, validate=validate.Range(min=0.1))
SAGA_BATCH_SIZE: int = env.int("SAGA_BATCH_SIZE", 200, validate=validate.Range(min=1, max=5000))
SAGA_CALL_CONCURRENCY: int = env.int("SAGA_CALL_CONCURRENCY", 32, validate=validate.Range(min=1, max=1000))
SAGA_LEASE_SECONDS: float = env.float("SAGA_LEASE_SECONDS", 15.0, validate=validate.Range(min=1))
SAGA_WORKER_SLOTS: int = env.int("SAGA_WORKER_SLOTS", 2, validate=validate.Range(min=1, max=1000))
SAGA_BREAKER_FAILURES: int = env.int("SAGA_BREAKER_FAILURES", 5, validate=validate.Range(min=1, max=10_000))
SAGA_BREAKER_WINDOW_SECONDS: float = env.float("SAGA_BREAKER_WINDOW_SECONDS", 60.0, validate=validate.Range(min=1))
SAGA_BREAKER_PAUSE_SECONDS: float = env.float("SAGA_BREAKER_PAUSE_SECONDS", 5.0, validate=validate.Range(min=0.1))
SAGA_BREAKER_LONGEST_SECONDS: float = env.float(
    "SAGA_BREAKER_LONGEST_SECONDS", 60.0, validate=validate.Range(min=0.1, max=86_400)
)
SAGA_ARCHIVE_AFTER_DAYS: int = env.int("SAGA_ARCHIVE_AFTER_DAYS", 0, validate=validate.Range(min=0, max=36_500))
SAGA_RESUME_RATE: float = env.float("SAGA_RESUME_RATE", 50.0, validate=validate.Range(min=0.01, max=100_000))

# --- payments ---------------------------------------------------------------------------------------------------------
PAYMENT_GATEWAYS = {  # name: the module whose `from_settings()` makes it
    "sandbox": "payments.gateways.sandbox.client",
    "stripe": "payments.gateways.stripe.client",
    "paypal": "payments.gateways.paypal.client",
}
PAYMENT_GATEWAY: str = env.str("PAYMENT_GATEWAY", "sandbox", validate=validate.OneOf(list(PAYMENT_GATEWAYS)))
PAYMENT_TIMEOUT_SECONDS: float = env.float("PAYMENT_TIMEOUT_SECONDS", 10.0, validate=validate.Range(min=0.1, max=120))
PAYMENT_SWEEP_SECONDS: float = env.float("PAYMENT_SWEEP_SECONDS", 5.0, validate=validate.Range(min=1))
PAYMENT_FAILURE_RATE: float = env.float("PAYMENT_FAILURE_RATE", 0.0, validate=validate.Range(min=0, max=1))
PAYMENT_LATENCY_MS: int = env.int("PAYMENT_LATENCY_MS", 0, validate=validate.Range(min=0, max=60_000))
SANDBOX_GATEWAY_URL: str = env.str("SANDBOX_GATEWAY_URL", "")  # default: on this machine, at PORT + 1000
SANDBOX_API_KEY: str = env.str("SANDBOX_API_KEY", "sk_sandbox")
STRIPE_SECRET_KEY: str = env.str("STRIPE_SECRET_KEY", "")
STRIPE_PUBLISHABLE_KEY: str = env.str("STRIPE_PUBLISHABLE_KEY", "")
STRIPE_WEBHOOK_SECRET: str = env.str("STRIPE_WEBHOOK_SECRET", "")
STRIPE_API_BASE: str = env.str("STRIPE_API_BASE", "")  # default: Stripe's own
PAYPAL_CLIENT_ID: str = env.str("PAYPAL_CLIENT_ID", "")
PAYPAL_CLIENT_SECRET: str = env.str("PAYPAL_CLIENT_SECRET", "")
PAYPAL_WEBHOOK_ID: str = env.str("PAYPAL_WEBHOOK_ID", "")
PAYPAL_API_BASE: str = env.str("PAYPAL_API_BASE", "https://api-m.paypal.com")
SANDBOX_WEBHOOK_SECRET: str = env.str(  # default: made of SECRET_KEY
    "SANDBOX_WEBHOOK_SECRET",
    "",
    validate=validate.Regexp(r"^(whsec_([A-Za-z0-9+/]{4}){8,}([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)?\Z"),
)
PAYMENT_RETURN_URL: str = env.str("PAYMENT_RETURN_URL", "")  # default: the order's page; {order} is its id

# --- web --------------------------------------------------------------------------------------------------------------
DEBUG: bool = env.bool("DEBUG", False)
SECRET_KEY: str = env.str("SECRET_KEY", "") or EMBEDDED.secret_key()
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [])
LOG_LEVEL: str = env.str("LOG_LEVEL", "INFO", validate=validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR"]))
LOG_FORMAT: str = env.str("LOG_FORMAT", "console", validate=validate.OneOf(["console", "json"]))


_NEEDED_BY_GATEWAY = {
    "stripe": ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"),
    "paypal": ("PAYPAL_CLIENT_ID", "PAYPAL_CLIENT_SECRET", "PAYPAL_WEBHOOK_ID"),
}


def _missing_for(gateway: str) -> list[str]:
    return [name for name in _NEEDED_BY_GATEWAY.get(gateway, ()) if not globals()[name]]


def _check_gateway() -> None:
    missing = _missing_for(PAYMENT_GATEWAY)
    if missing:
        raise ValueError(f"PAYMENT_GATEWAY={PAYMENT_GATEWAY} needs {' and '.join(missing)} to be set")


def _check_address(name: str, url: str, *schemes: str) -> None:
    if urlsplit(url).scheme not in schemes:
        raise ValueError(f"{name} must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")


def _derived(secret: str, purpose: str) -> str:
    """Return another secret (base64), the same one wherever `secret` is the same."""
    return base64.b64encode(hmac.digest(secret.encode(), purpose.encode(), "sha256")).decode()


try:
    env.seal()
    _check_gateway()
    _check_address("DATABASE_URL", DATABASE_URL, "postgresql", "postgres")
    if SAGA_BREAKER_LONGEST_SECONDS < SAGA_BREAKER_PAUSE_SECONDS:
        raise ValueError("SAGA_BREAKER_LONGEST_SECONDS must not be less than SAGA_BREAKER_PAUSE_SECONDS")
    _check_address("REDIS_URL", REDIS_URL, "redis", "rediss", "unix")
    # A connection is kept for ten minutes: making one costs more than most of what is done with it.
    database = dj_database_url.parse(DATABASE_URL, conn_max_age=600, conn_health_checks=True)
except (EnvError, ValueError) as error:
    sys.exit(f"The environment has a bad setting: {error}")
SANDBOX_GATEWAY_URL = SANDBOX_GATEWAY_URL or f"http://127.0.0.1:{PORT + 1000}"
SANDBOX_WEBHOOK_SECRET = SANDBOX_WEBHOOK_SECRET or f"whsec_{_derived(SECRET_KEY, 'sandbox webhooks')}"
PAYMENT_GATEWAYS_READY = [name for name in PAYMENT_GATEWAYS if not _missing_for(name)]
PAYMENT_RETURN_URL = PAYMENT_RETURN_URL or f"{PUBLIC_URL}/orders/{{order}}"
# Only of the statements that move groups (`kernel.bulk`): each is planned once, at its third use on a connection.
prepared: dict[str, Any] = {"prepare_threshold": 2} if PREPARED_STATEMENTS else {}
DATABASES: dict[str, Any] = {"default": {**database, "OPTIONS": prepared | database.get("OPTIONS", {})}}


def _celery_url(url: str) -> str:
    """Celery's spelling of a Redis address: a Unix socket is `redis+socket://`, with the database as virtual host."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    database = parts.query.removeprefix("db=") or "0"
    return f"redis+socket://{parts.path}?virtual_host={database}"


INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "rest_framework.authtoken",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "django_celery_beat",
    "marketplace.accounts",
    "marketplace.sagas",
    "marketplace.outbox",
    "marketplace.idempotency",
    "inventory",
    "payments",
    "fulfillment",
    "orders",
    "marketplace.storefront",
    "marketplace.operations",
]

MIDDLEWARE = [
    "marketplace.kernel.requests.request_context",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "marketplace.storefront.middleware.ShopMiddleware",
]

ROOT_URLCONF = "marketplace.urls"
WSGI_APPLICATION = "marketplace.wsgi.application"
ASGI_APPLICATION = "marketplace.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
CSRF_FAILURE_VIEW = "marketplace.kernel.problems.csrf_failure"
LOGIN_URL = "/sign-in"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True
STATIC_URL = "static/"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024  # bytes; an order is a few kilobytes
LOGGING_CONFIG = None
logs.configure(level=LOG_LEVEL, as_json=LOG_FORMAT == "json")

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["marketplace.kernel.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "marketplace.kernel.problems.exception_handler",
}

UNFOLD = {
    "SITE_TITLE": "Marketplace",
    "SITE_HEADER": "Marketplace",
    "SITE_SUBHEADER": "Operations",
    "SITE_SYMBOL": "storefront",
    "SHOW_VIEW_ON_SITE": False,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "marketplace.operations.navigation.icon"}],
    "STYLES": ["marketplace.operations.navigation.stylesheet"],
    "DASHBOARD_CALLBACK": "marketplace.operations.dashboard.dashboard",
    "SIDEBAR": {"navigation": "marketplace.operations.navigation.sidebar"},
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Marketplace",
    "DESCRIPTION": "A shop whose Buy Now is an orchestrated saga.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# Celery runs what PostgreSQL says is due. Its broker is a doorbell: losing a message loses nothing, so no results are
# kept, and no task is retried by Celery (the saga engine owns retries).
CELERY_BROKER_URL = _celery_url(CELERY_BROKER)
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_DEFAULT_QUEUE = "orders"
CELERY_TASK_CREATE_MISSING_QUEUES = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_connect_timeout": 1,
    "socket_timeout": 5,
    "visibility_timeout": 3600,
    "max_retries": 0,  # of connecting, when a message is sent; the default is to sleep through four seconds of them
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_DB_REUSE_MAX = 1_000_000  # tasks on one connection: marketplace/celery.py sees to it that it is alive
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_BEAT_SCHEDULER = "marketplace.beat:Scheduler"
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = {
    "saga-sweep": {
        "task": "marketplace.sagas.tasks.sweep",
        "schedule": SAGA_SWEEP_SECONDS,
        "options": {"queue": "orders", "expires": SAGA_SWEEP_SECONDS * 2},
    },
    "archive-sagas": {
        "task": "marketplace.sagas.tasks.archive_finished",
        "schedule": 3600.0,
        "options": {"queue": "orders", "expires": 3600.0},
    },
    "expire-reservations": {
        "task": "orders.tasks.expire_reservations",
        "schedule": 10.0,
        "options": {"queue": "orders", "expires": 20.0},
    },
    "payment-news": {
        "task": "payments.tasks.look_after",
        "schedule": PAYMENT_SWEEP_SECONDS,
        "options": {"queue": "payments", "expires": PAYMENT_SWEEP_SECONDS * 2},
    },
    "reconcile": {
        "task": "payments.tasks.reconcile",
        "schedule": 3600.0,
        "options": {"queue": "payments", "expires": 3600.0},
    },
    "forget-webhooks": {
        "task": "payments.tasks.forget_webhooks",
        "schedule": 3600.0,
        "options": {"queue": "payments", "expires": 3600.0},
    },
    "purge-idempotency-keys": {
        "task": "marketplace.idempotency.tasks.purge",
        "schedule": 3600.0,
        "options": {"queue": "orders", "expires": 3600.0},
    },
}
