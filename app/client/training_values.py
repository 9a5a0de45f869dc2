"""Searches and their trials as frozen dataclasses; `raw` has the server's whole document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app.client.data import instant
from app.client.values import FINAL, JobError


@dataclass(frozen=True, slots=True)
class SubmittedSearch:
    """A search that the server has accepted, with the jobs of its trials."""

    id: str
    job_ids: Sequence[str]
    is_replay: bool = False
    """Whether an earlier request with the same idempotency key created the search."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Fold:
    """The job that holds out one fold of a trial. `value` is the metric there; None while it has none."""

    fold: int
    job_id: str
    status: str
    progress: float
    value: float | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self.status in FINAL

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Fold":
        """Parse the JSON document."""
        return cls(
            fold=document["fold"],
            job_id=document["job_id"],
            status=document["status"],
            progress=document.get("progress", 0.0),
            value=document.get("value"),
            raw=document,
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """One training of a search. `value` is what it is ranked by; None while it has none.

    With folds, `value` is the mean over the `folds`, and `std` their standard deviation. `job_id` is the job
    that registers the model.
    """

    rank: int | None
    job_id: str
    status: str
    progress: float
    params: Mapping[str, Any]
    value: float | None
    metrics: Mapping[str, Any] | None
    model: str | None
    error: JobError | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    std: float | None = None
    folds: Sequence[Fold] = ()

    @property
    def is_final(self) -> bool:
        """Whether the trial has ended."""
        return self.status in FINAL

    @property
    def awaited_job_id(self) -> str:
        """A job of the trial that has not ended, if there is one; rather one that runs."""
        left = [fold for fold in self.folds if not fold.is_final]
        running = [fold for fold in left if fold.status == "running"]
        return next((fold.job_id for fold in (*running, *left)), self.job_id)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Trial":
        """Parse the JSON document."""
        error = document.get("error")
        return cls(
            rank=document.get("rank"),
            job_id=document["job_id"],
            status=document["status"],
            progress=document.get("progress", 0.0),
            params=document.get("params") or {},
            value=document.get("value"),
            metrics=document.get("metrics"),
            model=document.get("model"),
            error=None if error is None else JobError.parse(error),
            raw=document,
            std=document.get("std"),
            folds=tuple(Fold.parse(fold) for fold in document.get("folds") or ()),
        )


@dataclass(frozen=True, slots=True)
class Search:
    """A search at the time of the request. `leaderboard` has its trials, the best first.

    `folds` is the number of folds of each trial; None if one job measures it.

    >>> search = client.wait_for_search(client.create_search("sold", {"alpha": [1e-4, 1e-2]}, ...))
    >>> search.best_model, search.metric, search.best_value
    ('houses@2', 'accuracy', 0.94)
    """

    id: str
    metric: str | None
    best_job_id: str | None
    best_model: str | None
    best_value: float | None
    leaderboard: Sequence[Trial]
    progress: float
    is_finished: bool
    statuses: Mapping[str, int]
    created_at: datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    folds: int | None = None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Search":
        """Parse the JSON document of a group that is a search."""
        search = document["search"]
        return cls(
            id=document["group_id"],
            metric=search.get("metric"),
            best_job_id=search.get("best_job_id"),
            best_model=search.get("best_model"),
            best_value=search.get("best_value"),
            leaderboard=tuple(Trial.parse(trial) for trial in search["leaderboard"]),
            progress=document.get("progress", 0.0),
            is_finished=bool(document["is_finished"]),
            statuses=document.get("statuses") or {},
            created_at=instant(document, "created_at"),
            raw=document,
            folds=search.get("folds"),
        )


AnySearch = str | UUID | SubmittedSearch | Search
"""A search or its id, which is that of its group."""


def search_id(search: AnySearch) -> str:
    """The id of a search."""
    return search.id if isinstance(search, SubmittedSearch | Search) else str(search)
