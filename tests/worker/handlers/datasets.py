"""Files as a worker passes them to its children."""

import hashlib
from pathlib import Path

from worker.children.messages import LocalFile


def as_file(path: Path) -> LocalFile:
    """Return a local file with its SHA-256."""
    return LocalFile(str(path), hashlib.sha256(path.read_bytes()).hexdigest())
