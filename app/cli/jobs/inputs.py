"""Reads texts: from arguments, a file or stdin."""

import sys
from collections.abc import Sequence
from pathlib import Path

from app.cli.errors import CommandFailed, UsageError


def read_texts(texts: Sequence[str], file: Path | None) -> list[str]:
    """The texts to predict: the arguments, or the lines of a file or of stdin. Raises CommandFailed."""
    if texts and file:
        raise UsageError("Give texts or a file of texts, not both.")
    if texts:
        return list(texts)
    if file is None and sys.stdin.isatty():
        raise UsageError("No texts: pass them as arguments, with --file, or on stdin.")
    try:
        content = sys.stdin.buffer.read() if file is None or str(file) == "-" else file.read_bytes()
        text = content.decode()
    except OSError as error:
        raise CommandFailed(f"cannot read {file}: {error.strerror}", code="file_not_readable") from error
    except UnicodeDecodeError:
        raise CommandFailed("the texts are not UTF-8", code="file_not_readable") from None
    # Not splitlines(), which also splits at U+2028 and form feeds.
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []
    if not lines:
        raise UsageError("No texts: the input is empty.")
    return lines
