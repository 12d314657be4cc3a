"""Every setting there is. Each is an environment variable, read here, typed, and refused with a clear line if wrong."""

import base64
import hmac
import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dj_database_url
from environs import Env, EnvError, validate

from marketplace.embedded.layout import Layout
from marketplace.kernel import logs
from marketplace.kernel.mailservers import check_sender, mail_server

BASE_DIR = Path(__file__).resolve().parent.parent

env = Env(eager=False)

# --- where things are -------------------------------------------------------------------------------------------------
PORT: int = env.int("PORT", 8000, validate=validate.Range(min=1, max=64534))
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
FRAUD_CHECKERS: list[str] = env.list("FRAUD_CHECKERS", [])  # functions of yours beside orders.fraud.checks
FRAUD_REVIEW_SECONDS: int = env.int("FRAUD_REVIEW_SECONDS", 172_800, validate=validate.Range(min=1))
FRAUD_AMOUNT_LIMIT: int = env.int("FRAUD_AMOUNT_LIMIT", 25_000, validate=validate.Range(min=1))
PAYMENT_ATTEMPTS: int = env.int("PAYMENT_ATTEMPTS", 1, validate=validate.Range(min=1, max=10))  # of one order
PAYMENT_OUTCOME_SECONDS: int = env.int("PAYMENT_OUTCOME_SECONDS", 900, validate=validate.Range(min=1))
SAGA_QUEUES = ("orders", "inventory", "payments", "fulfillment")  # those that steps may name
WORKER_QUEUES = (*SAGA_QUEUES, "messages")  # those that workers serve
SAGA_RETRY_ATTEMPTS: int = env.int("SAGA_RETRY_ATTEMPTS", 3, validate=validate.Range(min=1, max=100))
SAGA_RETRY_DELAY_SECONDS: float = env.float("SAGA_RETRY_DELAY_SECONDS", 5.0, validate=validate.Range(min=0))
SAGA_TIMEOUT_SECONDS: int = env.int("SAGA_TIMEOUT_SECONDS", 300, validate=validate.Range(min=1))
SAGA_STEP_TIMEOUT_SECONDS: float = env.float("SAGA_STEP_TIMEOUT_SECONDS", 60.0, validate=validate.Range(min=0.1))
SAGA_SWEEP_SECONDS: float = env.float("SAGA_SWEEP_SECONDS", 2.0, validate=validate.Range(min=0.1))
SAGA_BATCH_SIZE: int = env.int("SAGA_BATCH_SIZE", 200, validate=validate.Range(min=1, max=5000))
SAGA_CALL_CONCURRENCY: int = env.int("SAGA_CALL_CONCURRENCY", 32, validate=validate.Range(min=1, max=1000))
SAGA_LEASE_SECONDS: float = env.float("SAGA_LEASE_SECONDS", 15.0, validate=validate.Range(min=1))
WEBHOOK_LEASE_SECONDS: float = env.float("WEBHOOK_LEASE_SECONDS", 120.0, validate=validate.Range(min=1, max=3600))
SAGA_WORKER_SLOTS: int = env.int("SAGA_WORKER_SLOTS", 2, validate=validate.Range(min=1, max=1000))
SAGA_BREAKER_FAILURES: int = env.int("SAGA_BREAKER_FAILURES", 5, validate=validate.Range(min=1, max=10_000))
SAGA_BREAKER_WINDOW_SECONDS: float = env.float("SAGA_BREAKER_WINDOW_SECONDS", 60.0, validate=validate.Range(min=1))
SAGA_BREAKER_PAUSE_SECONDS: float = env.float("SAGA_BREAKER_PAUSE_SECONDS", 5.0, validate=validate.Range(min=0.1))
SAGA_BREAKER_LONGEST_SECONDS: float = env.float(
    "SAGA_BREAKER_LONGEST_SECONDS", 60.0, validate=validate.Range(min=0.1, max=86_400)
)
SAGA_ARCHIVE_AFTER_DAYS: int = env.int("SAGA_ARCHIVE_AFTER_DAYS", 0, validate=validate.Range(min=0, max=36_500))
SAGA_RESUME_RATE: float = env.float("SAGA_RESUME_RATE", 50.0, validate=validate.Range(min=0.01, max=100_000))

