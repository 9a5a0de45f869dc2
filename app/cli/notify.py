"""`headrace notify`: the deliverer alone, so that only this process needs a way to other networks."""

import asyncio
import signal
from functools import partial

import structlog

from app.cli.output import print_json
from app.core import background, event_loop, hardening, health_server, logging, metrics
from app.core.component import Component
from app.core.config import Settings, ensure_secret_key, load_settings
from app.core.database import open_database
from app.notifications.channels.registry import open_channels
from app.notifications.deliverer import Deliverer
from app.notifications.sealing import Sealing

log = structlog.get_logger(__name__)


async def run(*, as_json: bool) -> None:
    """Deliver notifications until SIGTERM or SIGINT. Raises ConfigurationError."""
    settings = load_settings()
    hardening.drop_secrets()
    logging.configure(settings, Component.NOTIFY)
    ensure_secret_key(settings)
    metrics.describe_process(Component.NOTIFY)
    await _deliver(settings, as_json=as_json)


async def _deliver(settings: Settings, *, as_json: bool) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with (
        open_database(
            settings.database_url,
            pool_size=settings.database_pool_size,
            connect_seconds=settings.database_connect_seconds,
        ) as database,
        open_channels(settings) as channels,
    ):
        deliverer = Deliverer(database, channels, Sealing(settings), public_url=settings.public_url)
        async with (
            health_server.serving(
                settings.metrics_port, partial(_readiness, deliverer, stopping), setting="METRICS_PORT"
            ),
            background.running(event_loop.measure_lag_forever()),
            deliverer.running(),
        ):
            log.info("notify_started", channels=sorted(channels))
            if as_json:
                print_json({"channels": sorted(channels)})
            await stopping.wait()
    log.info("notify_stopped")


def _readiness(deliverer: Deliverer, stopping: asyncio.Event) -> str:
    if stopping.is_set():
        return "stopping"
    return "ok" if deliverer.is_healthy else "late"
