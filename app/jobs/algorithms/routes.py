"""The algorithms over HTTP."""

from fastapi import APIRouter

from app.auth.deps import CurrentUser
from app.jobs.algorithms.catalogue import ALGORITHMS
from app.jobs.algorithms.schemas import AlgorithmList, algorithm_view

router = APIRouter(prefix="/algorithms", tags=["models"])


@router.get("", operation_id="listAlgorithms", summary="What models can be trained with")
async def list_algorithms(user: CurrentUser) -> AlgorithmList:
    """The names that a training job takes, what each is good for, and the schema of its `params`."""
    return AlgorithmList(items=[algorithm_view(algorithm) for algorithm in ALGORITHMS.values()])
