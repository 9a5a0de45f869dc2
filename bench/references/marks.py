"""Helpers of the reference jobs: record a job's start and process, and simulate work."""

import os
import time

from redis import Redis
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from bench.texts import reviews

BUSY_SECONDS = 3.0
"""Long enough to kill the worker during the job."""


def mark(system: str, job: str) -> None:
    """Record in Redis that the job has started now, in this process."""
    with Redis(unix_socket_path=os.environ["REDIS_SOCKET"]) as client:
        client.rpush(f"started:{system}:{job}", f"{time.time()} {os.getpid()}")


def note(system: str, owner: str) -> None:
    """Record in Redis whose job has started."""
    with Redis(unix_socket_path=os.environ["REDIS_SOCKET"]) as client:
        client.rpush(f"fairness:{system}", owner)


def work(seconds: float) -> None:
    """Run predictions for `seconds`."""
    texts, model = reviews(100), SentimentIntensityAnalyzer()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for text in texts:
            model.polarity_scores(text)
