"""The worker's half: count the labels, and hand over the model's file as an artifact."""

from collections import Counter
from typing import Final

import msgspec

from examples.fit_constant.kinds import Params
from worker.context import Handler, JobContext, Outcome

ARTIFACT: Final = "model"


def fit_constant(job: JobContext) -> Outcome:
    """Write the share of each label into a constant model. All labels are one batch, without outputs."""
    params = msgspec.convert(job.params, Params)
    labels = job.rows()
    scores = {label: count / len(labels) for label, count in Counter(labels).most_common()}
    path = job.scratch / "model.json"
    path.write_bytes(msgspec.json.encode({"format": "constant", "columns": params.columns, "scores": scores}))
    job.artifact(ARTIFACT, path)
    return {"classes": list(scores), "labels": len(labels)}


HANDLERS: Final[dict[str, Handler]] = {"fit_constant": fit_constant}
