"""The Python client: submit rows, follow jobs, read results. Needs httpx, and nothing else of Headrace.

    >>> from app.client import Headrace
    >>> with Headrace("http://localhost:8000", username="ada", password="correct horse battery") as client:
    ...     job = client.submit(["What a lovely day", "It broke at once. Terrible!"])
    ...     for event in client.follow(job):
    ...         print(event.progress, event.step)
    ...     print([row.prediction["label"] for row in client.results(job)])

`AsyncHeadrace` has the same verbs for asyncio. What both know is in `core` and around it, as flows that do no
I/O themselves; `blocking` and `asynchronous` are only the hands that carry out what a flow asks for.
"""

from app.client.asynchronous import AsyncHeadrace
from app.client.blocking import Headrace
from app.client.data import Dataset, Model, Predictions, Row, RowError
from app.client.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    Gone,
    HeadraceError,
    Invalid,
    MissingCredentials,
    NotFound,
    ServerError,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnexpectedResponse,
    Unreachable,
    WaitTimeout,
)
from app.client.retry import RetryConfig
from app.client.values import Event, Explanation, Job, JobError, Submitted

__all__ = [
    "AsyncHeadrace",
    "BadRequest",
    "Conflict",
    "Dataset",
    "Event",
    "Explanation",
    "Forbidden",
    "Gone",
    "Headrace",
    "HeadraceError",
    "Invalid",
    "Job",
    "JobError",
    "MissingCredentials",
    "Model",
    "NotFound",
    "Predictions",
    "RetryConfig",
    "Row",
    "RowError",
    "ServerError",
    "Submitted",
    "TooLarge",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "UnexpectedResponse",
    "Unreachable",
    "WaitTimeout",
]
