"""How a job of a reference says that it has started, and on which process; and the work that it does."""

import os
import time

from redis import Redis
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from bench.texts import reviews

BUSY_SECONDS = 3.0
"""Longer than it takes to be killed over."""


def mark(system: str, job: str) -> None:
    """Note that the job starts now, here."""
    with Redis(unix_socket_path=os.environ["REDIS_SOCKET"]) as client:
        client.rpush(f"started:{system}:{job}", f"{time.time()} {os.getpid()}")


def work(seconds: float) -> None:
    """Predict for so long, as a job would."""
    texts, model = reviews(100), SentimentIntensityAnalyzer()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for text in texts:
            model.polarity_scores(text)
