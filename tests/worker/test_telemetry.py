"""No process sends telemetry. ONNX Runtime would, as soon as it is imported."""

import ipaddress
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from app.core.config import Settings
from tests.support import apis, processes

LOOK_SECONDS = 2.0
"""Longer than the telemetry takes to store its device id, and to look up its host."""

_IMPORT = """
import time
import worker.runtimes.onnx.runtime
time.sleep(2)
"""

_CI_SYSTEMS = (
    *("TF_BUILD", "GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "TRAVIS"),
    *(
        "JENKINS_URL",
        "CODEBUILD_BUILD_ID",
        "BUILDKITE",
        "TEAMCITY_VERSION",
        "APPVEYOR",
        "BITBUCKET_BUILD_NUMBER",
    ),
)
SILENCING = ("ORT_DISABLE_TELEMETRY", "CI", *_CI_SYSTEMS)
"""Each silences ONNX Runtime by itself: with one of them set, these tests would prove nothing."""


@pytest.fixture(autouse=True)
def _as_at_a_users(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SILENCING:
        monkeypatch.delenv(name, raising=False)


def _home(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    cleared = dict.fromkeys(("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"), str(home))
    return {"HOME": str(home), **cleared}


def _files_of(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "home").rglob("*") if path.is_file()]


def _remote_addresses(process: psutil.Process) -> list[str]:
    """Return the remote addresses to which a process and its descendants are connected."""
    family = [process, *process.children(recursive=True)]
    addresses = []
    for member in family:
        try:
            connections = member.net_connections(kind="inet")
        except psutil.NoSuchProcess:
            continue
        addresses += [connection.raddr.ip for connection in connections if len(connection.raddr)]
    return [address for address in addresses if not ipaddress.ip_address(address).is_loopback]


def test_importing_onnx_runtime_stores_no_device_id(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _IMPORT], env={**os.environ, **_home(tmp_path)}, check=True)

    assert _files_of(tmp_path) == []


async def test_neither_api_nor_worker_connects_to_another_machine(settings: Settings, tmp_path: Path) -> None:
    more = {**_home(tmp_path), "CHILD_PRELOAD": "true"}
    async with (
        apis.api(settings, tmp_path / "api.log", {}, **more),
        processes.worker(settings, tmp_path / "worker.log", **more),
    ):
        ours = psutil.Process()
        until = time.monotonic() + LOOK_SECONDS
        while time.monotonic() < until:
            assert _remote_addresses(ours) == []

    assert _files_of(tmp_path) == []
