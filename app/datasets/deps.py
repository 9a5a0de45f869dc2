"""Dependencies of the routes that receive uploads and profile datasets."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from app.datasets.importer import DatasetImporter
from app.datasets.profiler import DatasetProfiler
from app.http.state import state_of
from app.quotas.deps import QuotasState


@dataclass(frozen=True, kw_only=True)
class DatasetsState(QuotasState):
    """The state of the process, with what uploads need."""

    importer: DatasetImporter
    profiler: DatasetProfiler


async def get_importer(connection: HTTPConnection) -> DatasetImporter:
    """The importer of this process."""
    return state_of(connection, DatasetsState).importer


async def get_profiler(connection: HTTPConnection) -> DatasetProfiler:
    """The profiler of this process."""
    return state_of(connection, DatasetsState).profiler


ImporterDep = Annotated[DatasetImporter, Depends(get_importer)]
ProfilerDep = Annotated[DatasetProfiler, Depends(get_profiler)]
