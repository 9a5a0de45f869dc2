"""Measures the latency of `/health/live` and the memory of the API while it gets the most expensive bodies.

The bodies are those of tests/http/test_attacks.py. Each is sent to every route that takes a body, with
and without a token.
"""

import asyncio
import http.client
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Final

from app.http.routing import SMALL_BODY_BYTES
from bench import options
from bench.dataset_memory import watch_memory
from bench.measuring import MIB, milliseconds, percentile
from bench.options import Options
from bench.results import Results
from bench.stack import HOST, Api, Stack, stack
from tests.support import bodies

PAUSE_SECONDS: Final = 0.005
TIMEOUT_SECONDS: Final = 60.0
IDLE_SECONDS: Final = 2.0


class Health:
    """Polls `/health/live` from a thread."""

    def __init__(self, api: Api) -> None:
        self._port = api.port
        self.seconds: list[float] = []

    @contextmanager
    def polled(self) -> Iterator[None]:
        """Poll during the `with`."""
        is_over = threading.Event()
        thread = threading.Thread(target=self._poll, args=(is_over,))
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def _poll(self, is_over: threading.Event) -> None:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=TIMEOUT_SECONDS)
        while not is_over.wait(PAUSE_SECONDS):
            began = time.perf_counter()
            connection.request("GET", "/health/live")
            response = connection.getresponse()
            response.read()
            self.seconds.append(time.perf_counter() - began)
            assert response.status == 200
        connection.close()


async def measure(system: Stack, options: Options) -> Results:
    """Send one body after the other."""
    results = Results("bodies", options)
    user = await system.user()
    rows: list[tuple[str, int, float, float, float, str]] = []
    with system.api() as api, watch_memory(api.program) as memory:
        idle = Health(api)
        with idle.polled():
            await asyncio.sleep(IDLE_SECONDS)
        rows.append(("nothing", 0, *_percentiles(idle.seconds), ""))
        names = list(bodies.LARGE)[:: options.choose(1, 6)]
        for path in bodies.SIGNED_IN:
            headers = {**user.headers, **bodies.JSON}
            rows.append(_send(api, path, headers, {name: bodies.LARGE[name] for name in names}))
        for path, headers in bodies.ANONYMOUS:
            small = {
                f"{name}, {size} bytes": partial(make, size)
                for name, make in bodies.SMALL.items()
                for size in (SMALL_BODY_BYTES, bodies.LIMIT_BYTES)
            }
            rows.append(_send(api, path, headers, small, suffix=", not signed in"))
    results.table(
        f"Latency of `GET /health/live`; the API had {memory.before / MIB:.0f} MiB before",
        ("bodies to", "bodies", "p50 ms", "p99 ms", "max ms", "worst body"),
        rows,
    )
    results.at_most("`/health/live` during the worst body, max", max(row[4] for row in rows), 100.0, "ms")
    results.at_most("API memory growth", memory.growth_mib, 100.0, "MiB")
    return results


def _send(
    api: Api,
    path: str,
    headers: Mapping[str, str],
    contents: Mapping[str, Callable[[], bytes]],
    suffix: str = "",
) -> tuple[str, int, float, float, float, str]:
    """Send each body on its own connection; return the table row with the latencies of `/health/live`."""
    seconds: list[float] = []
    worst: tuple[float, str] = (0.0, "")
    for name, make in contents.items():
        content = make()
        health = Health(api)
        with health.polled():
            connection = http.client.HTTPConnection(HOST, api.port, timeout=TIMEOUT_SECONDS)
            connection.request("POST", path, content, dict(headers))
            connection.getresponse().read()
            connection.close()
        seconds += health.seconds
        worst = max(worst, (max(health.seconds, default=0.0), name))
    return (f"{path}{suffix}", len(contents), *_percentiles(seconds), worst[1])


def _percentiles(seconds: list[float]) -> tuple[float, float, float]:
    return (
        milliseconds(percentile(seconds, 0.5)),
        milliseconds(percentile(seconds, 0.99)),
        milliseconds(percentile(seconds, 1.0)),
    )


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
