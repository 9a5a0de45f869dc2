"""Texts as customers write them: the same ones in every run."""

from typing import Final

from app.cli.demo_texts import make_texts

SMALL_JOB_TEXTS: Final = 10
"""What a small job is: so many texts, one batch."""


def reviews(count: int) -> list[str]:
    """So many different texts."""
    return make_texts(count, seed=20)


def small_job() -> list[str]:
    """The texts of one small job."""
    return reviews(SMALL_JOB_TEXTS)
