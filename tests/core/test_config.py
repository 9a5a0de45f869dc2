"""Settings: what is taken, what is refused, and what is never repeated."""

import pytest

from app.core.config import (
    DEVELOPMENT_SECRET,
    Environment,
    Settings,
    load_database_url,
    load_settings,
)
from app.core.errors import ConfigurationError
from app.main import create_app

SERVERS = {"database_url": "postgresql://here/db", "redis_url": "redis://here"}
STRONG = "a-secret-with-more-than-32-bytes-in-it"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(name, raising=False)


def settings(**values: object) -> Settings:
    """Settings that come from nowhere else."""
    return load_settings(_env_file=None, **{**SERVERS, **values})


def fault_of(**values: object) -> str:
    """What is said when these are refused."""
    with pytest.raises(ConfigurationError) as refused:
        settings(**values)
    return str(refused.value)


def test_the_servers_are_all_that_has_to_be_said() -> None:
    assert settings().environment is Environment.DEVELOPMENT
    with pytest.raises(ConfigurationError, match=r"DATABASE_URL.*REDIS_URL"):
        load_settings(_env_file=None)


@pytest.mark.parametrize("name", ["secret_key", "previous_secret_key"])
@pytest.mark.parametrize("secret", ["", "tooshort", "31-bytes-are-not-enough-for-it!"])
def test_a_weak_secret_is_refused_by_name_and_not_repeated(name: str, secret: str) -> None:
    fault = fault_of(**{name: secret})

    assert name.upper() in fault
    assert not secret or secret not in fault
    assert "\n" not in fault


def test_a_secret_is_measured_in_bytes() -> None:
    assert settings(secret_key="é" * 16).secret_key.get_secret_value() == "é" * 16


def test_a_secret_does_not_show() -> None:
    assert STRONG not in repr(settings(secret_key=STRONG))


@pytest.mark.parametrize("secret", [{}, {"secret_key": DEVELOPMENT_SECRET}])
def test_the_api_does_not_start_in_production_with_the_development_secret(secret: dict[str, str]) -> None:
    production = settings(environment="production", **secret)  # a worker starts: it signs nothing

    with pytest.raises(ConfigurationError, match=r"^SECRET_KEY must be set in production$"):
        create_app(production)


def test_production_takes_a_secret_of_its_own() -> None:
    create_app(settings(environment="production", secret_key=STRONG))


def test_the_url_of_the_database_is_read_without_any_other_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://here/headrace")
    monkeypatch.delenv("REDIS_URL", raising=False)
    assert load_database_url() == "postgresql://here/headrace"

    monkeypatch.setenv("DATABASE_URL", "")
    with pytest.raises(ConfigurationError, match=r"^DATABASE_URL: "):
        load_database_url()


def test_a_token_may_be_signed_with_the_secret_before() -> None:
    both = settings(secret_key=STRONG, previous_secret_key=STRONG[::-1])

    assert both.verification_secrets == (STRONG, STRONG[::-1])
    assert settings(secret_key=STRONG).verification_secrets == (STRONG,)


@pytest.mark.parametrize("lease", [0.0, 1.0, 2.9])
def test_a_lease_has_room_for_three_heartbeats(lease: float) -> None:
    assert "LEASE_SECONDS" in fault_of(lease_seconds=lease, heartbeat_seconds=1.0)
    assert settings(lease_seconds=3.0, heartbeat_seconds=1.0).lease_seconds == 3.0


def test_every_fault_is_named_in_one_line() -> None:
    fault = fault_of(database_pool_size=1, max_body_bytes=1, worker_slots="many")

    assert all(name in fault for name in ("DATABASE_POOL_SIZE", "MAX_BODY_BYTES", "WORKER_SLOTS"))
    assert "\n" not in fault
    assert "many" not in fault


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log_level", "LOUD"),
        ("log_level", ""),
        ("worker_queues", ""),
        ("worker_queues", ","),
        ("worker_queues", "default,two words"),
        ("worker_queues", "q" * 65),
        ("trace_share", "2"),
        ("trace_share", "nan"),
        ("otel_exporter_otlp_endpoint", "http://two words:4318"),
        ("otel_exporter_otlp_endpoint", "http://:4318"),
        ("allowed_origins", "https://here.example:99999"),
        ("metrics_port", "65536"),
        ("root_path", "/two words"),
        ("public_url", "ml.example.com"),
        ("public_url", "ftp://ml.example.com"),
        ("public_url", "https://ada:secret@ml.example.com"),
        ("public_url", "https://ml.example.com/?key=1"),
        ("public_url", "https://ml.example.com/a\nb"),
        ("public_url", "https://ml.example.com:99999"),
        ("webhook_allowed_networks", "10.0.0.0/8,here"),
        ("webhook_allowed_networks", "10.0.0.1/8"),
    ],
)
def test_a_value_that_no_process_can_use_is_refused_by_name(name: str, value: str) -> None:
    fault = fault_of(**{name: value})

    assert fault.startswith(name.upper())
    assert "Value error" not in fault
    assert "\n" not in fault


