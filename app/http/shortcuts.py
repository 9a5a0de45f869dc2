"""Finds the route of frequent requests without trying the routes before it.

Starlette tries the routes one after the other, and `/jobs/{job_id}` comes after all fixed paths that it would
match, such as `/jobs/stream`.
"""

import re
from collections.abc import Iterable
from typing import Any, Final, NoReturn
from uuid import UUID

from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Receive, Scope, Send

from app.http.direct import DirectRoute

_ID: Final = r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"


class Shortcut(BaseRoute):
    """Finds a route that ends in an id before all routes that begin like it are tried.

    No other route has an id in that place. A request for another path costs one comparison.
    """

    def __init__(self, route: DirectRoute) -> None:
        self.path, self.path_format = route.path, route.path_format
        self._route = route
        prefix, _, parameter = route.path.partition("{")
        self._parameter = parameter.removesuffix("}")
        self._pattern = re.compile(re.escape(prefix) + _ID)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return the route, if the request is a GET of a path with an id."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope.get("root_path"):
            return Match.NONE, {}
        found = self._pattern.fullmatch(scope["path"])
        if found is None:
            return Match.NONE, {}
        path_params = {self._parameter: found[1]}
        endpoint = self._route.endpoint
        return Match.FULL, {"endpoint": endpoint, "path_params": path_params, "route": self._route}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request for the route."""
        await self._route.handle(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> NoReturn:
        """Leave it to the route itself."""
        raise NoMatchFound(name, path_params)


def shortcuts(routes: Iterable[BaseRoute]) -> list[Shortcut]:
    """Return a shortcut to each direct route that reads something by its id."""
    return [Shortcut(route) for route in routes if isinstance(route, DirectRoute) and _ends_in_id(route)]


def _ends_in_id(route: DirectRoute) -> bool:
    fields = route.dependant.path_params
    is_id = len(fields) == 1 and fields[0].field_info.annotation is UUID
    return is_id and route.methods == {"GET"} and route.path.endswith(f"/{{{fields[0].alias}}}")