# --- what is on paper -------------------------------------------------------------------------------------------------
SELLER_NAME: str = env.str("SELLER_NAME", "Marketplace Demo GmbH", validate=validate.Length(min=1, max=100))
SELLER_ADDRESS: list[str] = env.list("SELLER_ADDRESS", ["Musterstraße 1", "10115 Berlin"], delimiter=";")  # its lines
SELLER_COUNTRY: str = env.str("SELLER_COUNTRY", "DE", validate=validate.Regexp(r"^[A-Z]{2}\Z"))
SELLER_TAX_ID: str = env.str("SELLER_TAX_ID", "DE123456789", validate=validate.Length(max=50))
SELLER_EMAIL: str = env.str("SELLER_EMAIL", "orders@example.com", validate=validate.Length(max=254))
TAX_RATES: dict[str, Decimal] = env.dict(  # of the countries that goods go to, in percent: "DE=19,AT=20,CH=0"
    "TAX_RATES", {"DE": Decimal(19)}, subcast_keys=str, subcast_values=Decimal
)
INVOICE_TIME_ZONE: str = env.str("INVOICE_TIME_ZONE", "Europe/Berlin")  # whose midnight begins the year of the numbers
PAPER_SIZE: str = env.str("PAPER_SIZE", "A4", validate=validate.OneOf(["A4", "LETTER"]))

# --- payments ---------------------------------------------------------------------------------------------------------
PAYMENT_GATEWAYS = {  # name: the module whose `from_settings()` makes it
    "sandbox": "payments.gateways.sandbox.client",
    "stripe": "payments.gateways.stripe.client",
    "paypal": "payments.gateways.paypal.client",
}
PAYMENT_GATEWAY: str = env.str("PAYMENT_GATEWAY", "sandbox", validate=validate.OneOf(list(PAYMENT_GATEWAYS)))
PAYMENT_TIMEOUT_SECONDS: float = env.float("PAYMENT_TIMEOUT_SECONDS", 10.0, validate=validate.Range(min=0.1, max=120))
PAYMENT_SWEEP_SECONDS: float = env.float("PAYMENT_SWEEP_SECONDS", 10.0, validate=validate.Range(min=1))
PAYMENT_FAILURE_RATE: float = env.float("PAYMENT_FAILURE_RATE", 0.0, validate=validate.Range(min=0, max=1))
PAYMENT_LATENCY_MS: int = env.int("PAYMENT_LATENCY_MS", 0, validate=validate.Range(min=0, max=60_000))
SANDBOX_GATEWAY_URL: str = env.str("SANDBOX_GATEWAY_URL", "")  # default: on this machine, at PORT + 1000
SANDBOX_API_KEY: str = env.str("SANDBOX_API_KEY", "sk_sandbox")
STRIPE_SECRET_KEY: str = env.str("STRIPE_SECRET_KEY", "")
STRIPE_PUBLISHABLE_KEY: str = env.str(  # goes into pages: a secret one must not get here by mistake
    "STRIPE_PUBLISHABLE_KEY",
    "",
    validate=validate.Regexp(r"^(pk_[A-Za-z0-9_]+)?\Z", error="must begin with pk_: every visitor can read it"),
)
STRIPE_WEBHOOK_SECRET: str = env.str("STRIPE_WEBHOOK_SECRET", "")
STRIPE_API_BASE: str = env.str("STRIPE_API_BASE", "")  # default: Stripe's own
PAYPAL_CLIENT_ID: str = env.str("PAYPAL_CLIENT_ID", "", validate=validate.Regexp(r"^[A-Za-z0-9_-]*\Z"))
PAYPAL_CLIENT_SECRET: str = env.str("PAYPAL_CLIENT_SECRET", "")
PAYPAL_WEBHOOK_ID: str = env.str("PAYPAL_WEBHOOK_ID", "")
PAYPAL_API_BASE: str = env.str("PAYPAL_API_BASE", "https://api-m.paypal.com")
_WEBHOOK_SECRET = validate.Regexp(r"^(whsec_([A-Za-z0-9+/]{4}){8,}([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)?\Z")
SANDBOX_WEBHOOK_SECRET: str = env.str("SANDBOX_WEBHOOK_SECRET", "", validate=_WEBHOOK_SECRET)  # default: of SECRET_KEY
PAYMENT_RETURN_URL: str = env.str("PAYMENT_RETURN_URL", "")  # default: the order's page; {order} is its id

