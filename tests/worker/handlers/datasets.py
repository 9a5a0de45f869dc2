"""Files as a worker hands them to its children."""

import hashlib
from pathlib import Path

from worker.children.messages import LocalFile


def as_file(path: Path) -> LocalFile:
    """A local file, with the SHA-256 that it has."""
    return LocalFile(str(path), hashlib.sha256(path.read_bytes()).hexdigest())
