"""What the routes of datasets ask for beside what every route may ask for."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from app.datasets.intake import Intake


async def get_intake(connection: HTTPConnection) -> Intake:
    """What takes in uploads."""
    intake: Intake = connection.app.state.intake
    return intake


IntakeDep = Annotated[Intake, Depends(get_intake)]
