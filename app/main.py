"""The API as an ASGI application: `uvicorn app.main:create_app --factory`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from app.auth import callers
from app.core import logging
from app.core.config import Settings, ensure_secret_key, load_settings
from app.core.version import VERSION
from app.datasets.import_limits import ImportLimits
from app.http import methods, problems
from app.http.body_budget import BodyBudget
from app.http.encodings import EncodingMiddleware
from app.http.methods import MethodsMiddleware
from app.http.middleware import BodyBounds, RequestMiddleware
from app.http.rate_limit_middleware import RateLimitMiddleware
from app.http.routing import SMALL_BODY_BYTES
from app.http.state import find_state, set_state
from app.jobs.kinds import registry
from app.jobs.times import JobTimes
from app.models import formats
from app.routers import routers
from app.state import AppState, Tunables, open_state
from app.streams.times import StreamTimes

EXPOSED_HEADERS: Final = (
    *("Accept-Ranges", "Content-Disposition", "Content-Range", "ETag", "Idempotent-Replayed", "Location"),
    *("RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID"),
)
"""Response headers that scripts of other origins may read."""

CORS_SECONDS: Final = 600
"""How long a browser may keep the response to a preflight request."""

DESCRIPTION: Final = """
Run predictions and train models as jobs, follow them live, and read their results.

Sign in with `POST /token` (the *Authorize* button), or send an API key as the bearer token. Create a job with
`POST /jobs/batch-predict`, and follow it at the `stream_url` in the response. Send an `Idempotency-Key` to
make create requests safe to retry. Every error response is an `application/problem+json` document (RFC 9457)
with a stable `code`.
"""


class Api(FastAPI):
    """FastAPI, with an OpenAPI document that describes the errors as they are sent."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document of this application."""
        return problems.describe(super().openapi())


def create_app(
    settings: Settings | None = None,
    stream_times: StreamTimes = StreamTimes(),  # noqa: B008  # frozen
    job_times: JobTimes = JobTimes(),  # noqa: B008  # frozen
    import_limits: ImportLimits = ImportLimits(),  # noqa: B008  # frozen
) -> FastAPI:
    """Build the API. Its state is opened when it starts and closed when it stops.

    Raises ConfigurationError if production has no SECRET_KEY of its own. Without `settings` it reads the
    environment, and raises ConfigurationError for wrong settings there.
    """
    if settings is None:  # started by an ASGI server, which cannot pass any
        settings = load_settings()
        logging.configure(settings)
    ensure_secret_key(settings)
    loaded = settings
    kinds = registry.load(loaded.plugins)
    formats.load(loaded.plugins)  # a plugin that is wrong is reported now, not by the first upload
    budget = BodyBudget(loaded.max_body_bytes)
    tunables = Tunables(stream_times, job_times, import_limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_state(loaded, kinds, budget, tunables) as state:
            set_state(app, state)
            yield

    # No `default_response_class`: without one, FastAPI writes a response model straight to JSON bytes.
    app = Api(
        title="Headrace",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,  # a redirect would drop the body without a word
        telemetry={"tracing": False, "metrics": False, "logs": False},  # it records rejected bodies
    )
    problems.install(app)
    _add_middleware(app, loaded, budget)
    # Added as they are: FastAPI builds each route of an included router anew during the first request.
    routes = [route for router in routers(kinds) for route in router.routes]
    app.router.routes.extend(methods.with_method_errors(routes))
    return app


def _add_middleware(app: FastAPI, settings: Settings, budget: BodyBudget) -> None:
    """Add the middleware; the last one added sees a request first."""

    def is_stopping() -> bool:
        state = find_state(app, AppState)
        return state is not None and state.is_closing

    app.add_middleware(EncodingMiddleware)
    app.add_middleware(MethodsMiddleware)
    app.add_middleware(RateLimitMiddleware, find_user=callers.find_user)
    if settings.allowed_origins:
        # Tokens travel in a header that scripts set, so no credentials of the browser are involved.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
            max_age=CORS_SECONDS,
        )
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
