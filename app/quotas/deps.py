"""What the routes of quotas need of the process."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends
from starlette.requests import HTTPConnection

from app.auth.deps import AuthState
from app.http.state import state_of

CountStreams = Callable[[UUID], int]


@dataclass(frozen=True, kw_only=True)
class QuotasState(AuthState):
    """The state of the process, with what only the streams know."""

    count_streams: CountStreams


async def get_count_streams(connection: HTTPConnection) -> CountStreams:
    """The function that counts the open streams of a user on this process."""
    return state_of(connection, QuotasState).count_streams


CountStreamsDep = Annotated[CountStreams, Depends(get_count_streams)]
