"""What a route may ask for, whatever its domain."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import HTTPConnection

from app.core.config import Settings
from app.core.database import Database
from app.core.resources import Resources

# All of them are `async def`: FastAPI runs a plain function in a thread, which costs more than most routes.
# What hot routes ask for asks for nothing in turn: to resolve a dependency takes longer than to run it.


async def get_resources(connection: HTTPConnection) -> Resources:
    """What this process opened at its start; serves HTTP requests and WebSockets."""
    resources: Resources = connection.app.state.resources
    return resources


ResourcesDep = Annotated[Resources, Depends(get_resources)]


async def get_settings(resources: ResourcesDep) -> Settings:
    """The settings this process was started with."""
    return resources.settings


async def get_database(connection: HTTPConnection) -> Database:
    """The two doors to Postgres, for a route that decides itself when to hold a connection."""
    resources: Resources = connection.app.state.resources
    return resources.database


SettingsDep = Annotated[Settings, Depends(get_settings)]
DatabaseDep = Annotated[Database, Depends(get_database)]


async def get_session(database: DatabaseDep) -> AsyncIterator[AsyncSession]:
    """A session whose transaction is the route: committed when it returns, rolled back when it raises."""
    async with database.session() as session:
        yield session


# scope="function" commits before the response is sent. The default commits after it,
# and a client could then act on an answer that the next request cannot see yet.
SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
