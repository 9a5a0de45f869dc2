"""What a delivery says: the JSON body of a webhook, and the lines that people read.

It is made of the event's row and of what never changes of the job, so that every try has the same bytes.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, Self
from uuid import UUID

import msgspec

from app.core.rows import Row
from app.notifications.states import NotificationType

MAX_RESULT_BYTES: Final = 16 * 1024

CONTENT: Final = f"""d.type, d.created_at, d.data, d.job_id, d.seq, e.at AS event_at,
    CASE WHEN octet_length((e.data -> 'result')::text) > {MAX_RESULT_BYTES}
        THEN e.data || '{{"result": null, "result_truncated": true}}' ELSE e.data END AS event_data,
    j.kind, j.metadata, j.group_id, j.schedule_id, j.created_at AS job_created_at"""
"""The columns from which `Notice.from_row` reads, of a delivery `d` with CONTENT_JOINS."""

CONTENT_JOINS: Final = """LEFT JOIN job_events e ON e.job_id = d.job_id AND e.seq = d.seq
    LEFT JOIN jobs j ON j.id = d.job_id"""

_MEMBERS: Final = ("status", "progress", "done", "total", "step", "attempt", "result", "error")
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What one delivery says. `data` are the members of the body's `data`; `at` is when it happened."""

    delivery_id: UUID
    type: NotificationType
    at: datetime
    data: dict[str, Any] = field(repr=False)

    @classmethod
    def from_row(cls, row: Row, *, public_url: str | None) -> Self | None:
        """Read a row with `delivery_id` and the columns of CONTENT; None if its job is gone."""
        notification = NotificationType(row["type"])
        if row["job_id"] is None:
            data = row["data"]
            if notification.is_of_schedule:
                data = data | {"links": _schedule_links(data["schedule_id"], public_url)}
            return cls(delivery_id=row["delivery_id"], type=notification, at=row["created_at"], data=data)
        if row["event_at"] is None or row["job_created_at"] is None:
            return None
        return cls(
            delivery_id=row["delivery_id"],
            type=notification,
            at=row["event_at"],
            data=_job_data(row, public_url),
        )

    @cached_property
    def body(self) -> bytes:
        """The body of a webhook."""
        return _encode({"type": self.type, "timestamp": _instant(self.at), "data": self.data})

    @property
    def headline(self) -> str:
        """What happened, in one line."""
        if self.type.is_of_job:
            return f"Job {self.type.removeprefix('job.')}: {self.data['kind']}"
        return {
            NotificationType.PING: "Test message from Headrace",
            NotificationType.SUBSCRIPTION_DISABLED: f"Subscription disabled: {self.data.get('name', '')}",
        }.get(self.type, f"{self.type.replace('.', ' ').capitalize()}: {self.data.get('name', '')}")

    @property
    def facts(self) -> Iterator[tuple[str, str]]:
        """Further lines, each a name and a text that may be a user's."""
        if self.type.is_of_schedule:
            yield from self._facts_of_schedule
            return
        if not self.type.is_of_job:
            reason = self.data.get("reason")
            if isinstance(reason, dict) and "code" in reason:
                yield "Reason", str(reason["code"])
            return
        if (error := self.data["error"]) is not None:
            yield "Error", f"{error['code']}: {error['message']}"
        if self.data["metadata"]:
            pairs = self.data["metadata"].items()
            yield "Metadata", ", ".join(f"{name}={value}" for name, value in pairs)
        yield "Job", self.data["links"]["self"]

    @property
    def _facts_of_schedule(self) -> Iterator[tuple[str, str]]:
        if (reason := self.data["reason"]) is not None:
            yield "Reason", f"{reason['code']}: {reason['message']}"
        if (fire_at := self.data["fire_at"]) is not None:
            through_at = self.data["through_at"]
            yield "Tick", fire_at if through_at in (None, fire_at) else f"{fire_at} to {through_at}"
        yield "Schedule", self.data["links"]["self"]


def example(notification: NotificationType) -> dict[str, Any]:
    """Return an example of the body of a type, for documentation."""
    at = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
    subject = UUID("01936b0e-5c7e-7cc1-8f3a-2f6d0f1f4a11")
    data: dict[str, Any]
    match notification.partition("."):
        case ("job", _, event):
            data = _example_of_job(event, subject)
        case ("schedule", _, event):
            data = _example_of_schedule(event, subject)
        case ("subscription", _, "disabled"):
            data = {
                "subscription_id": subject,
                "name": "CI",
                "channel": "webhook",
                "reason": {"code": "gone"},
            }
        case _:
            data = {"subscription_id": subject, "name": "CI"}
    notice = Notice(delivery_id=subject, type=notification, at=at, data=data)
    body: dict[str, Any] = json.loads(notice.body)
    return body


def _example_of_job(event: str, job_id: UUID) -> dict[str, Any]:
    has_failed = event in ("failed", "retrying")
    is_completed = event == "completed"
    status = {"started": "running", "retrying": "pending"}.get(event, event)
    error = {"code": "out_of_memory", "message": "The attempt used too much memory.", "retryable": True}
    return {
        "job_id": job_id,
        "seq": 2 if event == "started" else 7,
        "kind": "train_model",
        "status": status,
        "progress": 100.0 if is_completed else 0.0,
        "done": 10 if is_completed else 0,
        "total": 10,
        "step": None,
        "attempt": 1,
        "result": {"model": {"name": "churn", "version": 3}} if is_completed else None,
        "error": {**error, "attempt": 1} if has_failed else None,
        "metadata": {"team": "a"},
        "group_id": None,
        "schedule_id": None,
        "created_at": "2026-11-28T11:59:00Z",
        "links": _links(job_id, "https://ml.example.com"),
    }


def _example_of_schedule(event: str, schedule_id: UUID) -> dict[str, Any]:
    reasons = {
        "refused": {"code": "model_not_found", "message": "You have no model with this name."},
        "paused": {"code": "too_many_failures", "message": "The last 3 jobs failed."},
        "broken": {"code": "cannot_compute", "message": "Its next tick cannot be computed: unknown zone."},
    }
    has_tick = event in ("refused", "missed")
    return {
        "schedule_id": schedule_id,
        "name": "nightly",
        "group": None,
        "kind": "train_model",
        "fire_at": "2026-11-26T02:30:00Z" if has_tick else None,
        "through_at": "2026-11-28T02:30:00Z" if event == "missed" else None,
        "count": 3 if event == "missed" else None,
        "reason": reasons.get(event),
        "links": _schedule_links(schedule_id, "https://ml.example.com"),
    }


def _job_data(row: Row, public_url: str | None) -> dict[str, Any]:
    event = row["event_data"]
    data = {"job_id": row["job_id"], "seq": row["seq"], "kind": row["kind"]}
    data |= {name: event.get(name) for name in _MEMBERS}
    if event.get("result_truncated"):
        data["result_truncated"] = True
    return data | {
        "metadata": row["metadata"],
        "group_id": row["group_id"],
        "schedule_id": row["schedule_id"],
        "created_at": _instant(row["job_created_at"]),
        "links": _links(row["job_id"], public_url),
    }


def _links(job_id: UUID, public_url: str | None) -> dict[str, str]:
    """Links to the job; without PUBLIC_URL they are paths."""
    job = f"{public_url or ''}/jobs/{job_id}"
    return {"self": job, "events": f"{job}/events"}


def _schedule_links(schedule_id: UUID | str, public_url: str | None) -> dict[str, str]:
    schedule = f"{public_url or ''}/schedules/{schedule_id}"
    return {"self": schedule, "firings": f"{schedule}/firings"}


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
