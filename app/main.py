"""The API as an ASGI application: `uvicorn app.main:create_app --factory`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import Any, Final

from fastapi import FastAPI
from starlette.routing import BaseRoute
from starlette.types import Message, Receive, Scope, Send

from app.auth import callers
from app.core import logging, metrics, tracing
from app.core.component import Component
from app.core.config import Settings, ensure_secret_key, load_settings
from app.core.errors import ConfigurationError, Unauthorized
from app.core.forking.fork_server import ForkServer
from app.core.version import VERSION
from app.dashboard.assets import ShellFacts
from app.dashboard.routes import ASSETS
from app.datasets.import_limits import ImportLimits
from app.http import methods, problems, traces
from app.http.addresses import parse_networks
from app.http.body_budget import BodyBudget
from app.http.cors import CorsMiddleware
from app.http.encodings import EncodingMiddleware
from app.http.methods import MethodsMiddleware
from app.http.middleware import BodyBounds, RequestMiddleware
from app.http.prefixes import VERSIONED_PREFIX, PrefixMiddleware
from app.http.rate_limit_middleware import RateLimitMiddleware
from app.http.routing import SMALL_BODY_BYTES
from app.http.security_headers import SecurityHeadersMiddleware
from app.http.shortcuts import shortcuts
from app.http.state import find_state, set_state
from app.jobs.kinds import registry
from app.jobs.times import JobTimes
from app.models import formats
from app.notifications.channels import registry as channel_registry
from app.routers import routers
from app.state import AppState, Tunables, open_state
from app.streams.times import StreamTimes

DESCRIPTION: Final = """
Run predictions and train models as jobs, follow them live, and read their results.

Sign in with `POST /token` (the *Authorize* button), or send an API key as the bearer token. Create a job with
`POST /jobs/batch-predict`, and follow it at the `stream_url` in the response. Send an `Idempotency-Key` to
make create requests safe to retry. Every error response is an `application/problem+json` document (RFC 9457)
with a stable `code`.
"""


class Api(FastAPI):
    """FastAPI, with an OpenAPI document that describes the errors as they are sent.

    It also decides whose `traceparent` counts, because FastAPI starts the span before any middleware runs.
    """

    is_traced = False
    refusal: ConfigurationError | None = None
    """Why the application did not start, if a setting is the reason."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, or the life of the application."""
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, partial(self._report_start, send))
            return
        is_trusted = (
            self.is_traced
            and scope["type"] == "http"
            and traces.names_trace(scope)
            and self._is_signed_in(scope)
        )
        with tracing.trusting_client() if is_trusted else nullcontext():
            await super().__call__(scope, receive, send)

    async def _report_start(self, send: Send, message: Message) -> None:
        """Pass a message on; the server would log the text of a failure, which has a traceback."""
        if message["type"] == "lifespan.startup.failed" and self.refusal is not None:
            message = {**message, "message": str(self.refusal)}
        await send(message)

    def _is_signed_in(self, scope: Scope) -> bool:
        """Whether the request has a valid access token; the database is not asked whether it was revoked."""
        token, state = traces.bearer_token(scope), find_state(self, AppState)
        if token is None or state is None:
            return False
        try:
            state.auth.tokens.verify_access(token)
        except Unauthorized:
            return False
        return True

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document of this application."""
        return problems.describe(super().openapi())


def create_app(
    settings: Settings | None = None,
    stream_times: StreamTimes = StreamTimes(),  # noqa: B008  # frozen
    job_times: JobTimes = JobTimes(),  # noqa: B008  # frozen
    import_limits: ImportLimits = ImportLimits(),  # noqa: B008  # frozen
    dataset_processes: ForkServer | None = None,
) -> Api:
    """Build the API. Its state is opened when it starts and closed when it stops.

    `dataset_processes` is a fork server that several applications share; without it, each has its own.

    Raises ConfigurationError if production has no SECRET_KEY of its own, if PROMETHEUS_MULTIPROC_DIR is set,
    or if an endpoint for traces is set but the extra `otel` is not installed. Without `settings` it reads the
    environment, and raises ConfigurationError for wrong settings there.
    """
    if settings is None:  # started by an ASGI server, which cannot pass any
        settings = load_settings()
        logging.configure(settings, Component.API)
    ensure_secret_key(settings)
    metrics.describe_process(Component.API)
    loaded = settings
    kinds = registry.load(loaded.plugins)
    channels = channel_registry.load(loaded.plugins)
    formats.load(loaded.plugins)  # a plugin that is wrong is reported now, not by the first upload
    budget = BodyBudget(loaded.max_body_bytes)
    tunables = Tunables(stream_times, job_times, import_limits)
    prepared = tracing.prepare(loaded, Component.API)

    @asynccontextmanager
    async def lifespan(api: Api) -> AsyncIterator[None]:
        try:
            async with (
                tracing.running(prepared),
                open_state(loaded, kinds, budget, tunables, dataset_processes) as state,
            ):
                set_state(api, state)
                yield
        except ConfigurationError as error:
            api.refusal = error
            raise

    # No `default_response_class`: without one, FastAPI writes a response model straight to JSON bytes.
    app = Api(
        title="Headrace",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url=None,  # app.docs has the routes of the documentation
        redirect_slashes=False,  # a redirect would drop the body without a word
        telemetry=traces.telemetry(prepared),
    )
    app.is_traced = prepared is not None
    problems.install(app)
    _add_middleware(app, loaded, budget)
    # Added as they are: FastAPI builds each route of an included router anew during the first request.
    shell = ShellFacts(str(loaded.registration), loaded.demo_user)
    own_routers = routers(kinds, channels, loaded.docs_access, shell)
    routes = [route for router in own_routers for route in router.routes]
    _ensure_root_path(loaded.root_path, routes)
    app.router.routes.extend([*shortcuts(routes), *methods.with_method_errors(routes)])
    return app


def _ensure_root_path(root_path: str, routes: Sequence[BaseRoute]) -> None:
    """Check that a path cannot be understood both with and without ROOT_PATH. Raises ConfigurationError."""
    first = root_path.split("/")[1:2]
    paths = [VERSIONED_PREFIX, *(getattr(route, "path", "") for route in routes)]
    if first and any(path.split("/")[1:2] == first for path in paths):
        raise ConfigurationError(f"ROOT_PATH must not start with /{first[0]}, which is a path of the API")


def _add_middleware(app: FastAPI, settings: Settings, budget: BodyBudget) -> None:
    """Add the middleware; the last one added sees a request first."""

    def is_stopping() -> bool:
        state = find_state(app, AppState)
        return state is not None and state.is_closing

    app.add_middleware(EncodingMiddleware)
    app.add_middleware(MethodsMiddleware)
    app.add_middleware(RateLimitMiddleware, find_user=callers.find_user, assets=ASSETS)
    if settings.allowed_origins:
        app.add_middleware(CorsMiddleware, origins=settings.allowed_origins)
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
        routes=app.router.routes,
        is_stopping=is_stopping,
    )
    app.add_middleware(PrefixMiddleware, root_path=settings.root_path)
    app.add_middleware(
        SecurityHeadersMiddleware,
        trusted_proxies=parse_networks(settings.trusted_proxies),
        assume_https=settings.assume_https,
        hsts_seconds=settings.hsts_seconds,
    )
