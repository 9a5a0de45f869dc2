"""Dependencies of the routes that receive uploads."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from app.auth.deps import AuthState
from app.datasets.importer import DatasetImporter
from app.http.state import state_of


@dataclass(frozen=True, kw_only=True)
class DatasetsState(AuthState):
    """The state of the process, with what uploads need."""

    importer: DatasetImporter


async def get_importer(connection: HTTPConnection) -> DatasetImporter:
    """The importer of this process."""
    return state_of(connection, DatasetsState).importer


ImporterDep = Annotated[DatasetImporter, Depends(get_importer)]
