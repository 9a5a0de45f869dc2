"""Thousands of open streams on one API process: latency, memory, CPU, the clock, and shutdown.

The reference is the usual design of tutorials: an endpoint that polls the row every second.
"""

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final, Literal

import uvloop

from app.core.resources import Resources, open_resources
from bench import listen, options
from bench.followed import Committer, FollowedJob, start_jobs
from bench.listen import Listener, Plan, Received, Stream, Transport
from bench.measuring import KIB, measure_usage, milliseconds, percentile, spread
from bench.options import Options
from bench.results import Results
from bench.stack import HOST, Api, Stack, User, stack

OWNERS: Final = 50
SETTLE_SECONDS: Final = 2.0
LIMITS: Final = {"MAX_STREAMS_PER_USER": "5000", "MAX_STREAMS": "10000"}
POLLED: Final = "polling_streams:app"

Design = Literal["sse", "websocket", "polling"]
DESIGNS: Final[tuple[Design, ...]] = ("sse", "websocket", "polling")


@dataclass(frozen=True)
class Round:
    """Measurements of one design with a number of streams, each with one event per second."""

    design: Design
    streams: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    arrived: float
    closed: int
    kib_per_stream: float
    cores: float
    cores_per_event_ms: float
    committer_late_ms: float


async def measure(system: Stack, options: Options) -> Results:
    """Alternate between the designs, each in a new API process; then measure the clock and shutdown."""
    results = Results("streams", options)
    many, some = options.choose(2000, 200), options.choose(100, 20)
    seconds = options.choose(20.0, 5.0)
    owners = [await system.user() for _ in range(OWNERS)]
    rounds: list[Round] = []
    async with open_resources(system.settings) as resources:
        jobs = await start_jobs(system, resources, owners, many)
        for _ in range(options.rounds):
            for count in (many, some):
                rounds += [
                    await _follow(system, resources, jobs[:count], design, seconds) for design in DESIGNS
                ]
        clock = _measure_clock(system, owners, options.choose(50, 10), options.choose(60.0, 6.0))
        stops = [_measure_stop(system, jobs, options.choose(300, 50)) for _ in range(options.rounds)]
    _report(results, rounds, many, some, seconds)
    results.table(
        f"Clock: {clock.clients} WebSockets, one killed, one that does not read, {clock.seconds:g} s",
        ("ticks per client", "missed", "drift p50 ms", "drift p99 ms", "drift max ms"),
        [[clock.ticks, clock.missed, clock.p50_ms, clock.p99_ms, clock.max_ms]],
        "Drift is the delay from the second that a `time_update` names to its arrival.",
    )
    results.at_most("clock drift, max", clock.max_ms, 50.0, "ms")
    results.at_most("ticks missed by clients that read", float(clock.missed), 0.0)
    results.table(
        f"SIGTERM with {stops[0].streams} open streams, half of them WebSockets",
        ("seconds to exit", "exit code", "notified", "cut without notice"),
        [[spread(stop.seconds for stop in stops), stops[0].exit_code, min(stop.notified for stop in stops),
          max(stop.cut for stop in stops)]],
    )  # fmt: skip
    results.at_most("SIGTERM → exit", max(stop.seconds for stop in stops), 2.0, "s")
    results.at_most("streams cut without notice", float(max(stop.cut for stop in stops)), 0.0)
    results.rounds |= {"clock": asdict(clock), "stops": [asdict(stop) for stop in stops]}
    return results


def _report(results: Results, rounds: Sequence[Round], many: int, some: int, seconds: float) -> None:
    names = {"sse": "Headrace, SSE", "websocket": "Headrace, WebSocket", "polling": "polling, SSE"}
    for count in (many, some):
        rows = []
        for design, name in names.items():
            found = [one for one in rounds if one.design == design and one.streams == count]

            def cell(value: Callable[[Round], float], found: Sequence[Round] = found) -> str:
                return str(spread(value(one) for one in found))

            rows.append(
                [
                    name,
                    cell(lambda one: one.p50_ms),
                    cell(lambda one: one.p99_ms),
                    cell(lambda one: one.max_ms),
                    cell(lambda one: 100 * one.arrived),
                    cell(lambda one: one.kib_per_stream),
                    cell(lambda one: one.cores),
                ]
            )
        results.table(
            f"{count} streams on one API process, one event per second each ({count} events/s)",
            ("", "p50 ms", "p99 ms", "max ms", "events delivered %", "KiB per stream", "cores"),
            rows,
            f"Latency is measured from Postgres's confirmation of the commit to the client. {seconds:g} s per"
            " round, each with a new API process. Memory is the growth of the process per stream. A poll that"
            " finds two events delivers one of them.",
        )
    for design, name in list(names.items())[:2]:
        busy = [one for one in rounds if one.design == design and one.streams == many]
        calm = [one for one in rounds if one.design == design and one.streams == some]
        p99 = spread(one.p99_ms for one in busy).median
        results.at_most(f"{name}: {many} streams, p99", p99, 250.0, "ms")
        results.at_most(
            f"{name}: memory per stream", spread(o.kib_per_stream for o in busy).median, 50.0, "KiB"
        )
        results.at_most(f"{name}: {some} events/s, p50", spread(o.p50_ms for o in calm).median, 5.0, "ms")
        results.at_most(f"{name}: {some} events/s, p99", spread(o.p99_ms for o in calm).median, 50.0, "ms")
        results.at_least(
            f"{name}: fraction of events delivered", min(one.arrived for one in (*busy, *calm)), 1.0
        )
    ours = [one.closed for one in rounds if one.design != "polling"]
    results.at_most("streams closed while they were followed", float(sum(ours)), 0.0)
    results.rounds["rounds"] = [asdict(one) for one in rounds]


