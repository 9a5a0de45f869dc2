"""Dependencies of the routes that receive uploads."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from app.datasets.importer import DatasetImporter
from app.http.state import state_of
from app.quotas.deps import QuotasState


@dataclass(frozen=True, kw_only=True)
class DatasetsState(QuotasState):
    """The state of the process, with what uploads need."""

    importer: DatasetImporter


async def get_importer(connection: HTTPConnection) -> DatasetImporter:
    """The importer of this process."""
    return state_of(connection, DatasetsState).importer


ImporterDep = Annotated[DatasetImporter, Depends(get_importer)]
