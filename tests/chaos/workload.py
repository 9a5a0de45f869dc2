"""Randomly generated jobs of a drill, and their expected results."""

import random
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from tests.kinds_for_tests.kinds import prediction

WORDS: Final = ("good", "bad", "great", "awful", "blue", "lovely", "horrible", "fine", "table", "chair")
REAL_WORK_MS: Final = 25
"""More than the 20 ms that a child may compute ahead of its commits."""

TEXTS: Final = tuple(
    f"{first} {second} {number}" for number, (first, second) in enumerate(product(WORDS, WORDS[:6]))
)
"""The rows of the dataset of jobs with shards."""

_analyzer: Final = SentimentIntensityAnalyzer()


@dataclass
class WorkItem:
    """One request for a job, what the client does with the job, and the jobs it created."""

    key: str
    kind: str
    body: dict[str, Any]
    is_sent_twice: bool
    is_followed: bool
    cancel_after: float | None
    retry_from_start: bool | None
    job_ids: set[UUID] = field(default_factory=set)
    was_retried: bool = False

    @property
    def path(self) -> str:
        return f"/jobs/{self.kind.replace('_', '-')}"

    @property
    def does_real_work(self) -> bool:
        """Whether each batch takes long enough for the limit on rework to be exact."""
        return self.kind == "count" and self.body["work_ms"] >= REAL_WORK_MS

    def expects(self, row: int, found: Any) -> bool:
        """Whether `found` is the correct output for a row."""
        if self.kind == "count":
            return bool(found == prediction(row))
        texts = self.body.get("texts", TEXTS)
        return bool(found["scores"]["compound"] == _compound(texts[row]))


def draw(rng: random.Random, number: int, seed: int, counter: Path, dataset_id: str) -> WorkItem:
    """Generate a job: tiny or a few seconds long, cancelled or not, followed or not, with shards or not."""
    is_count = rng.random() < 0.7
    has_shards = rng.random() < 0.4
    is_followed = rng.random() < 0.2
    cancel_after = rng.choice([0.0, 0.1, 0.5, 1.5]) if rng.random() < 0.12 else None
    is_retried = cancel_after is not None and not is_followed and rng.random() < 0.5
    return WorkItem(
        key=f"{seed}-{number}",
        kind="count" if is_count else "batch_predict",
        body=_count(rng, counter) if is_count else _shards(rng, dataset_id) if has_shards else _texts(rng),
        is_sent_twice=rng.random() < 0.1,
        is_followed=is_followed,
        cancel_after=cancel_after,
        retry_from_start=rng.random() < 0.5 if is_retried else None,
    )


def _count(rng: random.Random, counter: Path) -> dict[str, Any]:
    return {
        "batches": rng.choice([1, 2, 3, 5, 8, 13]),
        "rows_per_batch": rng.randint(1, 3),
        "work_ms": 0 if rng.random() < 0.3 else rng.randint(REAL_WORK_MS, 60),
        "counter_path": str(counter),
        "max_attempts": rng.choice([3, 10, 20]),
        "priority": rng.choice([*["normal"] * 8, "low", "high", "critical"]),
    }


def _texts(rng: random.Random) -> dict[str, Any]:
    count = rng.choice([1, 5, 20, 60])
    return {
        "texts": [" ".join(rng.choices(WORDS, k=4)) for _ in range(count)],
        "batch_size": rng.choice([1, 7, 10]),
        "max_attempts": rng.choice([3, 10, 20]),
    }


def _shards(rng: random.Random, dataset_id: str) -> dict[str, Any]:
    return {
        "dataset_id": dataset_id,
        "column": "text",
        "batch_size": rng.choice([1, 3, 7]),
        "shards": rng.choice([2, 3, 5, 8]),
        "max_failed_shards": rng.choice([0, 0, 8]),
        "max_attempts": rng.choice([3, 10, 20]),
    }


@cache
def _compound(text: str) -> float:
    """Compute the expected score with VADER directly."""
    score: float = _analyzer.polarity_scores(text)["compound"]
    return score
