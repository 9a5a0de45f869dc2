"""Writes docs/errors.md: every error that the API answers with. `python -m app.cli.error_page` updates it."""

import inspect
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from app.cli.error_advice import ADVICE, BY_STATUS
from app.core.config import Settings
from app.core.errors import AppError, Conflict, TooLarge, Unavailable
from app.http.problems import MEDIA_TYPE
from app.main import create_app

PAGE: Final = Path(__file__).parents[2] / "docs" / "errors.md"

_NEVER_RAISED: Final = (AppError, Conflict, TooLarge, Unavailable)
_MAX_ROUTES: Final = 4
_HEAD: Final = """\
# Errors

Every error is a document of the type `application/problem+json` (RFC 9457). Programs decide by `code`, which
does not change; people read `detail`. `request_id` finds the request in the logs. Facts such as `limit` or
`job_id` are members beside these. A 422 with the code `validation_error` lists in `errors` what is wrong,
each with its field in `loc`.

```json
{"type": "urn:headrace:problem:job_not_found", "title": "Job not found", "status": 404,
 "detail": "There is no job 019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d.", "code": "job_not_found",
 "instance": "/jobs/019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d", "request_id": "019aa7c1f3e27bd08c5d3f1e2a4b6c8d",
 "job_id": "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"}
```

429, 503 and some others carry the header `Retry-After`, in seconds. A request with an `Idempotency-Key` can
be repeated whatever the answer was, also if there was none. [streams.md](streams.md) has the close codes of
WebSockets.

This page is generated from the code by `python -m app.cli.error_page`.
"""


@dataclass
class Entry:
    """One code: what is said, and where."""

    code: str
    status: int
    sentences: list[str] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)

    @property
    def advice(self) -> str:
        """What to do about it."""
        return ADVICE.get(self.code) or BY_STATUS.get(self.status, BY_STATUS[400])


def entries() -> list[Entry]:
    """Every code, by status and name."""
    found = {
        "method_not_allowed": Entry("method_not_allowed", 405, ["Method Not Allowed"], ["any path"]),
    }
    for error in _errors(AppError):
        if error not in _NEVER_RAISED:
            entry = found.setdefault(error.code, Entry(error.code, error.status))
            entry.sentences.append(inspect.getdoc(error) or "")
    documented = _documented()
    for code, entry in found.items():
        entry.routes = documented.get(code, entry.routes)
    return sorted(found.values(), key=lambda entry: (entry.status, entry.code))


def page() -> str:
    """The page as it should be."""
    parts = [_HEAD]
    by_status: dict[int, list[Entry]] = defaultdict(list)
    for entry in entries():
        by_status[entry.status].append(entry)
    for status, found in by_status.items():
        parts.append(f"\n## {status} {HTTPStatus(status).phrase}\n")
        parts.append("\n| code | sentence | when | what to do |\n|---|---|---|---|\n")
        parts += (_row(entry) for entry in found)
    return "".join(parts)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


def _errors(base: type[AppError]) -> Iterator[type[AppError]]:
    # Errors of the application only: tests and plugins have their own.
    for error in base.__subclasses__():
        if error.__module__.startswith("app."):
            yield error
            yield from _errors(error)


def _documented() -> Mapping[str, list[str]]:
    """The operations whose OpenAPI description has an example of each code."""
    settings = Settings(_env_file=None, database_url="unused", redis_url="unused")
    found: dict[str, list[str]] = defaultdict(list)
    for path, operations in create_app(settings).openapi()["paths"].items():
        for method, operation in operations.items():
            for code in _codes(operation):
                found[code].append(f"{method.upper()} {path}")
    return found


def _codes(operation: dict[str, Any]) -> Iterator[str]:
    for answer in operation["responses"].values():
        yield from answer.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {})


def _row(entry: Entry) -> str:
    said = "<br>".join(_cell(sentence) for sentence in entry.sentences)
    return f"| `{entry.code}` | {said} | {_routes(entry.routes)} | {entry.advice} |\n"


def _routes(routes: list[str]) -> str:
    if not routes:
        return "any route"
    shown = ", ".join(f"`{route}`" for route in routes[:_MAX_ROUTES])
    more = len(routes) - _MAX_ROUTES
    return shown if more <= 0 else f"{shown} and {more} more"


def _cell(sentence: str) -> str:
    return " ".join(sentence.split()).replace("!r}", "}").replace("|", "\\|")


if __name__ == "__main__":
    main()
