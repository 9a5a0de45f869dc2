"""What commands print for programs: JSON documents on stdout, errors on stderr."""

import json
import sys
from collections.abc import Mapping
from typing import Any


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
