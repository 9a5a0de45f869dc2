"""What comes before a job: the kinds, the request of an earlier job, and dry runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from app.client.data import instant
from app.client.exchange import Exchange, json_request
from app.client.steps import Flow, Request
from app.client.values import AnyJob
from app.client.waiting import job_path


@dataclass(frozen=True, slots=True)
class JobKind:
    """A kind of jobs. `path` is the one that `create` takes, `request` the JSON Schema of the body.

    >>> [kind.path for kind in client.kinds()]
    ['batch-predict', 'convert-model', 'evaluate-model', …]
    """

    name: str
    path: str
    summary: str
    queue: str
    request: Mapping[str, Any]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "JobKind":
        """Parse the JSON document."""
        return cls(
            name=document["name"],
            path=_last_segment(document),
            summary=document["summary"],
            queue=document["queue"],
            request=document["request"],
            raw=document,
        )


@dataclass(frozen=True, slots=True)
class JobRequest:
    """The request of a job, for `create`. Its `body` lacks the rows, which `rows_member` had, if it had any.

    >>> request = client.request_of(job)
    >>> again = client.create(request.path, {**request.body, "resubmitted_from": job.id})
    """

    kind: str
    path: str
    body: Mapping[str, Any]
    rows_member: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "JobRequest":
        """Parse the JSON document."""
        return cls(
            kind=document["kind"],
            path=_last_segment(document),
            body=document["request"],
            rows_member=document.get("rows_member"),
            raw=document,
        )


@dataclass(frozen=True, slots=True)
class DryRun:
    """What the job of a request would wait for. `estimated_seconds` is how long its work takes.

    >>> found = client.dry_run("batch-predict", {"texts": texts})
    >>> found.position, found.estimated_start_at, found.sentence
    (4, datetime.datetime(…), 'None of your jobs is before it; 2 other users wait; you hold 0 of 4 slots.')
    """

    queue: str
    jobs: int
    total: int | None
    position: int
    estimated_start_at: datetime | None
    estimated_seconds: float | None
    code: str
    sentence: str
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "DryRun":
        """Parse the JSON document."""
        return cls(
            queue=document["queue"],
            jobs=document["jobs"],
            total=document.get("total"),
            position=document["position"],
            estimated_start_at=instant(document, "estimated_start_at"),
            estimated_seconds=document.get("estimated_seconds"),
            code=document["code"],
            sentence=document["sentence"],
            raw=document,
        )


class Drafts:
    """The methods of the clients, as flows that a client executes."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def kinds(self) -> Flow[Sequence[JobKind]]:
        """Fetch the kinds."""
        return self._exchange.read(
            lambda page: [JobKind.parse(item) for item in page["items"]], Request("GET", "/kinds")
        )

    def request_of(self, job: AnyJob) -> Flow[JobRequest]:
        """Fetch the request of a job."""
        return self._exchange.read(JobRequest.parse, Request("GET", f"{job_path(job)}/request"))

    def dry_run(self, path: str, body: Mapping[str, Any]) -> Flow[DryRun]:
        """Check a request, and estimate when its job would start."""
        request = json_request("POST", f"/jobs/{quote(path, safe='')}", body, {})
        return self._exchange.read(DryRun.parse, replace(request, params={"dry_run": "true"}))


def _last_segment(document: Mapping[str, Any]) -> str:
    path: str = document["path"]
    return path.rpartition("/")[2]
