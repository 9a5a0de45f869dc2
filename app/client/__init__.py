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
from app.client.data import Predictions, Row, RowError
from app.client.dataset_values import Dataset, DatasetPreview, DatasetProfile
from app.client.dead_letters import LetterGroup
from app.client.drafts import DryRun, JobKind, JobRequest
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
from app.client.insight import Attention, FoundObjects, Ledger, ResultSummary, StoredRun
from app.client.logs import LogLine
from app.client.model_values import Algorithm, Evaluation, Model, ModelVersion
from app.client.profiles import FunctionTime, Profile
from app.client.queues import Queue
from app.client.quotas import Quota, Quotas
from app.client.retry import RetryConfig
from app.client.schedule_values import Firing, Preview, Reason, Schedule, ScheduleGroup, Tick
from app.client.shards import Shard
from app.client.subscriptions import Delivery, PingResult, RotatedSecret, Subscription
from app.client.training_values import Fold, Search, SubmittedSearch, Trial
from app.client.values import Event, Explanation, Job, JobError, Submitted

__all__ = [
    "Algorithm",
    "ApiKey",
    "AsyncHeadrace",
    "Attention",
    "BadRequest",
    "Conflict",
    "Dataset",
    "DatasetPreview",
    "DatasetProfile",
    "Delivery",
    "DryRun",
    "Evaluation",
    "Event",
    "Explanation",
    "Firing",
    "Fold",
    "Forbidden",
    "FoundObjects",
    "FunctionTime",
    "Gone",
    "Headrace",
    "HeadraceError",
    "Invalid",
    "Job",
    "JobError",
    "JobKind",
    "JobRequest",
    "Ledger",
    "LetterGroup",
    "LogLine",
    "MissingCredentials",
    "Model",
    "ModelVersion",
    "NotFound",
    "PingResult",
    "Predictions",
    "Preview",
    "Profile",
    "Queue",
    "Quota",
    "Quotas",
    "Reason",
    "ResultSummary",
    "RetryConfig",
    "RotatedSecret",
    "Row",
    "RowError",
    "Schedule",
    "ScheduleGroup",
    "Search",
    "ServerError",
    "Shard",
    "StoredRun",
    "Submitted",
    "SubmittedSearch",
    "Subscription",
    "Tick",
    "TooLarge",
    "TooManyRequests",
    "Trial",
    "Unauthorized",
    "Unavailable",
    "UnexpectedResponse",
    "Unreachable",
    "WaitTimeout",
]
