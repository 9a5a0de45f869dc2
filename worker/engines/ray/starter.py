"""The starter: the only process that talks to Ray. It starts and ends hosts as the worker says.

It is apart from the worker because the Ray client loads pickles that the cluster sends, and a pickle is code
that the cluster gets run. Handler code can take over the cluster, so here the client is kept from loading
them, and if that ever fails, this process has no secret but the token of the cluster itself.

Started by `starting`. It exits when the worker is gone, and when the cluster is: the Ray client keeps its
state in globals, so each connection gets a fresh process. Ray ends the hosts of a client that does not come
back within RAY_CLIENT_RECONNECT_GRACE_PERIOD seconds.
"""

import os
import platform
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Final, NoReturn

import grpc
import ray
from ray.core.generated import ray_client_pb2, ray_client_pb2_grpc
from ray.util.client import client_pickler
from ray.util.client import worker as client

from app.core import hardening
from worker.engines.ray.actor import HostActor
from worker.engines.ray.commands import (
    MAX_BYTES,
    Connect,
    Connected,
    FromStarter,
    HostEnded,
    HostPlaced,
    KillHost,
    PlaceHost,
    Refused,
    RunHost,
    ToStarter,
    Unreachable,
    decode_to_starter,
)
from worker.framing import MessageReader, frame

POLL_SECONDS: Final = 0.25
"""How often it asks whether a host has ended."""

PING_SECONDS: Final = 5.0
MAX_FAILED_PINGS: Final = 3
"""The client itself takes ten minutes to notice that the network is gone."""

DISCONNECT_SECONDS: Final = 4
"""Less than the worker waits for the exit of this process."""

_READ_BYTES: Final = 64 * 1024
_MAX_REASON: Final = 500
_SIGNALS_FOR_THE_WORKER: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PING: Final = ray_client_pb2.ClusterInfoRequest(type=ray_client_pb2.ClusterInfoType.PING)


class ClusterRefused(Exception):
    """The cluster must not be used as it is."""


class ClusterUnreachable(Exception):
    """The cluster does not answer, or not as it should."""


class WorkerGone(Exception):
    """The worker has closed its end of the connection."""


def main() -> None:
    """Serve the worker at the other end of the socket that the last argument numbers."""
    hardening.make_undumpable()
    hardening.die_with_parent(signal.SIGKILL)
    hardening.drop_capabilities()
    # Blocked in all threads: Ray installs handlers of its own, which end the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS_FOR_THE_WORKER)
    with socket.socket(fileno=int(sys.argv[-1])) as connection:
        worker = _Worker(connection)
        try:
            serve(worker)
        except WorkerGone:
            disconnect()
        except ClusterRefused as error:
            worker.tell(Refused(str(error)))
        except Exception as error:  # of Ray, whose errors have no common base
            worker.tell(Unreachable(f"{type(error).__name__}: {error}"[:_MAX_REASON]))
    # Ray's threads and exit hooks wait for a cluster that may be gone.
    os._exit(0)


class _Worker:
    """The worker, at the other end of a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = MessageReader(decode_to_starter, MAX_BYTES)

    def commands(self, seconds: float | None) -> list[ToStarter]:
        """Return the commands that come within this time. Raises WorkerGone."""
        readable, _, _ = select.select((self._connection,), (), (), seconds)
        if not readable:
            return []
        try:
            data = self._connection.recv(_READ_BYTES)
        except OSError:
            raise WorkerGone from None
        if not data:
            raise WorkerGone
        return self._reader.feed(data)

    def tell(self, message: FromStarter) -> None:
        """Send a message. Raises WorkerGone."""
        try:
            self._connection.sendall(frame(message))
        except OSError:
            raise WorkerGone from None


def serve(worker: _Worker) -> NoReturn:
    """Connect to the cluster that the first command names, then carry out all others.

    Raises WorkerGone, ClusterRefused, ClusterUnreachable, and what Ray raises.
    """
    commands: list[ToStarter] = []
    while not commands:
        commands = worker.commands(None)
    first, *commands = commands
    if not isinstance(first, Connect):
        raise WorkerGone
    hosts = _Hosts(connect(first), first.cpus, first.gpus)
    worker.tell(Connected())
    while True:
        for command in commands:
            match command:
                case PlaceHost(number):
                    hosts.place(number)
                case RunHost():
                    hosts.run(command)
                case KillHost(number):
                    hosts.kill(number)
        for message in hosts.news():
            worker.tell(message)
        commands = worker.commands(POLL_SECONDS)


def connect(cluster: Connect) -> Any:
    """Check the cluster, connect to it, and return the client. Raises ClusterRefused, ClusterUnreachable."""
    check_token(cluster.address, cluster.token)
    refuse_pickles()
    os.environ["RAY_AUTH_TOKEN"] = cluster.token
    # Ray refuses other versions too, in more lines, and after it has read an answer of the other one.
    os.environ["RAY_IGNORE_VERSION_MISMATCH"] = "1"
    session = ray.util.client.ray.get_context()
    # After a failure, ray.init disconnects for 40 s before it says why. This process exits instead.
    session.disconnect = _do_nothing
    cluster_info = ray.init(f"ray://{cluster.address}", log_to_driver=False, logging_level="ERROR")
    del session.disconnect
    check_versions(cluster_info.ray_version, cluster_info.python_version)
    connected = session.client_worker
    threading.Thread(target=_watch, args=(connected,), daemon=True).start()
    return connected


def disconnect() -> None:
    """End all hosts at once. Ray would give us time to come back."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(DISCONNECT_SECONDS)
    ray.shutdown()


