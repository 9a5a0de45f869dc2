"""What a job was given and has stored, what needs attention, what a search finds, as frozen dataclasses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.client.data import Row, instant
from app.client.exchange import Exchange
from app.client.steps import Emit, Flow, Request


@dataclass(frozen=True, slots=True)
class StoredRun:
    """The consecutive batches, from `first` to `last`, that one attempt has stored."""

    attempt: int
    first: int
    last: int
    rows: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """Which attempt stored which batches. `batches` is how many there will be, None while that is unknown.

    >>> ledger = client.ledger(job)
    >>> [(run.attempt, run.first, run.last) for run in ledger.runs]
    [(1, 0, 23), (2, 24, 62)]
    """

    batches: int | None
    stored: int
    runs: Sequence[StoredRun]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Ledger":
        """Parse the JSON document."""
        runs = tuple(
            StoredRun(run["attempt"], run["first"], run["last"], run["rows"]) for run in document["runs"]
        )
        return cls(document.get("batches"), document["stored"], runs, document)


@dataclass(frozen=True, slots=True)
class ResultSummary:
    """The rows of a job that has ended, by label. `others` have no label, or one that was not counted.

    >>> client.result_summary(job).labels
    {'positive': 812, 'negative': 188}
    """

    rows: int
    errors: int
    labels: Mapping[str, int]
    others: int
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "ResultSummary":
        """Parse the JSON document."""
        return cls(
            document["rows"], document["errors"], document["labels"], document.get("others", 0), document
        )


@dataclass(frozen=True, slots=True)
class Attention:
    """One thing that needs attention. `facts` depend on the `code`; `severity` is `bad` or `warn`.

    >>> for item in client.attention():
    ...     print(item.code, item.count, item.facts)
    dead_letters 3 {'error': 'time_limit', 'model': 'churn@2', 'job_id': '019aa7c1-…'}
    """

    code: str
    severity: str
    count: int
    since: datetime | None
    facts: Mapping[str, Any]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Attention":
        """Parse the JSON document."""
        return cls(
            code=document["code"],
            severity=document["severity"],
            count=document["count"],
            since=instant(document, "since"),
            facts=document.get("facts") or {},
            raw=document,
        )


@dataclass(frozen=True, slots=True)
class FoundObjects:
    """What begins with a text, at most five of each: ids of jobs, and names of what has one.

    `models` are references to predict with. `datasets` and `schedules` are ids with their names.

    >>> client.find("churn").datasets
    {'019aa7c1-…': 'churn of 2026.csv'}
    """

    jobs: Sequence[str]
    models: Sequence[str]
    datasets: Mapping[str, str]
    schedules: Mapping[str, str]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "FoundObjects":
        """Parse the JSON document."""
        return cls(
            jobs=tuple(job["job_id"] for job in document["jobs"]),
            models=tuple(_reference(model) for model in document["models"]),
            datasets={one["dataset_id"]: one["name"] for one in document["datasets"]},
            schedules={one["schedule_id"]: one["name"] for one in document["schedules"]},
            raw=document,
        )


def _reference(model: Mapping[str, Any]) -> str:
    """Return the name by which the user refers to a model: that of another user needs its owner."""
    name: str = model["name"]
    return name if model["is_own"] or model["is_built_in"] else f"{model['owner']}/{name}"


def ledger(exchange: Exchange, path: str) -> Flow[Ledger]:
    """Fetch the ledger of the job at a path."""
    return exchange.read(Ledger.parse, Request("GET", f"{path}/ledger"))


def inputs(exchange: Exchange, path: str, first_row: int, limit: int) -> Flow[Sequence[Any]]:
    """Fetch input rows of the job at a path."""
    params = {"first_row": str(first_row), "limit": str(limit)}
    return exchange.read(lambda page: list(page["rows"]), Request("GET", f"{path}/input", params=params))


def result_summary(exchange: Exchange, path: str) -> Flow[ResultSummary]:
    """Fetch how many rows of the job at a path have which label."""
    return exchange.read(ResultSummary.parse, Request("GET", f"{path}/results/summary"))


def search_results(
    exchange: Exchange, path: str, filters: Mapping[str, str], *, include_input: bool
) -> Flow[None]:
    """Emit the rows of the job at a path that match, as far as they are stored."""
    params = {"limit": "1000", **filters, **({"include": "input"} if include_input else {})}
    searched = -1
    while True:
        found, through, cursor = yield from exchange.read(
            lambda page: (
                [Row.parse(item) for item in page["items"]],
                int(page["scanned_through"]),
                page["next_cursor"],
            ),
            Request("GET", f"{path}/results", params=params),
        )
        for row in found:
            yield Emit(row)
        if cursor is None or through == searched:  # a running job has a cursor for rows to come
            return
        searched = through
        params = {**params, "cursor": str(cursor)}


def attention(exchange: Exchange) -> Flow[Sequence[Attention]]:
    """Fetch what needs attention."""
    return exchange.read(
        lambda page: [Attention.parse(item) for item in page["items"]], Request("GET", "/attention")
    )


def find(exchange: Exchange, text: str, owner: str | None) -> Flow[FoundObjects]:
    """Fetch what begins with a text."""
    params = {"q": text} if owner is None else {"q": text, "owner": owner}
    return exchange.read(FoundObjects.parse, Request("GET", "/search", params=params))
