"""How a gated job goes."""

import time
from pathlib import Path
from typing import Final

import msgspec

from tests.gated.kinds import GatedParams
from worker.context import Handler, JobContext, Outcome, Yielded

LOOK_SECONDS: Final = 0.01
LEVELS: Final = ("debug", "info", "warning", "error")


def gated(job: JobContext) -> Outcome:
    """Commit a batch for each byte of the file."""
    params = msgspec.convert(job.params, GatedParams)
    gate = Path(params.gate_path)
    for batch in range(job.resume.batch, params.batches):
        for number in range(params.lines):
            job.log(f"batch {batch}, line {number} {params.text}", level=LEVELS[number % len(LEVELS)])
        while gate.stat().st_size <= batch:
            if job.stop_requested and not params.is_deaf:
                return Yielded()
            time.sleep(LOOK_SECONDS)
        job.commit([{"label": "done", "score": batch / 8}], step=f"Batch {batch + 1}/{params.batches}")
    return {"total": params.batches}


HANDLERS: Final[dict[str, Handler]] = {"gated": gated}
