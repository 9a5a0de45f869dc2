"""Settings with their defaults and bounds. They are read once at start-up and never change."""

import os
import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.core import email_addresses
from app.core.errors import ConfigurationError
from app.core.sandbox.permissions import Permission

DEVELOPMENT_SECRET = "development-only-secret-never-use-in-production"  # noqa: S105  # rejected in production
MINIMUM_SECRET_BYTES = 32
_FALSE = ("false", "0", "no", "off", "f", "n")  # as pydantic reads them
MAX_ACCESS_TOKEN_SECONDS = 86_400
QUEUE_NAME = r"^[a-z0-9][a-z0-9_.-]{0,63}$"
MAX_GPUS = 8
"""The most GPUs that a job may ask for."""

_ORIGIN = re.compile(r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9a-f:.]+(?:%[A-Za-z0-9._-]+)?")
_ENGINE_HOST = r"^[A-Za-z0-9._:-]+$"
_RAY_ADDRESS = r"^ray://(?:[A-Za-z0-9._-]+|\[[0-9a-f:.]+\]):[0-9]{1,5}$"
_SMTP_HOST = r"^[A-Za-z0-9._:-]+$"
_MAIL_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]*[a-z0-9]")
_GPU = re.compile(r"[A-Za-z0-9][A-Za-z0-9/_.:-]{0,127}")
_ROOT_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
_PUBLIC_URL = re.compile(
    r"https?://(?:[A-Za-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*"
)
_LOOPBACK = ("127.0.0.0/8", "0.0.0.0/8", "::1/128", "::/128")
# Link-local addresses, which cloud metadata services have, and another way to write IPv4 addresses.
_NEVER_REACHED = ("169.254.0.0/16", "fe80::/10", "::ffff:0:0/96")
# The value is printable ASCII without quotes, commas, semicolons and backslashes.
_HEADER = re.compile(r"[\w!#$%&'*+.^`|~-]+ *=[ !#-+\--:<-\[\]-~]*", re.ASCII)


SettingsT = TypeVar("SettingsT", bound=BaseSettings)


class DocsAccess(StrEnum):
    """Who can read the API documentation at `/docs`, `/redoc` and `/openapi.json`."""

    OPEN = "open"
    SIGNED_IN = "signed-in"
    OFF = "off"


class SmtpSecurity(StrEnum):
    """How the connection to the SMTP server is encrypted."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class Environment(StrEnum):
    """Deployment environment. `production` selects JSON logs and requires a `SECRET_KEY`."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Registration(StrEnum):
    """Who may create an account with `POST /users`, apart from administrators."""

    OPEN = "open"
    CLOSED = "closed"
    INVITATION = "invitation"


class ClaimOrder(StrEnum):
    """Whose job a worker claims next: users take turns, or the first job by priority and due time."""

    TURNS = "turns"
    PRIORITY = "priority"


def _check_url(value: str, *schemes: str) -> str:
    """Check the parts that would otherwise fail only when a process connects. Raises ValueError."""
    expected = f"must be a URL that starts with {' or '.join(f'{scheme}://' for scheme in schemes)}"
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError(f"{expected}, with a valid host and port") from None
    if parts.scheme not in schemes:
        raise ValueError(expected)
    return value


def _check_origin(value: str) -> str:
    """Check that a browser can send this as an Origin header. Raises ValueError."""
    if not _ORIGIN.fullmatch(value) or not _has_valid_port(value):
        raise ValueError(
            "must list origins such as https://dashboard.example.org, without paths and wildcards"
        )
    return value


def _has_valid_port(url: str) -> bool:
    try:
        _ = urlsplit(url).port
    except ValueError:
        return False
    return True


def _check_root_path(value: str) -> str:
    """Return the path without a slash at its end. Raises ValueError."""
    path = value.rstrip("/")
    if path and not _ROOT_PATH.fullmatch(path):
        raise ValueError("must be a path such as /headrace")
    return path


def _check_public_url(value: str) -> str:
    """Return the URL without a slash at its end. Raises ValueError."""
    url = value.rstrip("/")
    if not _PUBLIC_URL.fullmatch(url) or not _has_valid_port(url):
        raise ValueError("must be a URL such as https://ml.example.com/headrace")
    return url


