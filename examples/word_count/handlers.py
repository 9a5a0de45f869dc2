"""The worker's half: the handler, which runs in a child process."""

import json
import re
from collections import Counter
from typing import Final

import msgspec

from examples.word_count.kinds import Params
from worker.context import Handler, JobContext, JobError, Outcome, Yielded

WORD: Final = re.compile(r"\w+")


def word_count(job: JobContext) -> Outcome:
    """Count text by text. The checkpoint of each batch holds the counts so far."""
    params = msgspec.convert(job.params, Params)
    texts = job.rows()
    counted = _counted_before(job)
    for first in range(job.resume.done, len(texts), params.batch_size):
        if job.stop_requested:
            return Yielded()
        batch = texts[first : first + params.batch_size]
        job.commit(
            [_count(text, counted) for text in batch],
            step=f"Texts {first + 1} to {first + len(batch)} of {len(texts)}",
            checkpoint=json.dumps(counted).encode(),
            is_last=first + len(batch) == len(texts),
        )
    job.log(f"Counted {counted.total()} words; {len(counted)} are different.")
    most_common = [{"word": word, "count": count} for word, count in counted.most_common(params.top)]
    return {"words": counted.total(), "different_words": len(counted), "most_common": most_common}


def _counted_before(job: JobContext) -> Counter[str]:
    """Return what earlier attempts counted up to their last commit."""
    checkpoint = job.resume.checkpoint
    return Counter() if checkpoint is None else Counter(json.loads(checkpoint))


def _count(text: str, counted: Counter[str]) -> dict[str, int]:
    """Return the output for one text, and add its words to the counts of all."""
    if not isinstance(text, str):
        raise JobError("not_a_text", f"{text!r} is not a text")
    words = WORD.findall(text.lower())
    counted.update(words)
    return {"words": len(words), "different_words": len(set(words))}


HANDLERS: Final[dict[str, Handler]] = {"word_count": word_count}