# --- fulfillment ------------------------------------------------------------------------------------------------------
CARRIERS = {  # name: the module whose `from_settings()` makes it
    "sandbox": "fulfillment.carriers.sandbox.client",
    "easypost": "fulfillment.carriers.easypost.client",
}
CARRIER: str = env.str("CARRIER", "sandbox", validate=validate.OneOf(list(CARRIERS)))
CARRIER_TIMEOUT_SECONDS: float = env.float("CARRIER_TIMEOUT_SECONDS", 10.0, validate=validate.Range(min=0.1, max=120))
CARRIER_SWEEP_SECONDS: float = env.float("CARRIER_SWEEP_SECONDS", 10.0, validate=validate.Range(min=1))
SANDBOX_CARRIER_URL: str = env.str("SANDBOX_CARRIER_URL", "")  # default: on this machine, at PORT + 1001
SANDBOX_CARRIER_API_KEY: str = env.str("SANDBOX_CARRIER_API_KEY", "ck_sandbox")
SANDBOX_CARRIER_WEBHOOK_SECRET: str = env.str(  # default: made of SECRET_KEY
    "SANDBOX_CARRIER_WEBHOOK_SECRET", "", validate=_WEBHOOK_SECRET
)
EASYPOST_API_KEY: str = env.str("EASYPOST_API_KEY", "")
EASYPOST_WEBHOOK_SECRET: str = env.str("EASYPOST_WEBHOOK_SECRET", "")
EASYPOST_API_BASE: str = env.str("EASYPOST_API_BASE", "")  # default: EasyPost's own; with the version, ".../v2"
SHIP_FROM_STREET: str = env.str("SHIP_FROM_STREET", "Musterstraße 1", validate=validate.Length(max=100))
SHIP_FROM_POSTAL_CODE: str = env.str("SHIP_FROM_POSTAL_CODE", "10115", validate=validate.Length(max=20))
SHIP_FROM_CITY: str = env.str("SHIP_FROM_CITY", "Berlin", validate=validate.Length(max=100))
SHIP_FROM_COUNTRY: str = env.str("SHIP_FROM_COUNTRY", "DE", validate=validate.Regexp(r"^[A-Z]{2}$"))
SHIP_FROM_PHONE: str = env.str("SHIP_FROM_PHONE", "", validate=validate.Length(max=30))
# A person is told when a parcel was not packed, not picked up, or not delivered for so long.
PACKING_DAYS: float = env.float("PACKING_DAYS", 3.0, validate=validate.Range(min=0.001, max=365))
PICK_UP_DAYS: float = env.float("PICK_UP_DAYS", 3.0, validate=validate.Range(min=0.001, max=365))
DELIVERY_DAYS: float = env.float("DELIVERY_DAYS", 14.0, validate=validate.Range(min=0.001, max=365))
# How long after the delivery a buyer may ask for a return, how long staff have to answer, and the parcel to come back.
RETURN_DAYS: float = env.float("RETURN_DAYS", 30.0, validate=validate.Range(min=0, max=3650))
RETURN_ANSWER_DAYS: float = env.float("RETURN_ANSWER_DAYS", 14.0, validate=validate.Range(min=0.001, max=365))
RETURN_PARCEL_DAYS: float = env.float("RETURN_PARCEL_DAYS", 30.0, validate=validate.Range(min=0.001, max=365))

# --- mails ------------------------------------------------------------------------------------------------------------
EMAIL_URL: str = env.str("EMAIL_URL", "collect:")  # or smtp://, smtp+tls:// (STARTTLS), smtps://
MAIL_FROM: str = env.str("MAIL_FROM", "Marketplace <orders@localhost>")
MAIL_TIMEOUT_SECONDS: float = env.float("MAIL_TIMEOUT_SECONDS", 10.0, validate=validate.Range(min=0.1, max=60))
MAIL_RETRY_SECONDS: float = env.float("MAIL_RETRY_SECONDS", 30.0, validate=validate.Range(min=0.1, max=3600))
MAIL_PATIENCE_SECONDS: int = env.int("MAIL_PATIENCE_SECONDS", 86_400, validate=validate.Range(min=1, max=604_800))
MAIL_SENDERS: int = env.int("MAIL_SENDERS", 1, validate=validate.Range(min=1, max=100))  # at a time, in all workers
MAIL_SWEEP_SECONDS: float = env.float("MAIL_SWEEP_SECONDS", 10.0, validate=validate.Range(min=0.1, max=3600))
MAIL_LINK_DAYS: int = env.int("MAIL_LINK_DAYS", 30, validate=validate.Range(min=1, max=3650))
RESERVATION_REMINDER_SECONDS: int = env.int("RESERVATION_REMINDER_SECONDS", 300, validate=validate.Range(min=0))