def check_token(address: str, token: str) -> None:
    """Check that the cluster takes our token, and that it does not take anything.

    Ray itself takes half a minute to say that it could not connect, whatever the reason is. Raises
    ClusterRefused and ClusterUnreachable.
    """
    with grpc.insecure_channel(address) as channel:
        ping = ray_client_pb2_grpc.RayletDriverStub(channel).ClusterInfo
        if _is_authenticated(ping, None):
            raise ClusterRefused(
                f"the Ray cluster at {address} asks for no token; start it with RAY_AUTH_MODE=token"
            )
        if not _is_authenticated(ping, token):
            raise ClusterRefused(f"the Ray cluster at {address} refuses the token in RAY_AUTH_TOKEN")


def _is_authenticated(ping: Any, token: str | None) -> bool:
    metadata = [("client_id", "headrace")]
    if token is not None:
        metadata.append(("authorization", f"Bearer {token}"))
    try:
        ping(_PING, timeout=PING_SECONDS, metadata=metadata)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            return False
        raise ClusterUnreachable(f"{error.code().name.lower()}: {error.details()}") from None
    return True


def check_versions(ray_version: str, python_version: str) -> None:
    """Check that the cluster runs our versions: Ray is not compatible with others. Raises ClusterRefused."""
    ours = (ray.__version__, *sys.version_info[:2])
    theirs = (ray_version, *map(int, python_version.split(".")[:2]))
    if ours != theirs:
        raise ClusterRefused(
            f"the cluster runs Ray {ray_version} with Python {python_version}, this worker "
            f"Ray {ray.__version__} with Python {platform.python_version()}; run the same image in both"
        )


def refuse_pickles() -> None:
    """Keep the Ray client from loading what the cluster has pickled: it loads errors without being asked.

    Raises AttributeError if this version of Ray keeps its loaders elsewhere.
    """
    for module, name in (
        (client, "cloudpickle"),
        (client, "loads_from_server"),
        (client_pickler, "loads_from_server"),
    ):
        getattr(module, name)
        setattr(module, name, _NoPickles if name == "cloudpickle" else _NoPickles.loads)


class _NoPickles:
    """Takes the place of `cloudpickle` in the Ray client, which only ever loads with it."""

    @staticmethod
    def loads(*_arguments: object, **_options: object) -> NoReturn:
        """Raise the error that the client expects of a broken pickle."""
        raise client.pickle.UnpicklingError("the Ray cluster answered with a pickle, which is not loaded")


class _Hosts:
    """The hosts that this process has started and that have not ended, by number.

    A reference stands for what a method of an actor returns. It is waited for, and never read.
    """

    def __init__(self, connected: Any, cpus: float, gpus: int) -> None:
        self._client = connected
        self._gpus = gpus
        actor = ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0, max_task_retries=0)(HostActor)
        self._create = actor.remote
        self._actors: dict[int, Any] = {}
        self._placings: dict[Any, int] = {}
        self._runs: dict[Any, int] = {}
        self._taken_back: list[int] = []

    def place(self, number: int) -> None:
        """Have Ray start the process of a host, now or once a node has room for it."""
        actor = self._actors[number] = self._create()
        self._placings[actor.wait_for_node.remote()] = number

    def run(self, command: RunHost) -> None:
        """Run a host in its process."""
        actor = self._actors.get(command.number)
        if actor is not None:  # otherwise it has ended
            self._runs[actor.main.remote(command.address, command.secret, self._gpus)] = command.number

    def kill(self, number: int) -> None:
        """End a host, or take it back if it waits for a node."""
        actor = self._actors.get(number)
        if actor is None:
            return
        ray.kill(actor, no_restart=True)
        if number not in self._runs.values():
            self._placings = {run: other for run, other in self._placings.items() if other != number}
            self._taken_back.append(number)

    def news(self) -> Iterator[HostPlaced | HostEnded]:
        """Report what has happened since the last call. Raises ClusterUnreachable.

        A host whose process dies as it starts is placed all the same, and ends once it is to run: a reference
        tells that a method is over, not how it ended.
        """
        if not self._client.is_connected():
            raise ClusterUnreachable("the connection is lost")
        for number in (*self._taken_back, *_pop_over(self._runs)):
            del self._actors[number]
            yield HostEnded(number)
        self._taken_back.clear()
        for number in _pop_over(self._placings):
            yield HostPlaced(number)


def _pop_over(runs: dict[Any, int]) -> list[int]:
    """Take out the references whose methods are over, and return the numbers of their hosts."""
    if not runs:
        return []
    over, _ = ray.wait(list(runs), num_returns=len(runs), timeout=0, fetch_local=False)
    return [runs.pop(run) for run in over]


def _watch(connected: Any) -> None:
    failures = 0
    while failures < MAX_FAILED_PINGS:
        time.sleep(PING_SECONDS)
        try:
            connected.ping_server(timeout=PING_SECONDS)
        except Exception:  # whatever gRPC raises of a channel that is closed or being opened again
            failures += 1
        else:
            failures = 0
    os._exit(1)


def _do_nothing() -> None:
    pass
