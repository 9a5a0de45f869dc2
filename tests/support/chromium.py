"""Chromium as the tests and benchmarks of the dashboard start it."""

import shutil
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")

FLAGS = (
    "--no-sandbox",  # it refuses to run as root with one
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find() -> Path | None:
    """Where Chromium is; None if it is not on the PATH."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return None if found is None else Path(found)
