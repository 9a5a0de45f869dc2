"""Dependencies of the routes of notifications."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from app.http.state import state_of
from app.jobs.deps import JobsState
from app.notifications.channels.channel import Channel
from app.notifications.deliverer import Deliverer
from app.notifications.links import Links
from app.notifications.sealing import Sealing


@dataclass(frozen=True, kw_only=True)
class NotificationsState(JobsState):
    """The state of the process, with what notifications need. The deliverer may run elsewhere."""

    channels: Mapping[str, Channel]
    sealing: Sealing
    deliverer: Deliverer


async def get_channels(connection: HTTPConnection) -> Mapping[str, Channel]:
    """The channels by name."""
    return state_of(connection, NotificationsState).channels


async def get_sealing(connection: HTTPConnection) -> Sealing:
    """What seals the secrets of subscriptions."""
    return state_of(connection, NotificationsState).sealing


async def get_deliverer(connection: HTTPConnection) -> Deliverer:
    """The deliverer of this process."""
    return state_of(connection, NotificationsState).deliverer


ChannelsDep = Annotated[Mapping[str, Channel], Depends(get_channels)]
SealingDep = Annotated[Sealing, Depends(get_sealing)]
DelivererDep = Annotated[Deliverer, Depends(get_deliverer)]


async def get_links(connection: HTTPConnection) -> Links:
    """What makes and verifies links in messages."""
    state = state_of(connection, NotificationsState)
    return Links(state.sealing, state.resources.settings.public_url)


LinksDep = Annotated[Links, Depends(get_links)]
