"""Requests and responses of the routes of queues."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import Field
from typing_extensions import TypedDict

from app.http.body import CleanStr, StrictBody

MAX_REASON: Final = 200


class QueuePause(StrictBody):
    """Why to pause a queue. Users whose jobs wait in it are shown the reason."""

    reason: Annotated[CleanStr, Field(min_length=1, max_length=MAX_REASON, pattern=r"\S")] = Field(
        examples=["The GPU node is being replaced."]
    )


class QueueState(TypedDict):
    """A queue, and the jobs of all users in it.

    `pending` jobs wait, delayed ones included, counted up to 10 001; `oldest_seconds` is how long the first
    due job has been due, null if none is due. A job with shards counts as one; the slots run its shards, of
    which `pending_shards` wait. `workers` that take jobs serve the queue with `slots`. The last
    three are null unless it is paused; `paused_by` is also null once that user is deleted.
    """

    name: Annotated[str, Field(examples=["default"])]
    pending: Annotated[int, Field(examples=[12])]
    running: Annotated[int, Field(examples=[2])]
    pending_shards: Annotated[int, Field(examples=[0])]
    running_shards: Annotated[int, Field(examples=[0])]
    oldest_seconds: Annotated[float | None, Field(examples=[8.4])]
    workers: Annotated[int, Field(examples=[1])]
    slots: Annotated[int, Field(examples=[4])]
    is_pausable: Annotated[
        bool,
        Field(description="False for the queue of `POST /predict`, whose callers wait.", examples=[True]),
    ]
    paused_at: datetime | None
    paused_by: Annotated[str | None, Field(description="Username.", examples=[None])]
    reason: Annotated[str | None, Field(examples=[None])]


class QueueList(TypedDict):
    """The queues by name: served, paused, or with unfinished jobs."""

    items: list[QueueState]
