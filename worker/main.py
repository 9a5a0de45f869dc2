"""One worker process: start it, run jobs until a signal, drain and stop."""

import asyncio
import os
import signal
import socket
from collections.abc import Mapping
from typing import Final

import structlog

from app.core import background, event_loop, health_server, ids, metrics, tracing
from app.core.backoff import delay_seconds
from app.core.component import Component
from app.core.config import Settings
from app.core.errors import ConfigurationError, DatabaseUnavailable
from app.core.resources import Resources, open_resources
from app.core.sandbox import confinement
from app.jobs import completions
from app.jobs.counting import JobSeries
from app.jobs.kinds import registry
from app.jobs.kinds.kind import Kind
from app.jobs.workers import commands as workers
from app.jobs.workers.commands import WorkerIdentity
from app.maintenance.maintenance import Maintenance
from app.quotas.service import StorageQuota
from worker import plugins
from worker.children.pool import ChildPool
from worker.claimer import Claimer
from worker.consumer import Consumer
from worker.files import Files, default_folder
from worker.lease import Lease
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
    metrics.SLOTS.set(settings.worker_slots)
    metrics.SLOTS_BUSY.set(0)
    metrics.CHILD_MEMORY_LIMIT_BYTES.set(settings.child_memory_limit_bytes)
    kinds = registry.load(settings.plugins)
    _ensure_all_permitted(kinds, settings)
    async with (
        tracing.running(tracing.prepare(settings, Component.WORKER)),
        health_server.serving(settings.worker_port, lambda: readiness.status, setting="WORKER_PORT"),
        background.running(event_loop.measure_lag_forever()),
        ChildPool(
            slots=settings.worker_slots,
            memory_limit_bytes=settings.child_memory_limit_bytes,
            max_jobs_per_child=settings.child_max_jobs,
            max_file_bytes=settings.child_max_file_bytes,
            max_scratch_bytes=settings.child_max_scratch_bytes,
            handlers=plugins.BUILT_IN_HANDLERS,
            plugins=settings.plugins,
            preload=plugins.HEAVY if settings.child_preload else (),
        ) as children,
        open_resources(settings) as resources,
        Files(
            resources.storage, settings.worker_dir or default_folder(), settings.worker_cache_bytes
        ) as files,
    ):
        _ensure_all_handled(kinds, children)
        await _serve(resources, _identity(settings, kinds), kinds, children, files, stopping, readiness)
    log.info("worker_stopped")


def _ensure_all_permitted(kinds: Mapping[str, Kind], settings: Settings) -> None:
    """Check that each kind has the permissions that it declares. Raises ConfigurationError."""
    for kind in kinds.values():
        if missing := kind.permissions.difference(settings.child_permissions):
            names = ", ".join(sorted(missing))
            raise ConfigurationError(
                f"CHILD_PERMISSIONS: jobs of kind {kind.name!r} need {names}; add it or remove the plugin"
            )


def _ensure_all_handled(kinds: Mapping[str, Kind], children: ChildPool) -> None:
    """Check that each kind has a handler. Raises ConfigurationError."""
    if missing := sorted(kinds.keys() - set(children.kinds)):
        names = ", ".join(missing)
        raise ConfigurationError(
            f"PLUGINS: no handler for jobs of kind {names}; add it to the plugin's HANDLERS"
        )
    if missing := sorted(set(children.kinds) - kinds.keys()):
        names = ", ".join(missing)
        raise ConfigurationError(f"PLUGINS: no kind for the handler of {names}; add it to the plugin's KINDS")


async def _serve(
    resources: Resources,
    identity: WorkerIdentity,
    kinds: Mapping[str, Kind],
    children: ChildPool,
    files: Files,
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
    lease = Lease(
        identity,
        settings.database_url,
        settings.heartbeat_seconds,
        report_writer,
        lease_seconds=settings.lease_seconds,
    )
    readiness.holds_lease = lambda: lease.is_current
    claimer = Claimer(
        resources.database,
        resources.hints,
        identity.id,
        identity.kinds,
        max_running=settings.max_running_jobs_per_user,
    )
    runner = Runner(
        settings,
        kinds,
        claimer,
        report_writer,
        lease,
        children,
        files,
        completions.load(settings.plugins, kinds),
    )
    consumer = Consumer(
        pool=resources.redis_pool,
        availability=resources.redis,
        queues=identity.queues,
        slots=identity.slots,
        run_next=runner.run_next,
    )
    maintenance = Maintenance(resources, JobSeries(kinds, identity.queues))
    async with background.running(report_writer.write_forever(), maintenance.run_forever()):
        if not await _register(lease, stopping):
            return
        log.info("children_confined", **confinement.mechanisms())
        log.info("worker_started", queues=identity.queues, kinds=identity.kinds, slots=identity.slots)
        async with background.running(
            lease.keep_forever(),
            lease.listen_forever(resources.redis_pool, resources.redis, resources.signer),
        ):
            async with background.running(consumer.consume_forever()):
                await stopping.wait()
            await _drain(resources, identity, runner, consumer)
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


async def _drain(resources: Resources, identity: WorkerIdentity, runner: Runner, consumer: Consumer) -> None:
    """Let running jobs stop at their next commit. Release those that do not within DRAIN_SECONDS."""
    log.info("worker_draining", running=len(consumer.tasks), seconds=resources.settings.drain_seconds)
    runner.drain()
    try:
        async with resources.database.connection() as connection:
            await workers.mark_stopping(connection, identity.id)
    except DatabaseUnavailable:
        log.warning("drain_not_recorded")
    if await _is_idle_within(resources.settings.drain_seconds, consumer):
        return
    log.info("worker_releasing", running=len(consumer.tasks))
    runner.release_all()
    if not await _is_idle_within(RELEASE_SECONDS, consumer):
        log.warning("jobs_left_to_rescue", running=len(consumer.tasks))
        for task in consumer.tasks.values():
            task.cancel()
        await asyncio.gather(*consumer.tasks.values(), return_exceptions=True)


async def _is_idle_within(seconds: float, consumer: Consumer) -> bool:
    try:
        async with asyncio.timeout(seconds):
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


def _identity(settings: Settings, kinds: Mapping[str, Kind]) -> WorkerIdentity:
    host = socket.gethostname()
    return WorkerIdentity(
        id=ids.new_id(),
        name=settings.worker_name or f"{host}-{os.getpid()}",
        host=host,
        pid=os.getpid(),
        queues=settings.worker_queues,
        kinds=tuple(kinds),
        slots=settings.worker_slots,
    )
