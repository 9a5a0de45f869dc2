"""Product reviews as input texts, the same in every run."""

from typing import Final

from app.cli.demo_texts import make_texts

SMALL_JOB_TEXTS: Final = 10
"""Number of texts of a small job, which is one batch."""


def reviews(count: int) -> list[str]:
    """Return `count` distinct texts."""
    return make_texts(count, seed=20)


def small_job() -> list[str]:
    """Return the texts of one small job."""
    return reviews(SMALL_JOB_TEXTS)