@pytest.mark.parametrize(
    "name",
    ["docs", "secure_cookies", "otel_exporter_otlp_endpoint", "otel_exporter_otlp_headers", "public_url"],
)
def test_an_empty_value_is_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name.upper(), "")

    assert getattr(settings(), name) is None


@pytest.mark.parametrize("endpoint", ["http://collector:4318", "https://127.0.0.1", "http://[::1]:4318/otlp"])
def test_hosts_of_collectors_are_names_and_addresses(endpoint: str) -> None:
    assert settings(otel_exporter_otlp_endpoint=endpoint).otel_exporter_otlp_endpoint == endpoint


@pytest.mark.parametrize(
    "network",
    ["169.254.0.0/16", "169.254.169.254", "0.0.0.0/0", "::/0", "fe80::/64", "fe80::1", "::ffff:a9fe:0/112"],
)
@pytest.mark.parametrize("environment", Environment)
def test_webhooks_never_reach_link_local_addresses(network: str, environment: Environment) -> None:
    fault = fault_of(environment=environment, webhook_allowed_networks=network)

    assert fault == "WEBHOOK_ALLOWED_NETWORKS must not include link-local addresses"


@pytest.mark.parametrize("network", ["127.0.0.0/8", "127.0.0.1", "0.0.0.0", "::1", "::/127", "0.0.0.0/1"])
def test_webhooks_reach_loopback_addresses_in_development_only(network: str) -> None:
    assert settings(webhook_allowed_networks=network).webhook_allowed_networks == (network,)

    fault = fault_of(environment="production", webhook_allowed_networks=f"10.0.0.0/8,{network}")

    assert fault == "WEBHOOK_ALLOWED_NETWORKS must not include loopback addresses in production"


def test_webhooks_may_reach_networks_of_ones_own() -> None:
    found = settings(environment="production", webhook_allowed_networks="10.0.0.0/8, fd00::/8")

    assert found.webhook_allowed_networks == ("10.0.0.0/8", "fd00::/8")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://ml.example.com/", "https://ml.example.com"),
        ("https://ml.example.com:8443/headrace/", "https://ml.example.com:8443/headrace"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_a_public_url_has_no_slash_at_its_end(given: str, expected: str) -> None:
    assert settings(public_url=given).public_url == expected


def test_a_log_level_may_be_written_in_lower_case() -> None:
    assert settings(log_level="debug").log_level == "DEBUG"


@pytest.mark.parametrize("root_path", ["/jobs", "/api", "/api/v1", "/api/v2"])
def test_a_root_path_that_the_api_has_itself_is_refused(root_path: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^ROOT_PATH must not start with /(jobs|api),"):
        create_app(settings(root_path=root_path))


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_QUEUES", "default, gpu,,")
    monkeypatch.setenv("WORKER_PORT", "off")
    monkeypatch.setenv("SOMETHING_ELSE", "is none of ours")

    found = settings()

    assert found.worker_queues == ("default", "gpu")
    assert found.worker_port is None


@pytest.mark.parametrize(
    ("environment", "value", "expected"),
    [
        ("development", None, False),
        ("development", "", False),
        ("development", "true", True),
        ("production", None, True),
        ("production", "", True),
        ("production", "false", False),
    ],
)
def test_cookies_are_for_https_in_production_unless_a_setting_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, environment: str, value: str | None, expected: bool
) -> None:
    monkeypatch.setenv("ENVIRONMENT", environment)
    if value is not None:
        monkeypatch.setenv("SECURE_COOKIES", value)

    assert settings().has_secure_cookies is expected


def test_a_former_name_of_a_setting_counts_unless_its_new_one_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings().max_user_bytes == 20 * 1024**3
    monkeypatch.setenv("DATASET_QUOTA_BYTES", "")
    assert settings().max_user_bytes == 20 * 1024**3

    monkeypatch.setenv("DATASET_QUOTA_BYTES", "5000")
    alone = settings()
    monkeypatch.setenv("MAX_USER_BYTES", "7000")
    both = settings()

    assert (alone.max_user_bytes, alone.dataset_quota_bytes) == (5000, 5000)
    assert (both.max_user_bytes, both.dataset_quota_bytes) == (7000, None)
    monkeypatch.delenv("MAX_USER_BYTES")
    monkeypatch.setenv("DATASET_QUOTA_BYTES", "many")
    assert "DATASET_QUOTA_BYTES" in fault_of()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings().worker_slots = 7  # type: ignore[misc]  # that it cannot be done is the point


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("database_url", "", "must be a URL that starts with postgresql://"),
        ("database_url", "secret", "must be a URL that starts with postgresql://"),
        ("database_url", "mysql://ada:secret@here/db", "must be a URL that starts with postgresql://"),
        ("database_url", "postgresql://ada:secret@here:port/db", "with a valid host and port"),
        ("database_url", "postgresql://ada:secret@[::1/db", "with a valid host and port"),
        ("redis_url", "http://here", "must be a URL that starts with redis:// or rediss:// or unix://"),
        ("redis_url", "redis://:secret@here:99999", "with a valid host and port"),
    ],
)
def test_a_url_that_cannot_be_used_is_named_without_its_password(name: str, value: str, reason: str) -> None:
    fault = fault_of(**{name: value})

    assert fault.startswith(f"{name.upper()}: ")
    assert reason in fault
    assert "secret" not in fault