def _overlaps(network: IPv4Network | IPv6Network, names: tuple[str, ...]) -> bool:
    """Whether a network has an address in common with any of these."""
    others = (ip_network(name) for name in names)
    return any(network.version == other.version and network.overlaps(other) for other in others)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_collector(value: str) -> str:
    _check_url(value, "http", "https")
    parts = urlsplit(value)
    if not _HOST.fullmatch(parts.hostname or ""):
        raise ValueError("must be a URL with a host, like http://collector:4318")
    if parts.username is not None or parts.query:
        raise ValueError("must not contain a password or a query: OTEL_EXPORTER_OTLP_HEADERS holds the key")
    return value


def _check_headers(value: SecretStr) -> SecretStr:
    if not all(_HEADER.fullmatch(pair.strip()) for pair in value.get_secret_value().split(",")):
        raise ValueError("must be name=value pairs separated by commas, with percent-encoded values")
    return value


def _check_gpu(value: str) -> str:
    if not _GPU.fullmatch(value):
        raise ValueError("must list GPUs as CUDA_VISIBLE_DEVICES does, such as 0,1 or GPU-3f1c…")
    return value


def _check_mail_domain(value: str) -> str:
    """Return the domain in lower case; `*` stands for any. Raises ValueError."""
    domain = value.lower()
    if domain != "*" and not _MAIL_DOMAIN.fullmatch(domain):
        raise ValueError("must list domains such as example.org, or * for any; write others as xn--…")
    return domain


def _check_mailbox(value: str) -> str:
    try:
        email_addresses.parse_mailbox(value)
    except ValueError:
        raise ValueError("must be an address such as Headrace <headrace@example.org>") from None
    return value


Origin = Annotated[str, AfterValidator(_check_origin)]
GpuName = Annotated[str, AfterValidator(_check_gpu)]
MailDomain = Annotated[str, AfterValidator(_check_mail_domain)]
Mailbox = Annotated[str, AfterValidator(_check_mailbox)]
RootPath = Annotated[str, AfterValidator(_check_root_path)]
PublicUrl = Annotated[str, AfterValidator(_check_public_url)]
DatabaseUrl = Annotated[
    str, AfterValidator(lambda value: _check_url(value, "postgresql", "postgres", "postgresql+asyncpg"))
]
RedisUrl = Annotated[str, AfterValidator(lambda value: _check_url(value, "redis", "rediss", "unix"))]
LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(lambda value: value.upper())
]
CollectorUrl = Annotated[str, AfterValidator(_check_collector)]
CollectorHeaders = Annotated[SecretStr, AfterValidator(_check_headers)]

EmptyIsNone = BeforeValidator(lambda value: None if value == "" else value)
"""For settings whose None may be written as an empty value."""


