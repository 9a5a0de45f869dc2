"""A receiver of Alertmanager's notifications."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from fastapi import FastAPI

from tests.support.serving import serving

NOTIFIED_SECONDS: Final = 180.0


@dataclass(frozen=True)
class Notification:
    """One alert of a request, and when it came on the monotonic clock."""

    name: str
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]
    at: float


@dataclass
class Webhook:
    """Everything that was received."""

    url: str = ""
    received: list[Notification] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, status: str, name: str) -> Notification:
        """Wait for a notification that an alert is `firing` or `resolved`."""
        async with asyncio.timeout(NOTIFIED_SECONDS), self._news:
            while True:
                for notification in self.received:
                    if (notification.status, notification.name) == (status, name):
                        return notification
                await self._news.wait()

    @property
    def names(self) -> set[str]:
        """The alerts that fired."""
        return {notification.name for notification in self.received if notification.status == "firing"}

    async def receive(self, body: dict[str, Any]) -> None:
        """Take the notifications of a request."""
        async with self._news:
            for alert in body["alerts"]:
                labels = alert["labels"]
                self.received.append(
                    Notification(
                        labels["alertname"], alert["status"], labels, alert["annotations"], monotonic()
                    )
                )
            self._news.notify_all()


@asynccontextmanager
async def webhook() -> AsyncIterator[Webhook]:
    """Serve a receiver on a free port of the loopback."""
    receiver = Webhook()
    app = FastAPI()
    app.post("/")(receiver.receive)
    async with serving(app) as url:
        receiver.url = url
        yield receiver
