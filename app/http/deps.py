"""Dependencies that routes of any domain may use."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import HTTPConnection

from app.core.config import Settings
from app.core.database import Database
from app.core.resources import Resources
from app.http.state import HttpState, state_of

# All of them are `async def`: FastAPI runs a plain function in a thread, which costs more than most routes.
# Those of hot routes depend on no others: resolving a dependency takes longer than running it.


async def get_resources(connection: HTTPConnection) -> Resources:
    """The resources that this process opened when it started; serves HTTP requests and WebSockets."""
    return state_of(connection, HttpState).resources


ResourcesDep = Annotated[Resources, Depends(get_resources)]


async def get_settings(resources: ResourcesDep) -> Settings:
    """The settings that this process was started with."""
    return resources.settings


async def get_database(connection: HTTPConnection) -> Database:
    """Access to Postgres, for a route that decides itself when to hold a connection."""
    return state_of(connection, HttpState).resources.database


SettingsDep = Annotated[Settings, Depends(get_settings)]
DatabaseDep = Annotated[Database, Depends(get_database)]


async def get_session(database: DatabaseDep) -> AsyncIterator[AsyncSession]:
    """A session in a transaction that is committed when the route returns and rolled back when it raises."""
    async with database.session() as session:
        yield session


# scope="function" commits before the response is sent. The default commits after it, and a client could then
# act on a response that the next request cannot see yet.
SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