async def _follow(
    system: Stack, resources: Resources, jobs: Sequence[FollowedJob], design: Design, seconds: float
) -> Round:
    with _serving(system, design) as api:
        before = measure_usage(api.program.pid)
        listener = Listener(Plan(api.port, [_stream(design, job) for job in jobs]))
        await asyncio.sleep(SETTLE_SECONDS)
        opened = measure_usage(api.program.pid)
        committer = Committer(resources, jobs)
        await committer.run(seconds)
        busy = measure_usage(api.program.pid)
        await asyncio.sleep(SETTLE_SECONDS)  # until the last hints have arrived
        received = listener.stop()
    waited = _latencies(received, committer.committed)
    cores = busy.cores_since(opened)
    return Round(
        design=design,
        streams=len(jobs),
        p50_ms=milliseconds(percentile(waited, 0.5)),
        p99_ms=milliseconds(percentile(waited, 0.99)),
        max_ms=milliseconds(max(waited, default=0.0)),
        arrived=len(waited) / len(committer.committed),
        closed=sum(received.ends.values()),
        kib_per_stream=(busy.rss_bytes - before.rss_bytes) / len(jobs) / KIB,
        cores=cores,
        cores_per_event_ms=milliseconds(cores / len(jobs)),
        committer_late_ms=milliseconds(committer.late_seconds),
    )


def _latencies(received: Received, committed: dict[tuple[int, int], float]) -> list[float]:
    """Return the seconds from each event's commit to its first arrival, for events that have arrived."""
    arrivals: dict[tuple[int, int], float] = {}
    for place, seq, at in received.events:
        arrivals.setdefault((place, seq), at)
    return [max(0.0, arrivals[key] - at) for key, at in committed.items() if key in arrivals]


@contextmanager
def _serving(system: Stack, design: Design) -> Iterator[Api]:
    with system.reference(POLLED) if design == "polling" else system.api(**LIMITS) as api:
        yield api


def _stream(design: Design, job: FollowedJob) -> Stream:
    """Return the stream of a job from its current position, so that earlier events do not count."""
    after = f"?after={job.next_batch + 2}"  # created, started, and one event per batch
    headers = {"Authorization": job.owner.headers["Authorization"]}
    if design == "websocket":
        return Stream("websocket", f"/ws/jobs/{job.id}{after}", headers)
    return Stream("sse", f"/jobs/{job.id}/stream{after if design == 'sse' else ''}", headers)


@dataclass(frozen=True)
class Clock:
    """Accuracy of the clock."""

    clients: int
    seconds: float
    ticks: int
    missed: int
    p50_ms: float
    p99_ms: float
    max_ms: float


def _measure_clock(system: Stack, owners: Sequence[User], clients: int, seconds: float) -> Clock:
    with system.api(**LIMITS) as api:
        streams = [
            Stream("websocket", "/ws", {"Authorization": owners[place % OWNERS].headers["Authorization"]})
            for place in range(clients)
        ]
        doomed = Listener(Plan(api.port, streams[:1]))
        listener = Listener(Plan(api.port, streams[2:]))
        with _stalled_client(api, streams[1]):
            time.sleep(seconds / 2)
            doomed.kill()
            time.sleep(seconds / 2)
            received = listener.stop()
    # Some clients may have missed the first and the last second.
    dates = sorted({date for _, date, _ in received.ticks})[1:-1]
    drifts = [
        at - datetime.fromisoformat(date).timestamp() for _, date, at in received.ticks if date in set(dates)
    ]
    return Clock(
        clients=clients,
        seconds=seconds,
        ticks=len(dates),
        missed=len(dates) * (clients - 2) - len(drifts) + _skipped_seconds(dates),
        p50_ms=milliseconds(percentile(drifts, 0.5)),
        p99_ms=milliseconds(percentile(drifts, 0.99)),
        max_ms=milliseconds(max(drifts)),
    )


def _skipped_seconds(dates: Sequence[str]) -> int:
    """Count the seconds for which no client received a tick."""
    first, last = (datetime.fromisoformat(date).timestamp() for date in (dates[0], dates[-1]))
    return round(last - first) + 1 - len(dates)


@contextmanager
def _stalled_client(api: Api, stream: Stream) -> Iterator[None]:
    """Open a WebSocket that never reads."""
    headers = {
        **stream.headers,
        "Host": HOST,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((HOST, api.port))
        lines = [f"GET {stream.path} HTTP/1.1", *map(": ".join, headers.items()), "", ""]
        client.sendall("\r\n".join(lines).encode())
        yield


@dataclass(frozen=True)
class Stop:
    """Shutdown of an API with open streams."""

    streams: int
    seconds: float
    exit_code: int
    notified: int
    cut: int


def _measure_stop(system: Stack, jobs: Sequence[FollowedJob], streams: int) -> Stop:
    transports: tuple[Transport, Transport] = ("sse", "websocket")
    with system.api(**LIMITS) as api:
        listener = Listener(
            listen.Plan(
                api.port,
                [_stream(transports[place % 2], jobs[place % len(jobs)]) for place in range(streams)],
            )
        )
        began = time.monotonic()
        api.program.send(signal.SIGTERM)
        exit_code = api.program.wait()
        seconds = time.monotonic() - began
        received = listener.stop()
    notified = received.ends.get("shutdown", 0) + received.ends.get("1001", 0)
    return Stop(streams, seconds, exit_code, notified, streams - notified)


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        uvloop.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
