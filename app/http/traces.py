"""Which requests get a span, and how a request names the trace that it belongs to."""

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final

from fastapi.telemetry import TelemetryConfig

from app.http.problems import UNLIMITED

if TYPE_CHECKING:
    from app.core.tracing.provider import Tracing

_NOT_TRACED: Final = ("/stream", "/shutdown-status", *UNLIMITED)
"""Ends of paths, because `/api/v1` or the prefix of a proxy may come before."""

_TRACEPARENT: Final = b"traceparent"
_AUTHORIZATION: Final = b"authorization"
_SCHEME: Final = b"bearer "


def telemetry(prepared: "Tracing | None") -> TelemetryConfig:
    """Return the argument `telemetry` of FastAPI: a span for each request that is not excluded, nothing else.

    FastAPI's logs would export the texts of exceptions; its metrics are ours already.
    """
    if prepared is None:
        return {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
    draw = prepared.sampler.draw

    def exclude(scope: MutableMapping[str, Any]) -> bool:
        # Most requests are not sampled. Deciding it here takes a fifth of the time of an unsampled span.
        return is_excluded(scope) or not (names_trace(scope) or draw())

    return {
        "tracing": True,
        "tracer_provider": prepared.provider,
        "operation_spans": False,
        "metrics": False,
        "logs": False,
        "auto_configure": False,
        "exclude": exclude,
    }


def is_excluded(scope: MutableMapping[str, Any]) -> bool:
    """Whether a request gets no span: streams last for hours, and probes and scrapes are noise."""
    return scope["type"] != "http" or str(scope["path"]).endswith(_NOT_TRACED)


def names_trace(scope: MutableMapping[str, Any]) -> bool:
    """Whether the client says which trace its request belongs to."""
    return any(name == _TRACEPARENT for name, _ in scope["headers"])


def bearer_token(scope: MutableMapping[str, Any]) -> str | None:
    """Return the bearer token of a request, which may be invalid."""
    for name, value in scope["headers"]:
        if name == _AUTHORIZATION and value[: len(_SCHEME)].lower() == _SCHEME:
            return str(value[len(_SCHEME) :].decode("latin-1"))
    return None
