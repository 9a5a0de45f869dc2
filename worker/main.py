"""One worker process: start it, run jobs until a signal, drain and stop."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog

from app.core import background, event_loop, health_server, ids, metrics, tracing
from app.core.backoff import delay_seconds
from app.core.component import Component
from app.core.config import Settings
from app.core.errors import ConfigurationError, DatabaseUnavailable
from app.core.mail import Mailer, MailServer
from app.core.resources import Resources, open_resources
from app.core.sandbox import confinement
from app.jobs import completions, lane
from app.jobs.counting import JobSeries
from app.jobs.kinds import registry
from app.jobs.kinds.kind import Kind
from app.jobs.workers import commands as workers
from app.jobs.workers.commands import WorkerIdentity
from app.maintenance.maintenance import Maintenance
from app.quotas.service import StorageQuota
from worker import engines, gpus, inside_handlers
from worker.children.inside import InsideHandler
from worker.claimer import Claimer
from worker.consumer import Consumer
from worker.engines.engine import Engine
from worker.files import Files
from worker.folders import default_folder
from worker.handler_log import HandlerLogs
from worker.inside_handlers import INSIDE
from worker.lease import Lease
from worker.load import LoadMeter
from worker.readiness import Readiness
from worker.report_writer import ReportWriter
from worker.run_next import Runner

RELEASE_SECONDS: Final = 4.0
"""Timeout for releasing the jobs that still run after the drain."""

log = structlog.get_logger(__name__)


async def work(settings: Settings) -> None:
    """Run a worker until SIGTERM or SIGINT, then drain it. Waits for Postgres and Redis if they are down."""
    stopping = asyncio.Event()
    readiness = Readiness(is_stopping=stopping.is_set)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    predict_slots = _predict_slots(settings)
    metrics.SLOTS.set(settings.worker_slots + predict_slots)
    metrics.SLOTS_BUSY.set(0)
    metrics.CHILD_MEMORY_LIMIT_BYTES.set(settings.child_memory_limit_bytes)
    kinds = registry.load(settings.plugins)
    _ensure_all_permitted(kinds, settings)
    await gpus.ensure_usable(settings)
    async with (
        tracing.running(tracing.prepare(settings, Component.WORKER)),
        health_server.serving(settings.worker_port, lambda: readiness.status, setting="WORKER_PORT"),
        background.running(event_loop.measure_lag_forever()),
        engines.create(settings, settings.worker_slots + predict_slots) as engine,
        open_resources(settings) as resources,
        Files(
            resources.storage, settings.worker_dir or default_folder(), settings.worker_cache_bytes
        ) as files,
    ):
        _ensure_all_handled(kinds, engine.kinds)
        async with _mailer(settings) as mailer:
            inside = inside_handlers.inside(mailer)
            identity = _identity(settings, [kind for kind in kinds if kind in inside or kind not in INSIDE])
            await _serve(resources, identity, kinds, engine, files, inside, stopping, readiness)
    log.info("worker_stopped")


@asynccontextmanager
async def _mailer(settings: Settings) -> AsyncIterator[Mailer | None]:
    """Open the mailer; None if no SMTP server is set."""
    if not settings.sends_mail:
        yield None
        return
    async with Mailer(MailServer.from_settings(settings)) as mailer:
        yield mailer


def _ensure_all_permitted(kinds: Mapping[str, Kind], settings: Settings) -> None:
    """Check that each kind has the permissions that it declares. Raises ConfigurationError."""
    for kind in kinds.values():
        if missing := kind.permissions.difference(settings.child_permissions):
            names = ", ".join(sorted(missing))
            raise ConfigurationError(
                f"CHILD_PERMISSIONS: jobs of kind {kind.name!r} need {names}; add it or remove the plugin"
            )


def _ensure_all_handled(kinds: Mapping[str, Kind], handled: Collection[str] | None) -> None:
    """Check that each kind has a handler, unless no child has started yet. Raises ConfigurationError."""
    if handled is None:
        return
    in_children = kinds.keys() - INSIDE.keys()
    if missing := sorted(in_children - set(handled)):
        names = ", ".join(missing)
        raise ConfigurationError(
            f"PLUGINS: no handler for jobs of kind {names}; add it to the plugin's HANDLERS"
        )
    if missing := sorted(set(handled) - in_children):
        names = ", ".join(missing)
        raise ConfigurationError(f"PLUGINS: no kind for the handler of {names}; add it to the plugin's KINDS")


async def _serve(
    resources: Resources,
    identity: WorkerIdentity,
    kinds: Mapping[str, Kind],
    engine: Engine,
    files: Files,
    inside: Mapping[str, InsideHandler],
    stopping: asyncio.Event,
    readiness: Readiness,
) -> None:
    structlog.contextvars.bind_contextvars(worker=identity.name)
    settings = resources.settings
    report_writer = ReportWriter(
        resources.database,
        resources.hints,
        identity.id,
        StorageQuota.from_settings(settings),
    )
    handler_logs = HandlerLogs(resources.database)
    lease = Lease(
        identity,
        settings.database_url,
        settings.heartbeat_seconds,
        report_writer,
        lease_seconds=settings.lease_seconds,
        measure_load=LoadMeter(lambda: engine.pids).measure,
        engine_state=lambda: engine.state,
    )
    readiness.holds_lease = lambda: lease.is_current
    claimer = Claimer(
        resources.database,
        resources.hints,
        identity.id,
        identity.kinds,
        max_running=settings.max_running_jobs_per_user,
        order=settings.claim_order,
        slot_gpus=identity.gpus,
    )
    runner = Runner(
        settings,
        kinds,
        claimer,
        report_writer,
        lease,
        engine,
        files,
        handler_logs,
        completions.load(settings.plugins, kinds),
        inside,
    )
    consumers = [
        Consumer(
            pool=resources.redis_pool,
            availability=resources.redis,
            hints=resources.hints,
            queues=queues,
            slots=slots,
            run_next=runner.run_next,
        )
        for queues, slots in ((identity.queues, identity.slots), ((lane.QUEUE,), identity.predict_slots))
        if slots
    ]
    maintenance = Maintenance(resources, kinds, JobSeries(kinds, identity.queues))
    async with background.running(
        resources.database.warm(),
        report_writer.write_forever(),
        handler_logs.flush_forever(),
        maintenance.run_forever(),
    ):
        if not await _register(lease, stopping):
            return
        log.info("children_confined", **confinement.mechanisms())
        log.info(
            "worker_started",
            queues=identity.queues,
            kinds=identity.kinds,
            slots=identity.slots,
            predict_slots=identity.predict_slots,
            gpus=identity.gpus,
        )
        async with background.running(
            lease.keep_forever(),
            lease.listen_forever(resources.redis_pool, resources.redis, resources.signer),
        ):
            async with background.running(*(consumer.consume_forever() for consumer in consumers)):
                await stopping.wait()
            await _drain(resources, identity, runner, consumers)
        await _deregister(resources, identity)


async def _register(lease: Lease, stopping: asyncio.Event) -> bool:
    """Register the worker, with retries while Postgres is down. Returns False if it must stop first."""
    failures = 0
    while not stopping.is_set():
        try:
            await lease.register()
        except DatabaseUnavailable as error:
            failures += 1
            if failures == 1:
                log.warning("waiting_for_postgres", error=repr(error.__cause__))
            await asyncio.sleep(delay_seconds(failures, base=0.1, maximum=2.0))
        else:
            return True
    return False


async def _drain(
    resources: Resources, identity: WorkerIdentity, runner: Runner, consumers: Sequence[Consumer]
) -> None:
    """Let running jobs stop at their next commit. Release those that do not within DRAIN_SECONDS."""
    log.info("worker_draining", running=_running(consumers), seconds=resources.settings.drain_seconds)
    runner.drain()
    try:
        async with resources.database.connection() as connection:
            await workers.mark_stopping(connection, identity.id)
    except DatabaseUnavailable:
        log.warning("drain_not_recorded")
    if await are_idle_within(resources.settings.drain_seconds, consumers):
        return
    log.info("worker_releasing", running=_running(consumers))
    runner.release_all()
    if not await are_idle_within(RELEASE_SECONDS, consumers):
        log.warning("jobs_left_to_rescue", running=_running(consumers))
        tasks = [task for consumer in consumers for task in consumer.tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _running(consumers: Iterable[Consumer]) -> int:
    return sum(len(consumer.tasks) for consumer in consumers)


async def are_idle_within(seconds: float, consumers: Sequence[Consumer]) -> bool:
    """Wait until no slot of any consumer is in use; return whether that took less than `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            for consumer in consumers:
                await consumer.wait_idle()
    except TimeoutError:
        return False
    return True


async def _deregister(resources: Resources, identity: WorkerIdentity) -> None:
    try:
        async with resources.database.connection() as connection:
            await workers.remove(connection, identity.id)
    except DatabaseUnavailable:
        log.warning("worker_not_deregistered")


def _identity(settings: Settings, kinds: Iterable[str]) -> WorkerIdentity:
    host = socket.gethostname()
    return WorkerIdentity(
        id=ids.new_id(),
        name=settings.worker_name or f"{host}-{os.getpid()}",
        host=host,
        pid=os.getpid(),
        queues=lane.queues_of_worker(settings.worker_queues),
        kinds=tuple(kinds),
        slots=settings.worker_slots,
        predict_slots=_predict_slots(settings),
        gpus=settings.slot_gpus,
    )


def _predict_slots(settings: Settings) -> int:
    return settings.worker_predict_slots if lane.serves_lane(settings.worker_queues) else 0