class Settings(BaseSettings):
    """Settings from environment variables and `.env`. `.env.example` describes each of them."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    # Process
    environment: Environment = Environment.DEVELOPMENT
    log_level: LogLevel = "INFO"
    pod_name: str | None = None

    # Traces
    otel_exporter_otlp_endpoint: Annotated[CollectorUrl | None, EmptyIsNone] = None
    otel_exporter_otlp_headers: Annotated[CollectorHeaders | None, EmptyIsNone] = None
    trace_share: float = Field(default=0.05, ge=0, le=1)

    # Servers
    database_url: DatabaseUrl
    database_pool_size: int = Field(default=10, ge=2, le=200)
    database_connect_seconds: float = Field(default=1.5, gt=0, le=60)
    redis_url: RedisUrl
    storage_url: str = Field(default="file:.data/storage", min_length=1)

    # Authentication
    secret_key: SecretStr = SecretStr(DEVELOPMENT_SECRET)
    previous_secret_key: SecretStr | None = None
    access_token_seconds: int = Field(default=1800, ge=1, le=MAX_ACCESS_TOKEN_SECONDS)
    refresh_token_seconds: int = Field(default=1_209_600, ge=1)
    max_api_keys_per_user: int = Field(default=50, ge=0)
    max_api_key_seconds: int = Field(default=0, ge=0)
    registration: Registration = Registration.OPEN
    registration_open: bool | None = None
    demo_user: Annotated[str | None, EmptyIsNone] = None
    audit_retention_seconds: int = Field(default=365 * 86_400, ge=86_400)

    # API
    metrics_port: int | None = Field(default=None, ge=0, le=65_535)
    stop_seconds: int = Field(default=1, ge=0, le=3600)
    root_path: RootPath = ""
    docs: Annotated[DocsAccess | None, EmptyIsNone] = None
    allowed_origins: Annotated[tuple[Origin, ...], NoDecode] = ()
    assume_https: bool = False
    hsts_seconds: int = Field(default=31_536_000, ge=0)
    secure_cookies: Annotated[bool | None, EmptyIsNone] = None
    max_streams_per_user: int = Field(default=50, ge=1)
    max_streams: int = Field(default=5000, ge=1)
    max_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    max_header_bytes: int = Field(default=32 * 1024, ge=4096)
    header_seconds: float = Field(default=10.0, gt=0)
    body_seconds: float = Field(default=300.0, gt=0)
    body_grace_seconds: float = Field(default=10.0, ge=0)
    upload_seconds: float = Field(default=7200.0, gt=0)
    min_bytes_per_second: int = Field(default=4096, ge=1)
    max_connections: int = Field(default=10_000, ge=1)
    max_connections_per_address: int = Field(default=2500, ge=1)
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    requests_per_minute: int = Field(default=60_000, ge=0)
    anonymous_requests_per_minute: int = Field(default=1200, ge=0)
    max_failed_sign_ins: int = Field(default=5, ge=1)
    max_failed_sign_ins_per_address: int = Field(default=50, ge=1)
    max_sign_ups_per_address: int = Field(default=30, ge=1)

    # Datasets
    max_dataset_bytes: int = Field(default=2 * 1024**3, ge=1024)
    max_dataset_rows: int = Field(default=50_000_000, ge=1)
    max_spool_bytes: int = Field(default=8 * 1024**3, ge=1024)
    max_user_spool_bytes: int = Field(default=4 * 1024**3, ge=1024)

    # Storage quotas
    max_user_bytes: int = Field(default=20 * 1024**3, ge=0)
    max_user_model_bytes: int = Field(default=0, ge=0)
    dataset_quota_bytes: int | None = Field(default=None, ge=0)

    # Models
    max_model_bytes: int = Field(default=1024**3, ge=1024)

    # Jobs
    plugins: Annotated[tuple[str, ...], NoDecode] = ()
    max_active_jobs: int = Field(default=50_000, ge=1)
    max_running_jobs_per_user: int = Field(default=0, ge=0)
    claim_order: ClaimOrder = ClaimOrder.TURNS
    max_schedules: int = Field(default=1000, ge=0)
    max_job_seconds: int = Field(default=21_600, ge=1)
    max_job_attempts: int = Field(default=20, ge=1)
    max_job_priority: Literal["low", "normal", "high", "critical"] = "high"
    result_retention_seconds: int = Field(default=86_400, ge=1)
    job_retention_seconds: int = Field(default=30 * 86_400, ge=1)
    profiling: bool = True
    statistics_days: int = Field(default=400, ge=35, le=36_500)
    retry_base_seconds: float = Field(default=1.0, gt=0)
    retry_max_seconds: float = Field(default=300.0, gt=0)

    # Notifications
    public_url: Annotated[PublicUrl | None, EmptyIsNone] = None
    deliver_notifications: bool = True
    max_subscriptions: int = Field(default=20, ge=0)
    webhook_allowed_networks: Annotated[tuple[str, ...], NoDecode] = ()

    # E-mail
    smtp_host: Annotated[str | None, EmptyIsNone] = Field(default=None, pattern=_SMTP_HOST)
    smtp_port: int = Field(default=587, ge=1, le=65_535)
    smtp_security: SmtpSecurity = SmtpSecurity.STARTTLS
    smtp_username: Annotated[SecretStr | None, EmptyIsNone] = None
    smtp_password: Annotated[SecretStr | None, EmptyIsNone] = None
    mail_from: Annotated[Mailbox | None, EmptyIsNone] = None
    mail_allowed_domains: Annotated[tuple[MailDomain, ...], NoDecode] = ()

    # Workers
    worker_name: str | None = None
    worker_queues: Annotated[tuple[str, ...], NoDecode] = ("default", "emails")
    worker_slots: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, le=256)
    worker_predict_slots: int = Field(default=1, ge=0, le=64)
    slot_gpus: int = Field(default=0, ge=0, le=MAX_GPUS)
    worker_gpus: Annotated[tuple[GpuName, ...], NoDecode] = ()
    onnx_cuda: bool = False
    worker_port: int | None = Field(default=9000, ge=0, le=65_535)
    drain_seconds: float = Field(default=25.0, ge=0)
    worker_dir: Path | None = None
    worker_cache_bytes: int = Field(default=10 * 1024**3, ge=0)
    child_memory_limit_bytes: int = Field(default=2 * 1024**3, ge=64 * 1024**2)
    child_max_file_bytes: int = Field(default=2 * 1024**3, ge=1024**2)
    child_max_scratch_bytes: int = Field(default=8 * 1024**3, ge=1024**2)
    child_max_jobs: int = Field(default=1000, ge=1)
    child_permissions: Annotated[tuple[Permission, ...], NoDecode] = ()
    child_preload: bool = True
    engine: str = "pool"
    engine_host: Annotated[str | None, EmptyIsNone] = Field(default=None, pattern=_ENGINE_HOST)
    engine_port: int = Field(default=9300, ge=0, le=65_535)
    engine_idle_seconds: float = Field(default=60.0, gt=0)
    slot_cpus: float = Field(default=1.0, gt=0, le=1024)
    ray_address: Annotated[str | None, EmptyIsNone] = Field(default=None, pattern=_RAY_ADDRESS)
    ray_auth_mode: Annotated[str | None, EmptyIsNone] = None
    ray_auth_token: Annotated[SecretStr | None, EmptyIsNone] = None
    ray_auth_token_path: Annotated[Path | None, EmptyIsNone] = None

    # Leases
    lease_seconds: float = Field(default=6.0, gt=0)
    heartbeat_seconds: float = Field(default=1.0, gt=0)

    @field_validator(
        *("worker_queues", "worker_gpus", "plugins", "allowed_origins", "trusted_proxies"),
        "child_permissions",
        "webhook_allowed_networks",
        "mail_allowed_domains",
        mode="before",
    )
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(name.strip() for name in value.split(",") if name.strip())

    @field_validator("trusted_proxies", "webhook_allowed_networks")
    @classmethod
    def _check_networks(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            ip_network(name)  # raises ValueError
        return names

    @field_validator("worker_queues")
    @classmethod
    def _check_queues(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names or not all(re.fullmatch(QUEUE_NAME, name) for name in names):
            raise ValueError(
                "must list queues; a name has at most 64 lowercase letters, digits, '_', '.' and '-'"
            )
        return names

    @field_validator("metrics_port", "worker_port", "worker_dir", mode="before")
    @classmethod
    def _parse_off(cls, value: object) -> object:
        return None if value in ("off", "") else value

    @model_validator(mode="before")
    @classmethod
    def _apply_deprecated_names(cls, values: dict[str, Any]) -> dict[str, Any]:
        values = dict(values)
        quota = values.get("dataset_quota_bytes")
        if quota in (None, "") or "max_user_bytes" in values:
            values.pop("dataset_quota_bytes", None)
        else:
            values["max_user_bytes"] = quota
        is_open = values.get("registration_open")
        if is_open in (None, ""):
            values.pop("registration_open", None)
        elif "registration" not in values and str(is_open).lower() in _FALSE:
            values["registration"] = Registration.CLOSED
        return values

    @model_validator(mode="after")
    def _check_secrets_and_lease(self) -> "Settings":
        for name in ("secret_key", "previous_secret_key"):
            secret: SecretStr | None = getattr(self, name)
            if secret is not None and len(secret.get_secret_value().encode()) < MINIMUM_SECRET_BYTES:
                raise ValueError(f"{name.upper()} must have at least {MINIMUM_SECRET_BYTES} bytes")
        if self.lease_seconds < 3 * self.heartbeat_seconds:
            raise ValueError("LEASE_SECONDS must be at least three times HEARTBEAT_SECONDS")
        return self

    @model_validator(mode="after")
    def _check_webhook_networks(self) -> "Settings":
        for network in map(ip_network, self.webhook_allowed_networks):
            if _overlaps(network, _NEVER_REACHED):
                raise ValueError("WEBHOOK_ALLOWED_NETWORKS must not include link-local addresses")
            if self.is_production and _overlaps(network, _LOOPBACK):
                raise ValueError("WEBHOOK_ALLOWED_NETWORKS must not include loopback addresses in production")
        return self

    @model_validator(mode="after")
    def _check_mail(self) -> "Settings":
        if self.smtp_host is None:
            return self
        if self.mail_from is None:
            raise ValueError("MAIL_FROM must be set if SMTP_HOST is")
        if (self.smtp_username is None) != (self.smtp_password is None):
            raise ValueError("set both SMTP_USERNAME and SMTP_PASSWORD, or neither")
        if self.smtp_security is SmtpSecurity.NONE and not _is_loopback(self.smtp_host):
            if self.environment is Environment.PRODUCTION:
                raise ValueError("SMTP_SECURITY=none is for development and for a server on this machine")
            if self.smtp_password is not None:
                raise ValueError("SMTP_SECURITY=none would send SMTP_PASSWORD unencrypted")
        return self

    @cached_property
    def sends_mail(self) -> bool:
        """Whether this process can send e-mail: an SMTP server is set."""
        return self.smtp_host is not None

    @cached_property
    def is_production(self) -> bool:
        """Whether `ENVIRONMENT` is `production`."""
        return self.environment is Environment.PRODUCTION

    @cached_property
    def docs_access(self) -> DocsAccess:
        """Who can read the API documentation: by default everyone, in production no one."""
        return self.docs or (DocsAccess.OFF if self.is_production else DocsAccess.OPEN)

    @cached_property
    def has_secure_cookies(self) -> bool:
        """Whether browsers keep our cookies for https only: as `SECURE_COOKIES` says, or in production."""
        return self.is_production if self.secure_cookies is None else self.secure_cookies

    @cached_property
    def verification_secrets(self) -> tuple[str, ...]:
        """Secrets that verify token signatures: the current one, then the previous one if set."""
        secrets = (self.secret_key, self.previous_secret_key)
        return tuple(secret.get_secret_value() for secret in secrets if secret is not None)


class DatabaseSettings(BaseSettings):
    """What a command needs that uses nothing but the database."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    database_url: DatabaseUrl


