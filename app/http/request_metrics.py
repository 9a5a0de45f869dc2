"""Counts and times the requests of one process, by method, route template and status.

The labels come from closed sets, whatever clients send: a path without a route is `unmatched`, and a method
that a route does not have is `other`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from prometheus_client import Counter, Histogram
from starlette.routing import BaseRoute

from app.core import metrics
from app.http.methods import MethodNotAllowedRoute

UNMATCHED: Final = "unmatched"
OTHER: Final = "other"

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_FAILURES: Final = (500, 503)  # those that spend the error budget; the series of 4xx begin when one occurs


@dataclass(frozen=True, slots=True)
class _Series:
    counter: Counter
    timer: Histogram | None


class RequestMetrics:
    """The series of these routes, created at once and cached: finding one by its labels takes longer."""

    def __init__(self, routes: Iterable[BaseRoute] = ()) -> None:
        self._series: dict[tuple[str, str, int], _Series] = {}
        for route in routes:
            for method in _methods(route):
                for status in _statuses(route):
                    self._find(method, route, status)

    def record(
        self, method: str, route: BaseRoute | None, status: int, seconds: float, *, is_timed: bool
    ) -> None:
        """Count a request, and record its duration if it is to be timed and the route has the method."""
        series = self._find(method if method in _METHODS else OTHER, route, status)
        series.counter.inc()
        if is_timed and series.timer is not None:
            series.timer.observe(seconds, metrics.exemplar())

    def _find(self, method: str, route: BaseRoute | None, status: int) -> _Series:
        key = method, path_of(route), status
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _create(method, route, status)
        return series


def path_of(route: BaseRoute | None) -> str:
    """Return the template of a route, `unmatched` without one."""
    path: str = getattr(route, "path", UNMATCHED)
    return path


def _create(method: str, route: BaseRoute | None, status: int) -> _Series:
    methods = _methods(route)
    is_known = route is None or method in methods or (method == "HEAD" and "GET" in methods)
    # A HEAD is as slow as its GET, and would double the number of series.
    is_timed = method in methods and method != "HEAD"
    return _series(method if is_known else OTHER, path_of(route), status, is_timed)


@cache
def _series(method: str, path: str, status: int, is_timed: bool) -> _Series:
    """The series of the process: each of its applications, of which tests create many, counts in them."""
    counter = metrics.REQUESTS.labels(method, path, status)
    return _Series(counter, metrics.REQUEST_SECONDS.labels(method, path) if is_timed else None)


def _methods(route: BaseRoute | None) -> set[str]:
    if isinstance(route, MethodNotAllowedRoute):
        return set()
    return getattr(route, "methods", None) or set()


def _statuses(route: Any) -> set[int]:
    """Return the statuses of a route whose series exist from the start."""
    return {getattr(route, "status_code", None) or 200, *_FAILURES}
