"""Without an endpoint nothing of OpenTelemetry's SDK is loaded. Without the extra there is one sentence."""

import os
import subprocess
import sys

import pytest

from app.core.config import load_settings
from app.core.errors import ConfigurationError
from tests.support.processes import ROOT

CANARY = "canary-77aa"
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
SERVERS = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1",
    "WORKER_PORT": "off",
}

_LOADED = """
import sys
import app.cli.main, app.cli.serve, worker.main
from app.core import tracing
from app.core.component import Component
from app.core.config import load_settings
from app.main import create_app
create_app(load_settings(_env_file=None))
tracing.prepare(load_settings(_env_file=None), Component.WORKER)
ours = ("opentelemetry.sdk", "opentelemetry.exporter")
print(sorted(name for name in sys.modules if name.startswith(ours)))
"""

_WITHOUT_EXTRA = """
import runpy, sys
sys.modules["opentelemetry.sdk"] = None
sys.modules["opentelemetry.exporter"] = None
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def environment(**more: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return {**ours, **SERVERS, **more}


def loaded(**more: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", _LOADED],
        env=environment(**more),
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def test_the_sdk_is_loaded_only_with_an_endpoint() -> None:
    assert loaded() == "[]"
    assert loaded(FASTAPI_OTEL_AUTO_CONFIGURE="true") == "[]"
    assert "opentelemetry.sdk.trace" in loaded(**ENDPOINT)


@pytest.mark.parametrize("command", [("app", "serve", "--port", "0"), ("worker",)])
def test_an_endpoint_without_the_extra_is_reported_in_one_line(command: tuple[str, ...]) -> None:
    stopped = subprocess.run(
        [sys.executable, "-c", _WITHOUT_EXTRA, *command],
        env=environment(**ENDPOINT),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert stopped.returncode == 1
    [line] = stopped.stderr.splitlines()
    assert "the extra 'otel'" in line
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in line


@pytest.mark.parametrize(
    "settings",
    [
        {"otel_exporter_otlp_endpoint": f"http://me:{CANARY}@collector:4318"},
        {"otel_exporter_otlp_endpoint": f"http://collector:4318?key={CANARY}"},
        {"otel_exporter_otlp_endpoint": "collector:4318"},
        {"otel_exporter_otlp_endpoint": "http://"},
        {"otel_exporter_otlp_headers": CANARY},
        {"otel_exporter_otlp_headers": f"api-key={CANARY},more"},
        {"otel_exporter_otlp_headers": f'api-key="{CANARY}"'},
        {"trace_share": 1.5},
        {"trace_share": -0.1},
    ],
)
def test_a_wrong_setting_is_refused_and_not_shown(settings: dict[str, object]) -> None:
    servers = {"database_url": SERVERS["DATABASE_URL"], "redis_url": SERVERS["REDIS_URL"]}

    with pytest.raises(ConfigurationError) as refused:
        load_settings(_env_file=None, **servers, **settings)

    assert next(iter(settings)).upper() in str(refused.value)
    assert CANARY not in str(refused.value)


def test_the_headers_are_in_no_text_of_the_settings() -> None:
    settings = load_settings(
        _env_file=None,
        database_url=SERVERS["DATABASE_URL"],
        redis_url=SERVERS["REDIS_URL"],
        otel_exporter_otlp_headers=f"api-key={CANARY}, other = {CANARY}%20",
    )

    assert CANARY not in repr(settings)
    assert CANARY not in str(settings)