# --- web --------------------------------------------------------------------------------------------------------------
DEBUG: bool = env.bool("DEBUG", False)
SECRET_KEY: str = env.str("SECRET_KEY", "") or EMBEDDED.secret_key()
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
TRUSTED_PROXIES: int = env.int("TRUSTED_PROXIES", 0, validate=validate.Range(min=0, max=10))  # before us, each adds on
HSTS_SECONDS: int = env.int("HSTS_SECONDS", 3600, validate=validate.Range(min=0, max=63_072_000))
METRICS_TOKEN: str = env.str("METRICS_TOKEN", "", validate=validate.Regexp(r"^([A-Za-z0-9._~+/-]{16,}=*)?\Z"))
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [])
LOG_LEVEL: str = env.str("LOG_LEVEL", "INFO", validate=validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR"]))
LOG_FORMAT: str = env.str("LOG_FORMAT", "console", validate=validate.OneOf(["console", "json"]))


_NEEDED_BY_CARRIER: dict[str, tuple[str, ...]] = {"easypost": ("EASYPOST_API_KEY", "EASYPOST_WEBHOOK_SECRET")}
_NEEDED_BY_GATEWAY = {
    "stripe": ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"),
    "paypal": ("PAYPAL_CLIENT_ID", "PAYPAL_CLIENT_SECRET", "PAYPAL_WEBHOOK_ID"),
}


_NEEDED_BY_PAGES = {"stripe": ("STRIPE_PUBLISHABLE_KEY",)}  # besides, of the one that takes the payments


def _missing_for(gateway: str) -> list[str]:
    return [name for name in _NEEDED_BY_GATEWAY.get(gateway, ()) if not globals()[name]]


def _check_gateway() -> None:
    shown = [name for name in _NEEDED_BY_PAGES.get(PAYMENT_GATEWAY, ()) if not globals()[name]]
    missing = _missing_for(PAYMENT_GATEWAY) + shown
    if missing:
        raise ValueError(f"PAYMENT_GATEWAY={PAYMENT_GATEWAY} needs {' and '.join(missing)} to be set")
    if PAYMENT_GATEWAY == "stripe" and ("_live_" in STRIPE_PUBLISHABLE_KEY) != ("_live_" in STRIPE_SECRET_KEY):
        raise ValueError("STRIPE_PUBLISHABLE_KEY and STRIPE_SECRET_KEY must both be for tests, or both live")


def _carrier_lacks(carrier: str) -> list[str]:
    return [name for name in _NEEDED_BY_CARRIER.get(carrier, ()) if not globals()[name]]


def _check_carrier() -> None:
    missing = _carrier_lacks(CARRIER)
    if missing:
        raise ValueError(f"CARRIER={CARRIER} needs {' and '.join(missing)} to be set")


def _check_address(name: str, url: str, *schemes: str) -> None:
    if urlsplit(url).scheme not in schemes:
        raise ValueError(f"{name} must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")


def _check_papers() -> None:
    if not 1 <= len(SELLER_ADDRESS) <= 5 or not all(0 < len(line.strip()) <= 60 for line in SELLER_ADDRESS):
        raise ValueError("SELLER_ADDRESS must be one to five lines of at most 60 characters each, separated by ;")
    for country, percent in TAX_RATES.items():
        fits = percent.is_finite() and 0 <= percent <= 100 and percent == round(percent, 3)
        if not (fits and re.fullmatch("[A-Z]{2}", country)):
            raise ValueError("TAX_RATES must be countries (two capitals) with 0 to 100 percent: DE=19,CH=8.1")
    if SELLER_COUNTRY not in TAX_RATES:
        raise ValueError(f"TAX_RATES lacks the rate of SELLER_COUNTRY, {SELLER_COUNTRY}")
    try:
        ZoneInfo(INVOICE_TIME_ZONE)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"INVOICE_TIME_ZONE is no known time zone: {INVOICE_TIME_ZONE!r}") from error


def _derived(secret: str, purpose: str) -> str:
    """Return another secret (base64), the same one wherever `secret` is the same."""
    return base64.b64encode(hmac.digest(secret.encode(), purpose.encode(), "sha256")).decode()


