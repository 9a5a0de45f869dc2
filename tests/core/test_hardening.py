"""What a child can learn of its worker: nothing that is secret."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.core import hardening
from tests.worker.children import attempts

CANARY = "canary-8d1f"
SECRETS = (
    *("DATABASE_URL", "redis_url", "SECRET_KEY", "Previous_Secret_Key"),
    *("OTEL_EXPORTER_OTLP_HEADERS", "SMTP_USERNAME", "smtp_password", "RAY_AUTH_TOKEN"),
)


async def test_no_child_sees_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, CANARY)
    monkeypatch.setenv("HARMLESS", "seen")

    async with attempts.pool() as children, attempts.take(children) as child:
        told = (await attempts.run(child, attempts.start("report_environment"))).result
        started_with = [
            Path(f"/proc/{pid}/environ").read_bytes().decode() for pid in (child.pid, told["parent"])
        ]

    assert told["environment"]["HARMLESS"] == "seen"
    assert CANARY not in str(told["environment"])
    assert all(CANARY not in environment for environment in started_with)


_HARDENED = """
import ctypes, os
from app.core import hardening
hardening.drop_secrets()
hardening.make_undumpable()
PR_GET_DUMPABLE = 3
print(sorted(os.environ), ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0))
"""


def test_a_hardened_worker_has_no_secrets_and_is_closed_to_its_user() -> None:
    environment = dict.fromkeys(SECRETS, CANARY) | {"HARMLESS": "kept"}

    hardened = subprocess.run(
        [sys.executable, "-c", _HARDENED], env=environment, check=True, capture_output=True, text=True
    )

    names, dumpable = hardened.stdout.strip().rsplit(maxsplit=1)
    assert "HARMLESS" in names
    assert not any(name in names for name in SECRETS)
    assert dumpable == "0"


async def test_what_looks_like_a_secret_reaches_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    named = (
        *("SMTP_PASSWORD", "GITHUB_TOKEN", "MY_API_KEY", "vault_secret", "AWS_SESSION_NAME"),
        *("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "otel_exporter_otlp_headers", "RAY_ADDRESS"),
    )
    for name in named:
        monkeypatch.setenv(name, CANARY)
    monkeypatch.setenv("PROXY", f"http://me:{CANARY}@proxy:3128")

    environment = hardening.clean_environment()

    assert CANARY not in str(environment)


_COMMANDS = {
    "serve": ("-m", "app", "serve", "--port", "0"),
    "worker": ("-m", "worker"),
    "host": ("-c", "from worker.engines.ray import host; host.main_of_process('127.0.0.1:{port}')"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc exists on Linux")
@pytest.mark.parametrize("command", _COMMANDS)
def test_no_process_of_the_same_user_reads_the_secrets_of_ours(command: str) -> None:
    """Neither has capabilities, so that for root, too, only what is undumpable is closed."""
    silent = socket.create_server(("127.0.0.1", 0))  # the process waits for its answer as long as we look
    port = silent.getsockname()[1]
    command_line = [part.format(port=port) for part in _COMMANDS[command]]
    environment = os.environ | {
        "DATABASE_URL": f"postgresql://me:{CANARY}@127.0.0.1:{port}/none",
        "DATABASE_CONNECT_SECONDS": "60",
        "REDIS_URL": "redis://127.0.0.1:1",
        "SECRET_KEY": CANARY * 4,
        "WORKER_PORT": "off",
        "CHILD_PRELOAD": "false",
    }
    with (
        silent,
        subprocess.Popen(
            [sys.executable, "-c", _WITHOUT_CAPABILITIES, *command_line],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        try:
            _await_undumpable(process)
            looked = subprocess.run(
                [sys.executable, "-c", _LOOK, str(process.pid)], check=True, capture_output=True, text=True
            )
        finally:
            process.kill()

    assert looked.stdout.split() == ["PermissionError", "PermissionError"]


_WITHOUT_CAPABILITIES = """
import os, sys
from app.core import hardening
hardening.drop_capabilities()
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""

_LOOK = """
import sys
from app.core import hardening
hardening.drop_capabilities()
for name in ("environ", "mem"):
    try:
        open(f"/proc/{sys.argv[1]}/{name}", "rb").read(1)
    except OSError as error:
        print(type(error).__name__)
"""


def _await_undumpable(process: subprocess.Popen[bytes]) -> None:
    look = [sys.executable, "-c", _LOOK, str(process.pid)]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        # Until it has dropped its capabilities and become the program, it is closed to those who have none.
        command = Path(f"/proc/{process.pid}/cmdline").read_bytes()  # empty for a moment
        if not command or b"drop_capabilities" in command:
            continue
        if "PermissionError" in subprocess.run(look, check=True, capture_output=True, text=True).stdout:
            return
    raise AssertionError("the process stayed open to its user")
