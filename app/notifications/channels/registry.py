"""Channels by name: the built-in ones, and those that plugins add."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from operator import attrgetter
from typing import Final

from app.core.config import Settings
from app.core.plugins import ExtensionPoint
from app.notifications.channels.channel import Channel, OpenChannel
from app.notifications.channels.chat import ChatChannel
from app.notifications.channels.email import EmailChannel
from app.notifications.channels.webhook import WebhookChannel

BUILT_IN: Final[Mapping[str, OpenChannel]] = {
    "chat": ChatChannel,
    "email": EmailChannel,
    "webhook": WebhookChannel,
}

CHANNELS: Final = ExtensionPoint[OpenChannel]("channels", "channel", callable, attrgetter("name"))


def load(plugins: Sequence[str]) -> dict[str, OpenChannel]:
    """Return how to open each channel. Raises ConfigurationError if a plugin is wrong."""
    return {**BUILT_IN, **CHANNELS.load(plugins, taken=BUILT_IN)}


@asynccontextmanager
async def open_channels(settings: Settings) -> AsyncIterator[dict[str, Channel]]:
    """Open all channels during the body. Raises ConfigurationError if a plugin is wrong."""
    async with AsyncExitStack() as stack:
        channels: dict[str, Channel] = {}
        for name, open_channel in load(settings.plugins).items():
            channels[name] = open_channel(settings)
            stack.push_async_callback(channels[name].aclose)
        yield channels
