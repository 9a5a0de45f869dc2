"""The Python client: submit rows, follow jobs, read results. Depends on httpx only.

    >>> from app.client import Headrace
    >>> with Headrace("http://localhost:8000", username="ada", password="correct horse battery") as client:
    ...     job = client.submit(["What a lovely day", "It broke at once. Terrible!"])
    ...     for event in client.follow(job):
    ...         print(event.progress, event.step)
    ...     print([row.prediction["label"] for row in client.results(job)])

`AsyncHeadrace` has the same methods for asyncio. `core` and the modules around it implement them as flows,
generators that do no I/O; `blocking` and `asynchronous` execute the steps of a flow.
"""

from app.client.api_keys import ApiKey
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
from app.client.quotas import Quota, Quotas
from app.client.retry import RetryConfig
from app.client.values import Event, Explanation, Job, JobError, Submitted

__all__ = [
    "ApiKey",
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
    "Quota",
    "Quotas",
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
