"""Routes of `/algorithms`."""

from fastapi import APIRouter

from app.auth.deps import ModelsReader
from app.http.deps import SettingsDep
from app.jobs.algorithms import catalogue
from app.jobs.algorithms.schemas import AlgorithmList, algorithm_view

router = APIRouter(prefix="/algorithms", tags=["models"])


@router.get("", operation_id="listAlgorithms", summary="List the algorithms")
async def list_algorithms(user: ModelsReader, settings: SettingsDep) -> AlgorithmList:
    """Return the algorithms for training jobs, when to use each, and the schema of its `params`."""
    algorithms = catalogue.load(settings.plugins)
    return AlgorithmList(items=[algorithm_view(algorithm) for algorithm in algorithms.values()])
