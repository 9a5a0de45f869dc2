"""The whole state of an API process: opened when it starts, closed when it stops."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from time import monotonic

from app.analytics.deps import ThisProcess
from app.auth.services import open_auth_services
from app.core import background, event_loop, health_server, loops
from app.core.config import Settings
from app.core.errors import SchemaOutdated
from app.core.forking.fork_server import ForkServer
from app.core.loops import LoopState
from app.core.machine import Machine
from app.core.resources import open_resources
from app.datasets import processes
from app.datasets.import_limits import ImportLimits
from app.datasets.importer import DatasetImporter
from app.datasets.profiler import DatasetProfiler
from app.http.body_budget import BodyBudget
from app.http.rate_limits import RequestRates
from app.jobs.counting import JobSeries
from app.jobs.creator import JobCreator
from app.jobs.kinds.kind import Kind
from app.jobs.quota import Quota
from app.jobs.reader import JobReader
from app.jobs.times import JobTimes
from app.maintenance.maintenance import Maintenance
from app.models.plots.plotter import PlotLimits, Plotter
from app.notifications.channels.registry import open_channels
from app.notifications.deliverer import Deliverer
from app.notifications.sealing import Sealing
from app.operations import gauges
from app.operations.deps import OperationsState
from app.operations.schema_check import SchemaCheck
from app.quotas.service import StorageQuota
from app.streams import shutdown
from app.streams.admission import Admission
from app.streams.clock import Clock
from app.streams.hub import Hub
from app.streams.pulse import Pulse
from app.streams.socket import Sockets
from app.streams.stream_database import StreamDatabase
from app.streams.times import StreamTimes


@dataclass(frozen=True)
class Tunables:
    """Times and limits that are not settings; tests pass other values."""

    stream_times: StreamTimes = StreamTimes()  # noqa: RUF009  # frozen
    job_times: JobTimes = JobTimes()  # noqa: RUF009  # frozen
    import_limits: ImportLimits = ImportLimits()  # noqa: RUF009  # frozen
    plot_limits: PlotLimits = PlotLimits()  # noqa: RUF009  # frozen


@dataclass(frozen=True, kw_only=True)
class AppState(OperationsState):
    """Everything that the routes of this process share."""

    @property
    def is_closing(self) -> bool:
        """Whether the process is shutting down."""
        return self.hub.is_closed

    @property
    def readiness(self) -> str:
        """`ok`, or why the process should get no requests."""
        if self.is_closing:
            return "stopping"
        return SchemaOutdated.code if self.schema.is_outdated else "ok"

    @property
    def has_streams(self) -> bool:
        """Whether any stream or WebSocket is open."""
        return not (self.admission.is_empty and self.sockets.is_empty)

    def close_streams(self) -> None:
        """End all streams and WebSockets, and accept no more."""
        self.hub.close()
        self.sockets.close()


@asynccontextmanager
async def open_state(
    settings: Settings,
    kinds: Mapping[str, Kind],
    body_budget: BodyBudget,
    tunables: Tunables,
    dataset_processes: ForkServer | None = None,
) -> AsyncIterator[AppState]:
    """Open the state and run its background loops during the body.

    Without `dataset_processes`, it has a fork server of its own. Neither Postgres nor Redis has to be
    reachable yet. Raises ConfigurationError for an unusable STORAGE_URL, and if a plugin's channel is wrong.
    """
    times = tunables.stream_times
    async with (
        open_resources(settings) as resources,
        open_auth_services(resources) as auth,
        open_channels(settings) as channels,
        processes.open_server(dataset_processes) as server,
    ):
        database = resources.database
        sealing = Sealing(settings)
        # A quarter of the connections for streams that open, and as many for those that read: a stream that
        # has been opened does not wait for all that are still to be.
        at_once = max(1, settings.database_pool_size // 4)
        stream_database = StreamDatabase(database, at_once)
        hub = Hub(
            database,
            StreamDatabase(database, at_once),
            resources.redis_pool,
            resources.redis,
            resources.signer,
            times,
        )
        admission = Admission(
            stream_database,
            per_user=settings.max_streams_per_user,
            per_process=settings.max_streams,
            recheck_seconds=times.recheck_seconds,
        )
        maintenance = Maintenance(resources, kinds, JobSeries(kinds))
        importer = DatasetImporter(resources, tunables.import_limits, server)
        state = AppState(
            resources=resources,
            body_budget=body_budget,
            request_rates=RequestRates(settings, resources.redis_pool),
            auth=auth,
            importer=importer,
            profiler=DatasetProfiler(resources, importer, server),
            plotter=Plotter(tunables.plot_limits),
            kinds=kinds,
            quota=Quota(
                database,
                settings.max_active_jobs,
                StorageQuota.from_settings(settings),
            ),
            creator=JobCreator(resources),
            reader=JobReader(database),
            job_times=tunables.job_times,
            watcher=hub,
            hub=hub,
            admission=admission,
            stream_database=stream_database,
            count_streams=admission.count,
            sockets=Sockets(),
            pulse=Pulse(database),
            stream_times=times,
            is_firing=lambda: maintenance.is_firing,
            process=ThisProcess(
                monotonic(), partial(_loop_states, maintenance, settings.deliver_notifications), Machine()
            ),
            channels=channels,
            sealing=sealing,
            deliverer=Deliverer(database, channels, sealing, public_url=settings.public_url),
            maintenance=maintenance,
            schema=SchemaCheck(database),
        )
        async with (
            health_server.serving(
                settings.metrics_port,
                lambda: state.readiness,
                partial(gauges.read_metrics, resources, kinds),
                setting="METRICS_PORT",
            ),
            _running(state),
            state.deliverer.running() if settings.deliver_notifications else nullcontext(),
        ):
            yield state


def _loop_states(maintenance: Maintenance, delivers: bool, now: datetime) -> list[LoopState]:
    others = ("clock", "hub", "pulse", "usage", *(("deliver",) if delivers else ()))
    return [*maintenance.states(), *(loops.measured(name, now) for name in others)]


@asynccontextmanager
async def _running(state: AppState) -> AsyncIterator[None]:
    """Run the background loops; on a signal and at the end, close the streams first."""
    clock = Clock(state.sockets, state.pulse, retry_seconds=state.stream_times.clock_retry_seconds)
    async with background.running(
        state.hub.run_forever(),
        state.creator.run_forever(),
        state.reader.run_forever(),
        state.maintenance.run_forever(),
        state.schema.run_until_current(),
        state.admission.recheck_forever(),
        clock.run_forever(),
        state.pulse.run_forever(),
        event_loop.measure_lag_forever(),
    ):
        with shutdown.close_streams_first(state.close_streams, lambda: not state.has_streams):
            yield
        state.close_streams()
