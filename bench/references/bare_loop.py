"""Naive loop: one model, all rows in memory, one process, nothing stored.

`python -m bench.references.bare_loop ROWS BATCH` prints the seconds that the loop took.
"""

import sys
import time

from app.jobs.params import ModelReference
from bench.texts import reviews
from worker.runtimes.vader import VaderRuntime


def run(rows: int, batch_size: int) -> float:
    """Return the elapsed seconds, excluding the time to generate the texts."""
    texts = reviews(rows)
    model = VaderRuntime().load(ModelReference("sentiment", 1, "vader"), None)
    model.predict(texts[:100])
    began = time.perf_counter()
    predictions = []
    for first in range(0, rows, batch_size):
        predictions += model.predict(texts[first : first + batch_size])
    seconds = time.perf_counter() - began
    assert len(predictions) == rows
    return seconds


if __name__ == "__main__":
    print(run(int(sys.argv[1]), int(sys.argv[2])))