try:
    env.seal()
    _check_gateway()
    _check_carrier()
    _check_papers()
    _check_address("DATABASE_URL", DATABASE_URL, "postgresql", "postgres")
    if SAGA_BREAKER_LONGEST_SECONDS < SAGA_BREAKER_PAUSE_SECONDS:
        raise ValueError("SAGA_BREAKER_LONGEST_SECONDS must not be less than SAGA_BREAKER_PAUSE_SECONDS")
    _check_address("REDIS_URL", REDIS_URL, "redis", "rediss", "unix")
    _check_address("PUBLIC_URL", PUBLIC_URL, "http", "https")
    MAIL_SERVER = mail_server(EMAIL_URL, timeout_seconds=MAIL_TIMEOUT_SECONDS)
    MAIL_DOMAIN = check_sender(MAIL_FROM)
    # A connection is kept for ten minutes: making one costs more than most of what is done with it.
    database = dj_database_url.parse(DATABASE_URL, conn_max_age=600, conn_health_checks=True)
except (EnvError, ValueError) as error:
    sys.exit(f"The environment has a bad setting: {error}")
SELLER_ADDRESS = [line.strip() for line in SELLER_ADDRESS]
SANDBOX_GATEWAY_URL = SANDBOX_GATEWAY_URL or f"http://127.0.0.1:{PORT + 1000}"
SANDBOX_WEBHOOK_SECRET = SANDBOX_WEBHOOK_SECRET or f"whsec_{_derived(SECRET_KEY, 'sandbox webhooks')}"
PAYMENT_GATEWAYS_READY = [name for name in PAYMENT_GATEWAYS if not _missing_for(name)]
SANDBOX_CARRIER_URL = SANDBOX_CARRIER_URL or f"http://127.0.0.1:{PORT + 1001}"
SANDBOX_CARRIER_WEBHOOK_SECRET = (
    SANDBOX_CARRIER_WEBHOOK_SECRET or f"whsec_{_derived(SECRET_KEY, 'sandbox carrier webhooks')}"
)
CARRIERS_READY = [name for name in CARRIERS if not _carrier_lacks(name)]
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
    "marketplace.mail",
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
    "marketplace.storefront.languages.LanguageMiddleware",
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
# As the shop is served, so are its cookies: over https alone, once its own address says so.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_URL.startswith("https://")
SECURE_HSTS_SECONDS = HSTS_SECONDS if SESSION_COOKIE_SECURE else 0
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CSRF_FAILURE_VIEW = "marketplace.kernel.problems.csrf_failure"
LOGIN_URL = "/sign-in"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LANGUAGE_COOKIE_AGE = 365 * 86_400  # seconds for which a visitor's choice is kept
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_SECURE = SESSION_COOKIE_SECURE
LOCALE_PATHS = [BASE_DIR / "marketplace" / "locale"]
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
    "NUM_PROXIES": TRUSTED_PROXIES,
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
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "marketplace.kernel.schema.with_problems",
    ],
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


def _every(seconds: float, task: str, *, queue: str) -> dict[str, Any]:
    """A task of beat's; a message that nobody has taken after two turns, or an hour, is no longer worth anything."""
    expires = min(seconds * 2, max(seconds, 3600.0))
    return {"task": task, "schedule": seconds, "options": {"queue": queue, "expires": expires}}


CELERY_BEAT_SCHEDULE = {
    "saga-sweep": _every(SAGA_SWEEP_SECONDS, "marketplace.sagas.tasks.sweep", queue="orders"),
    "archive-sagas": _every(3600.0, "marketplace.sagas.tasks.archive_finished", queue="orders"),
    "expire-reservations": _every(10.0, "orders.tasks.expire_reservations", queue="orders"),
    "payment-news": _every(PAYMENT_SWEEP_SECONDS, "payments.tasks.look_after", queue="payments"),
    "parcel-news": _every(CARRIER_SWEEP_SECONDS, "fulfillment.tasks.look_after", queue="fulfillment"),
    "label-refunds": _every(60.0, "fulfillment.tasks.look_at_label_refunds", queue="fulfillment"),
    "forget-carrier-webhooks": _every(3600.0, "fulfillment.tasks.forget_webhooks", queue="fulfillment"),
    "reconcile": _every(3600.0, "payments.tasks.reconcile", queue="payments"),
    "forget-webhooks": _every(3600.0, "payments.tasks.forget_webhooks", queue="payments"),
    "send-messages": _every(MAIL_SWEEP_SECONDS, "orders.tasks.look_after_messages", queue="messages"),
    "forget-collected-mails": _every(3600.0, "marketplace.mail.tasks.forget", queue="messages"),
    "forget-sessions": _every(3600.0, "marketplace.accounts.tasks.forget_sessions", queue="orders"),
    "purge-idempotency-keys": _every(3600.0, "marketplace.idempotency.tasks.purge", queue="orders"),
}
