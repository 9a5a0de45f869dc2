"""Generates docs/errors.md, the list of all API errors: `python -m app.cli.error_page`."""

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

Every error response is an `application/problem+json` document (RFC 9457). Programs should branch on
`code`, which is stable; `detail` is for people. `request_id` identifies the request in the logs. Facts
such as `limit` or `job_id` are additional members. A 422 with the code `validation_error` lists the
invalid fields in `errors`, each with its path in `loc`.

```json
{"type": "urn:headrace:problem:job_not_found", "title": "Job not found", "status": 404,
 "detail": "There is no job 019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d.", "code": "job_not_found",
 "instance": "/jobs/019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d", "request_id": "019aa7c1f3e27bd08c5d3f1e2a4b6c8d",
 "job_id": "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"}
```

429, 503 and some other responses carry the header `Retry-After`, in seconds. If you send an
`Idempotency-Key`, you can repeat a request after any response, or after none.
[streams.md](streams.md#close-codes) lists the close codes of WebSockets.

This page is generated from the code by `python -m app.cli.error_page`.
"""


@dataclass
class Entry:
    """An error code: its messages, and the routes that return it."""

    code: str
    status: int
    messages: list[str] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)

    @property
    def advice(self) -> str:
        """What the client should do."""
        return ADVICE.get(self.code) or BY_STATUS.get(self.status, BY_STATUS[400])


def entries() -> list[Entry]:
    """All error codes, sorted by status and code."""
    found = {
        "method_not_allowed": Entry("method_not_allowed", 405, ["Method Not Allowed"]),
    }
    for error in _errors(AppError):
        if error not in _NEVER_RAISED:
            entry = found.setdefault(error.code, Entry(error.code, error.status))
            entry.messages.append(inspect.getdoc(error) or "")
    documented = _documented()
    for code, entry in found.items():
        entry.routes = documented.get(code, entry.routes)
    return sorted(found.values(), key=lambda entry: (entry.status, entry.code))


def page() -> str:
    """The content of docs/errors.md."""
    parts = [_HEAD]
    by_status: dict[int, list[Entry]] = defaultdict(list)
    for entry in entries():
        by_status[entry.status].append(entry)
    for status, found in by_status.items():
        parts.append(f"\n## {status} {HTTPStatus(status).phrase}\n")
        parts.append("\n| code | message | returned by | what to do |\n|---|---|---|---|\n")
        parts += (_row(entry) for entry in found)
    return "".join(parts)


def main() -> None:
    """Write docs/errors.md."""
    PAGE.write_text(page())


def _errors(base: type[AppError]) -> Iterator[type[AppError]]:
    # Skips the errors of tests and plugins.
    for error in base.__subclasses__():
        if error.__module__.startswith("app."):
            yield error
            yield from _errors(error)


def _documented() -> Mapping[str, list[str]]:
    """For each code, the operations whose OpenAPI description has an example of it."""
    settings = Settings(_env_file=None, database_url="postgresql://unused", redis_url="redis://unused")
    found: dict[str, list[str]] = defaultdict(list)
    for path, operations in create_app(settings).openapi()["paths"].items():
        for method, operation in operations.items():
            for code in _codes(operation):
                found[code].append(f"{method.upper()} {path}")
    return found


def _codes(operation: dict[str, Any]) -> Iterator[str]:
    for response in operation["responses"].values():
        yield from response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {})


def _row(entry: Entry) -> str:
    messages = "<br>".join(_cell(message) for message in entry.messages)
    return f"| `{entry.code}` | {messages} | {_routes(entry.routes)} | {entry.advice} |\n"


def _routes(routes: list[str]) -> str:
    if not routes:
        return "any route"
    shown = ", ".join(f"`{route}`" for route in routes[:_MAX_ROUTES])
    more = len(routes) - _MAX_ROUTES
    return shown if more <= 0 else f"{shown} and {more} more"


def _cell(message: str) -> str:
    return " ".join(message.split()).replace("!r}", "}").replace("|", "\\|")


if __name__ == "__main__":
    main()
