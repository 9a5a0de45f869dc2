"""The response of `GET /kinds`."""

from functools import lru_cache
from typing import Any

from typing_extensions import TypedDict

from app.http.links import link
from app.jobs.kinds.kind import Kind


class KindView(TypedDict):
    """A kind of jobs: `POST {path}` creates one. `request` is the JSON Schema of the body."""

    name: str
    path: str
    summary: str
    queue: str
    request: dict[str, Any]


class KindList(TypedDict):
    """The kinds of jobs that this server creates."""

    items: list[KindView]


def kind_view(kind: Kind) -> KindView:
    """Return a kind as its users see it."""
    return KindView(
        name=kind.name,
        path=link(f"/jobs/{kind.path}"),
        summary=kind.summary,
        queue=kind.queue,
        request=_schema(kind),
    )


# Cached: a schema takes milliseconds, and the kinds of a process stay the same.
@lru_cache(maxsize=256)
def _schema(kind: Kind) -> dict[str, Any]:
    return kind.request.model_json_schema()
