"""What commands print for programs: JSON documents and files on stdout, errors on stderr."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.cli.errors import CommandFailed


def print_json(document: Any) -> None:
    """Print a JSON document on a line of its own, at once."""
    print(json.dumps(document, ensure_ascii=False, default=str), flush=True)


def print_error(
    detail: str, *, code: str, as_json: bool, facts: Mapping[str, Any] | None = None, hint: str = ""
) -> None:
    """Print an error to stderr: a sentence, or a JSON object with `code` and `detail`."""
    if as_json:
        document = {**(facts or {}), "code": code, "detail": detail}
        print(json.dumps(document, ensure_ascii=False, default=str), file=sys.stderr)
    else:
        print(f"headrace: {detail}{hint}", file=sys.stderr)


@contextmanager
def opened(path: Path | None) -> Iterator[Callable[[bytes], object]]:
    """A function that writes bytes to a file, or to stdout. Raises CommandFailed."""
    if path is None:
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    try:
        file = path.open("wb")
    except OSError as error:
        raise CommandFailed(f"cannot write {path}: {error.strerror}", code="file_not_writable") from error
    with file:
        yield file.write
