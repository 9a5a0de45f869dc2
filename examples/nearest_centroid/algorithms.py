"""What users see: the algorithm's name, task and hyperparameters."""

from typing import Final

from pydantic import Field

from app.jobs.algorithms.catalogue import Algorithm
from app.jobs.algorithms.hyperparameters import Hyperparameters
from app.models.versions import Task


class NearestCentroidParams(Hyperparameters):
    """Learning vector quantization (LVQ1) with one prototype for each class."""

    step: float = Field(0.05, gt=0, lt=1, description="How far a centroid moves; it shrinks with each epoch.")


ALGORITHMS: Final = {
    "nearest_centroid": Algorithm(
        "nearest_centroid",
        (Task.CLASSIFICATION,),
        "One point for each class; quick, and easy to explain where classes are compact.",
        NearestCentroidParams,
    )
}