def load_settings(**overrides: object) -> Settings:
    """Read the settings; `overrides` take precedence over the environment.

    Raises ConfigurationError with a one-line message that names every invalid setting. The message never
    contains values, because a value may be a secret.
    """
    return _load(Settings, overrides)


def load_database_url() -> str:
    """Read DATABASE_URL, and no other setting. Raises ConfigurationError."""
    return _load(DatabaseSettings, {}).database_url


def ensure_secret_key(settings: Settings) -> None:
    """Check that production signs tokens with a secret of its own. Raises ConfigurationError.

    Only the API checks it: a worker issues no tokens and must not hold the secret.
    """
    if settings.is_production and settings.secret_key.get_secret_value() == DEVELOPMENT_SECRET:
        raise ConfigurationError("SECRET_KEY must be set in production")


def _load(kind: type[SettingsT], overrides: Mapping[str, object]) -> SettingsT:
    try:
        return kind(**overrides)  # type: ignore[arg-type]  # pydantic validates them
    except ValidationError as error:
        errors = error.errors(include_input=False)
        message = "; ".join(_describe(item["loc"], item["msg"]) for item in errors)
        raise ConfigurationError(message) from None


def _describe(location: tuple[int | str, ...], message: str) -> str:
    name = ".".join(str(part).upper() for part in location)
    reason = message.removeprefix("Value error, ")
    return f"{name}: {reason}" if name else reason
