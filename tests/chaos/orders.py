"""The work that a drill asks for, and what has to come of it."""

import random
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from tests.kinds_for_tests.kinds import prediction

WORDS: Final = ("good", "bad", "great", "awful", "blue", "lovely", "horrible", "fine", "table", "chair")
REAL_WORK_MS: Final = 25
"""More than a child may compute without waiting for its commits."""

_analyzer: Final = SentimentIntensityAnalyzer()


@dataclass
class Order:
    """One request for work, and how it went on."""

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
        """Whether each of its batches takes long enough for the promise about rework to be exact."""
        return self.kind == "count" and self.body["work_ms"] >= REAL_WORK_MS

    def expects(self, row: int, found: Any) -> bool:
        """Whether this is the right output for a row."""
        if self.kind == "count":
            return bool(found == prediction(row))
        return bool(found["scores"]["compound"] == _compound(self.body["texts"][row]))


def draw(dice: random.Random, number: int, seed: int, counter: Path) -> Order:
    """Any job: tiny or a few seconds long, cancelled or not, followed or not."""
    is_count = dice.random() < 0.7
    is_followed = dice.random() < 0.2
    cancel_after = dice.choice([0.0, 0.1, 0.5, 1.5]) if dice.random() < 0.12 else None
    is_retried = cancel_after is not None and not is_followed and dice.random() < 0.5
    return Order(
        key=f"{seed}-{number}",
        kind="count" if is_count else "batch_predict",
        body=_count(dice, counter) if is_count else _texts(dice),
        is_sent_twice=dice.random() < 0.1,
        is_followed=is_followed,
        cancel_after=cancel_after,
        retry_from_start=dice.random() < 0.5 if is_retried else None,
    )


def _count(dice: random.Random, counter: Path) -> dict[str, Any]:
    return {
        "batches": dice.choice([1, 2, 3, 5, 8, 13]),
        "rows_per_batch": dice.randint(1, 3),
        "work_ms": 0 if dice.random() < 0.3 else dice.randint(REAL_WORK_MS, 60),
        "counter_path": str(counter),
        "max_attempts": dice.choice([3, 10, 20]),
        "priority": dice.choice([*["normal"] * 8, "low", "high", "critical"]),
    }


def _texts(dice: random.Random) -> dict[str, Any]:
    count = dice.choice([1, 5, 20, 60])
    return {
        "texts": [" ".join(dice.choices(WORDS, k=4)) for _ in range(count)],
        "batch_size": dice.choice([1, 7, 10]),
        "max_attempts": dice.choice([3, 10, 20]),
    }


@cache
def _compound(text: str) -> float:
    """VADER's own score, computed here."""
    score: float = _analyzer.polarity_scores(text)["compound"]
    return score
