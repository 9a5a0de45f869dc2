"""The hub, for routes that stream."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from app.streams.hub import Hub


async def get_hub(connection: HTTPConnection) -> Hub:
    """The hub of this process."""
    hub: Hub = connection.app.state.hub
    return hub


HubDep = Annotated[Hub, Depends(get_hub)]
