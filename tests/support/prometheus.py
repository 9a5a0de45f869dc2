"""Where Prometheus, promtool and Alertmanager are. Tests that need one skip without it, and fail in CI."""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

import pytest

UNPACKED: Final = Path(sys.prefix) / "prometheus" / "bin"


def promtool_path() -> Path:
    """Return promtool, which checks and tests rules and metrics pages."""
    return _find("promtool")


def prometheus_path() -> Path:
    """Return the Prometheus server."""
    return _find("prometheus")


def alertmanager_path() -> Path:
    """Return Alertmanager, which Debian prefixes with `prometheus-`."""
    return _find("prometheus-alertmanager", "alertmanager")


def _find(*names: str) -> Path:
    """Return the first of these programs, preferably the one that `make prometheus` unpacked."""
    for name in names:
        found = shutil.which(name, path=UNPACKED) or shutil.which(name)
        if found is not None:
            return Path(found)
    missing = f"no {names[-1]}: `make prometheus` downloads it"
    if os.environ.get("CI") == "true":
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)
