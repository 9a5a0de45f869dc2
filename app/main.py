"""The API as an ASGI application: `uvicorn app.main:create_app --factory`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI

from app.auth.services import open_auth_services
from app.core import background, logging
from app.core.config import Settings, load_settings
from app.core.resources import open_resources
from app.core.version import VERSION
from app.datasets.import_limits import ImportLimits
from app.datasets.importer import DatasetImporter
from app.http import methods, problems
from app.http.budget import BodyBudget
from app.http.encodings import EncodingMiddleware
from app.http.methods import MethodsMiddleware
from app.http.middleware import BodyBounds, RequestMiddleware
from app.http.routing import SMALL_BODY_BYTES
from app.jobs.kinds import registry
from app.jobs.quota import Quota
from app.jobs.times import JobTimes
from app.maintenance.maintenance import Maintenance
from app.models import formats
from app.quotas.service import StorageQuota
from app.routers import routers
from app.streams import shutdown
from app.streams.admission import Admission
from app.streams.clock import Clock
from app.streams.hub import Hub
from app.streams.socket import Sockets
from app.streams.times import StreamTimes

DESCRIPTION: Final = """
Send texts, rows or a dataset; follow the work as it is done; keep the result.

Sign in with `POST /token` (the *Authorize* button), create a job with `POST /jobs/batch-predict`, and follow
it on the `stream_url` of the answer. Every error is an `application/problem+json` document (RFC 9457) whose
`code` is a stable word.
"""


class Api(FastAPI):
    """FastAPI, with an OpenAPI document that tells the truth about errors."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document of this application."""
        return problems.describe(super().openapi())


def create_app(
    settings: Settings | None = None,
    stream_times: StreamTimes = StreamTimes(),  # noqa: B008  # frozen
    job_times: JobTimes = JobTimes(),  # noqa: B008  # frozen
    intake_bounds: ImportLimits = ImportLimits(),  # noqa: B008  # frozen
) -> FastAPI:
    """Build the API; what it needs is opened when it starts and closed when it stops.

    Raises ConfigurationError if the settings are not given and those of the environment are wrong.
    """
    if settings is None:  # started by a server that knows nothing of ours
        settings = load_settings()
        logging.configure(settings)
    kinds = registry.load(settings.plugins)
    formats.load(settings.plugins)  # a plugin that is wrong is reported now, not by the first upload

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_resources(settings) as resources, open_auth_services(resources) as auth:
            hub = Hub(
                resources.database, resources.redis_pool, resources.redis, resources.signer, stream_times
            )
            maintenance = Maintenance(resources)
            sockets = Sockets()
            admission = Admission(
                resources.database,
                per_user=settings.max_streams_per_user,
                per_process=settings.max_streams,
                recheck_seconds=stream_times.recheck_seconds,
            )
            app.state.resources = resources
            app.state.auth = auth
            app.state.hub = hub
            app.state.maintenance = maintenance
            app.state.admission = admission
            app.state.sockets = sockets
            app.state.stream_times = stream_times
            app.state.job_times = job_times
            app.state.kinds = kinds
            app.state.importer = DatasetImporter(resources, intake_bounds)
            app.state.quota = Quota(
                resources.database, settings.max_active_jobs, StorageQuota(settings.max_user_bytes)
            )
            async with background.running(
                hub.run_forever(),
                maintenance.run_forever(),
                admission.recheck_forever(),
                Clock(sockets, retry_seconds=stream_times.clock_retry_seconds).run_forever(),
            ):

                def say_goodbye() -> None:
                    hub.close()
                    sockets.close()

                def is_alone() -> bool:
                    return admission.is_empty and sockets.is_empty

                with shutdown.close_streams_first(say_goodbye, is_alone):
                    yield
                say_goodbye()

    # No `default_response_class`: without one FastAPI writes a response model straight to JSON bytes.
    app = Api(
        title="Headrace",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,  # a redirect would drop the body and say nothing
        telemetry={"tracing": False, "metrics": False, "logs": False},  # it records rejected bodies
    )
    problems.install(app)

    def is_stopping() -> bool:
        hub: Hub | None = getattr(app.state, "hub", None)
        return hub is not None and hub.is_closed

    budget = BodyBudget(settings.max_body_bytes)
    app.state.body_budget = budget
    app.add_middleware(EncodingMiddleware)
    app.add_middleware(MethodsMiddleware)
    app.add_middleware(
        RequestMiddleware,
        bounds=BodyBounds(
            max_bytes=min(SMALL_BODY_BYTES, settings.max_body_bytes),
            seconds=settings.body_seconds,
            upload_seconds=settings.upload_seconds,
            grace_seconds=settings.body_grace_seconds,
            bytes_per_second=settings.min_bytes_per_second,
        ),
        small_bodies=budget.small,
        is_stopping=is_stopping,
    )
    # Not included but taken as they are: FastAPI builds each route of an included router anew, at the first
    # request, which has to wait for that.
    routes = [route for router in routers(kinds) for route in router.routes]
    app.router.routes.extend(methods.with_refusals(routes))
    return app
