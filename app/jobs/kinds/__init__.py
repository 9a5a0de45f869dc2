"""The kinds of jobs, as the API knows them; their other half, the handler, lives in `worker.handlers`."""

from typing import Final

from app.jobs.kinds import batch_predict
from app.jobs.kinds.kind import Kind

KINDS: Final[dict[str, Kind]] = {
    batch_predict.KIND.name: batch_predict.KIND,
}