@pytest.mark.parametrize("url", ["postgresql+asyncpg://here/db", "postgresql:///db?host=/run/postgresql"])
def test_a_driver_and_a_socket_may_be_named(url: str) -> None:
    assert settings(database_url=url).database_url == url


MAIL = {"smtp_host": "mail.example.org", "mail_from": "Headrace <headrace@example.org>"}


def test_email_is_off_until_a_server_is_set() -> None:
    assert not settings().sends_mail
    assert not settings(smtp_host="", smtp_username="", mail_from="").sends_mail
    assert settings(**MAIL).sends_mail


def test_allowed_domains_are_compared_in_lower_case() -> None:
    allowed = settings(mail_allowed_domains=" Example.ORG, mail.example.com ,*").mail_allowed_domains

    assert allowed == ("example.org", "mail.example.com", "*")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"mail_from": None}, "MAIL_FROM"),
        ({"mail_from": "Headrace"}, "MAIL_FROM"),
        ({"mail_from": "a@example.org\r\nBcc: b@example.org"}, "MAIL_FROM"),
        ({"smtp_host": "mail.example.org\r\nRCPT"}, "SMTP_HOST"),
        ({"smtp_host": "https://mail.example.org"}, "SMTP_HOST"),
        ({"smtp_port": 0}, "SMTP_PORT"),
        ({"smtp_security": "ssl"}, "SMTP_SECURITY"),
        ({"smtp_username": "me"}, "SMTP_PASSWORD"),
        ({"smtp_password": STRONG}, "SMTP_USERNAME"),
        ({"smtp_security": "none", "smtp_username": "me", "smtp_password": STRONG}, "SMTP_PASSWORD"),
        ({"smtp_security": "none", "environment": "production"}, "SMTP_SECURITY"),
        ({"mail_allowed_domains": "user@example.org"}, "MAIL_ALLOWED_DOMAINS"),
        ({"mail_allowed_domains": "*.example.org"}, "MAIL_ALLOWED_DOMAINS"),
        ({"mail_allowed_domains": "example"}, "MAIL_ALLOWED_DOMAINS"),
    ],
)
def test_settings_of_email_that_cannot_work_are_refused_by_name(wrong: dict[str, object], named: str) -> None:
    fault = fault_of(**{**MAIL, **wrong})

    assert named in fault
    assert STRONG not in fault


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_server_on_this_machine_may_be_used_without_encryption(host: str) -> None:
    own = settings(
        **{**MAIL, "smtp_host": host},
        smtp_security="none",
        smtp_username="me",
        smtp_password=STRONG,
        environment="production",
    )

    assert own.sends_mail
    assert STRONG not in repr(own)
