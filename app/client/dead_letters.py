"""Dead letters: lists, counts, retries and dismisses them, as flows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypedDict

from app.client.data import instant
from app.client.exchange import Exchange, json_request, parse_json
from app.client.steps import Flow, Request
from app.client.values import AnyJob, Job, job_id

SLICE: Final = 1000
"""Dead letters that one request changes."""


class LetterFilters(TypedDict, total=False):
    """Which dead letters: those that match all. `model` is `name@version` or a name; `""` means no model."""

    code: str | None
    kind: str | None
    model: str | None
    queue: str | None


@dataclass(frozen=True, slots=True)
class LetterGroup:
    """Dead letters with the same error code, kind and model.

    >>> for group in client.dead_letter_summary():
    ...     print(group.count, group.code, group.model)
    3 time_limit churn@2
    """

    code: str
    kind: str
    model: str | None
    count: int
    newest_at: datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "LetterGroup":
        """Parse the JSON document."""
        return cls(
            code=document["code"],
            kind=document["kind"],
            model=document.get("model"),
            count=document["count"],
            newest_at=instant(document, "newest_at"),
            raw=document,
        )


class DeadLetters:
    """The methods of the clients for dead letters, as flows."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def list(self, filters: LetterFilters, page_size: int) -> Flow[None]:
        """Emit dead letters, newest first."""
        return self._exchange.pages("/dead-letters", Job.parse, page_size, _params(filters))

    def summary(self, filters: LetterFilters) -> Flow[Sequence[LetterGroup]]:
        """Fetch the groups."""
        return self._exchange.read(
            lambda page: [LetterGroup.parse(item) for item in page["items"]],
            Request("GET", "/dead-letters/summary", params=_params(filters)),
        )

    def handle(
        self,
        action: Literal["retry", "dismiss"],
        jobs: Sequence[AnyJob] | None,
        filters: LetterFilters,
        reason: str | None = None,
    ) -> Flow[Sequence[str]]:
        """Retry or dismiss dead letters. Raises TypeError unless jobs or filters are given."""
        if (jobs is None) == (not filters):
            raise TypeError("give jobs, or filters such as code=")
        why = {} if reason is None else {"reason": reason}
        handled: list[str] = []
        if jobs is not None:
            ids = [job_id(job) for job in jobs]
            for start in range(0, len(ids), SLICE):
                page = yield from self._post(action, {"job_ids": ids[start : start + SLICE], **why})
                handled += page["job_ids"]
            return handled
        selection = {"filter": {"failed_before": datetime.now(UTC).isoformat(), **_params(filters)}, **why}
        cursor: str | None = None
        while True:
            body = selection if cursor is None else {**selection, "cursor": cursor}
            page = yield from self._post(action, body)
            handled += page["job_ids"]
            cursor = page["next_cursor"]
            if cursor is None:
                return handled

    def _post(self, action: str, body: Mapping[str, Any]) -> Flow[Mapping[str, Any]]:
        # Again after a lost response: what was handled then is left out now.
        response = yield from self._exchange.ask(
            json_request("POST", f"/dead-letters/{action}", body, {}), self._exchange.retry_state()
        )
        return parse_json(dict, response)


def _params(filters: LetterFilters) -> dict[str, str]:
    return {name: str(value) for name, value in filters.items() if value is not None}
