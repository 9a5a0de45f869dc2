"""The response of the route of attention."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict


class AttentionCode(StrEnum):
    """What needs attention."""

    DEAD_LETTERS = "dead_letters"
    QUEUE_WITHOUT_WORKER = "queue_without_worker"
    STORAGE_FULL = "storage_full"
    SCHEDULE_FAILING = "schedule_failing"
    DELIVERY_FAILING = "delivery_failing"
    LOOP_LATE = "loop_late"
    QUEUE_PAUSED = "queue_paused"
    WORKER_LOST = "worker_lost"
    WORKER_DRAINING = "worker_draining"
    SCHEDULE_SKIPPED = "schedule_skipped"


class Severity(StrEnum):
    """How urgent it is: `bad` if work is lost or stands still, `warn` if it may soon."""

    BAD = "bad"
    WARN = "warn"


class AttentionItem(TypedDict):
    """One thing that needs attention. `facts` depend on the code.

    `dead_letters`: the `error` code and the `model` (or null) that `count` failed jobs have in common, and
    the last of them, `job_id`. `queue_without_worker`: the `queue` in which `count` jobs are due.
    `queue_paused`: the `queue` in which `count` jobs wait, the `name` of the user who paused it (or null) and
    the `reason`.
    `worker_lost`, `worker_draining`: the `worker`, and `count` jobs that run on it. `schedule_failing`,
    `schedule_skipped`: the `schedule_id` and its `name`; its last `count` jobs have failed, or `count` ticks
    of the last day created no job. `delivery_failing`: the `subscription_id` and its `name`, with `count`
    failures in a row. For administrators also `loop_late`: the `loop` of the answering process that has not
    succeeded `since`; and `storage_full`: the `used_percent` and `free_bytes` of the volume of the storage.
    """

    code: AttentionCode
    severity: Severity
    count: Annotated[int, Field(examples=[3])]
    since: datetime
    facts: dict[str, Any]


class AttentionList(TypedDict):
    """What needs attention, the most urgent first, at most 20 items of each code.

    Counts of jobs end at 10 001, those of failed jobs in a row at 20.
    """

    items: list[AttentionItem]
