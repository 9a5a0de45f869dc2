"""Fixtures of notifications: a receiver on loopback, and a deliverer that may reach it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import pytest

from app.core.config import Settings
from app.core.database import Database
from app.notifications.channels.channel import Channel
from app.notifications.channels.registry import open_channels
from app.notifications.deliverer import Deliverer
from app.notifications.sealing import Sealing
from tests.notifications.receiver import Receiver, receiving
from tests.support import jobs

LOOPBACK = ("127.0.0.0/8",)
PUBLIC_URL = "https://ml.example.com"

MakeDeliverer = Callable[..., Deliverer]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """As in other tests, and webhooks may go to loopback."""
    return settings.model_copy(update={"webhook_allowed_networks": LOOPBACK, "public_url": PUBLIC_URL})


@pytest.fixture
def sealing(settings: Settings) -> Sealing:
    return Sealing(settings)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest.fixture
async def owner_id(database: Database) -> UUID:
    return await jobs.user(database)


@pytest.fixture
async def channels(settings: Settings) -> AsyncIterator[dict[str, Channel]]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(open_channels(settings))


@pytest.fixture
def make_deliverer(database: Database, channels: dict[str, Channel], sealing: Sealing) -> MakeDeliverer:
    """Return a function that creates a deliverer; tests look and settle by hand."""

    def make(**options: Any) -> Deliverer:
        chosen = {"channels": channels, "sealing": sealing, "public_url": PUBLIC_URL, **options}
        return Deliverer(database, chosen.pop("channels"), chosen.pop("sealing"), **chosen)

    return make


@pytest.fixture
def deliverer(make_deliverer: MakeDeliverer) -> Deliverer:
    return make_deliverer()
