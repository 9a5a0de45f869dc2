"""The API's half: the body of `POST /jobs/word-count`, and what is stored of it."""

from typing import Final

import msgspec
from pydantic import Field

from app.http.body import CleanStr
from app.jobs.kinds.kind import JobPlan, Kind, ResolvedReferences, RestoredRequest, RetryPolicy, StoredRequest
from app.jobs.requests import JobOptions


class WordCountRequest(JobOptions):
    """Count the words of up to 1000 texts."""

    texts: list[CleanStr] = Field(min_length=1, max_length=1000)
    batch_size: int = Field(10, ge=1, le=1000, description="How many texts are committed at a time.")
    top: int = Field(10, ge=1, le=1000, description="How many of the most common words the result names.")


class Params(msgspec.Struct, frozen=True):
    """Params of the handler. The texts are stored separately, as the job's rows."""

    batch_size: int
    top: int


def plan(request: WordCountRequest, _found: ResolvedReferences) -> JobPlan:
    """Return what is stored. An AppError raised here answers the request; no job is created."""
    return JobPlan(
        params=msgspec.json.encode(Params(request.batch_size, request.top)),
        rows=msgspec.json.encode(request.texts),
        total=len(request.texts),
    )


def restore(stored: StoredRequest) -> RestoredRequest:
    """Return the request again, the inverse of `plan`. The texts are the rows."""
    return RestoredRequest(dict(stored.params), rows_member="texts")


KIND: Final = Kind(
    name="word_count",
    summary="Count the words of many texts",
    request=WordCountRequest,
    plan=plan,
    restore=restore,
    retry=RetryPolicy(base_seconds=5, maximum_seconds=60, never=frozenset({"not_a_text"})),
    outputs_rows=True,
    examples={"two texts": {"value": {"texts": ["to be or not to be", "let it be"], "top": 3}}},
)

KINDS: Final = {KIND.name: KIND}
