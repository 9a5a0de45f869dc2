"""What the routes of datasets ask for beside what every route may ask for."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from app.datasets.importer import DatasetImporter


async def get_importer(connection: HTTPConnection) -> DatasetImporter:
    """What takes in uploads."""
    importer: DatasetImporter = connection.app.state.importer
    return importer


IntakeDep = Annotated[DatasetImporter, Depends(get_importer)]
