"""The protocols of engines: an engine lends children to slots; a host starts them; a starter starts hosts.

    Engine    what `ENGINE` chooses: lends a child to each attempt
      Host    the processes and files of one machine or node: what a pool of children is made of
        Place the files there
      Starter starts and kills the hosts of an engine whose hosts come and go

Messages, lease, reports, storage and limits stay above an engine, so all engines behave alike
(`tests/conformance/test_engines.py`).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from app.core.files import StoredFile
from app.jobs.workers.states import EngineState
from worker.children.inbox import Inbox
from worker.children.local_gauge import Gauge
from worker.children.tenancy import Tenancy

if TYPE_CHECKING:
    from worker.children.child_handle import Child  # which has a place

CountDue = Callable[[int], Awaitable[int]]
"""Returns how many jobs are due that slots of this worker could run, counted up to the argument."""


class Place(Protocol):
    """Files where children run. All paths are those that the children see. Methods raise PlaceFault."""

    async def bring(self, child: int, file: StoredFile, local: Path) -> Path:
        """Make a file of the worker's disk readable there until the child ends, and return its path.

        Raises FileDamaged.
        """

    async def keep(self, child: int, paths: Iterable[Path]) -> frozenset[Path]:
        """Keep brought files until this child ends too. Returns those that are still there."""

    async def create_folder(self, child: int) -> Path:
        """Create the folder in which a child writes. It is removed when the child ends."""

    def read(self, child: int, name: str) -> AsyncIterator[bytes]:
        """Read a regular file below the child's folder, block by block, without following links.

        Raises FileNotFoundError if there is none.
        """

    async def clear(self, child: int) -> None:
        """Remove everything in the child's folder."""

    def exceeds_limit(self, child: int) -> Awaitable[bool]:
        """Return whether the child has written more than it may."""


class PlaceFault(Exception):
    """A file could not be read or written where the child runs. Another attempt may succeed."""


class FileDamaged(PlaceFault):
    """A file of the worker's disk does not have the SHA-256 with which it was stored."""


class Host(Gauge, Protocol):
    """The fork server of one machine or node, and the children that it has started.

    The end of each child is reported to what opened the host: its number, exit code, processor time and peak
    memory.
    """

    @property
    def pid(self) -> int | None:
        """Its process on this machine, if it is there."""

    @property
    def is_running(self) -> bool:
        """Whether children can be started."""

    @property
    def place(self) -> Place | None:
        """The files there. None if the children share the worker's disk."""

    async def start(self, inbox: Inbox) -> int:
        """Start a child that speaks over this inbox, and return its number. Raises ChildStartFailed."""

    def kill(self, child: int) -> None:
        """Kill a child and all that it has started. Its end is reported like any other."""

    async def close(self) -> None:
        """End the host and all its children, and wait until they have ended."""


class Engine(Protocol):
    """Lends children to the slots of one worker. An async context manager: at its end all have ended."""

    @property
    def kinds(self) -> tuple[str, ...] | None:
        """The kinds that the children have handlers for; None before the first child has started."""

    @property
    def pids(self) -> Sequence[int]:
        """The processes on this machine that the load of the worker includes."""

    @property
    def state(self) -> EngineState:
        """Whether it can run jobs at once."""

    def slot(self, due: CountDue) -> AbstractAsyncContextManager[bool]:
        """Reserve a child for the body, before a job is claimed for it.

        Waits until a child is ready. Gives False if by then no job is due any more.
        """

    def take(self, tenancy: Tenancy) -> "AbstractAsyncContextManager[Child]":
        """Lend a child for one attempt. Raises ChildStartFailed."""

    async def __aenter__(self) -> Self:
        """Start what has to run before the first job."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """End all children, including busy ones."""


class HostStartFailed(Exception):
    """A host could not be started. It is tried again, with backoff."""


class Starter(Protocol):
    """Starts and kills the hosts of an engine: as Ray actors, or as processes of this machine.

    An engine numbers its hosts and never uses a number twice. All methods but `start` return within seconds.
    """

    @property
    def is_available(self) -> bool:
        """Whether hosts can be started. If not, the starter reconnects by itself."""

    async def open(self, on_lost: Callable[[int], None]) -> None:
        """Connect. Calls `on_lost` with the number of a started host whose process is known to have ended.

        Raises ConfigurationError if it can never work.
        """

    async def start(self, number: int, address: str, secret: Callable[[], str]) -> None:
        """Start a host, and return once its process runs `host.main(address, secret)`.

        Waits while no node has room for it; `kill` of the same number makes a waiting start raise. A secret
        is valid for 60 s and for one connection. So call `secret` only once the host has a node: each call
        makes a new one, and ends the validity of the last. Raises HostStartFailed.
        """

    async def kill(self, number: int) -> None:
        """Kill a host at once and irrevocably, whether it waits, runs, hangs or has ended."""

    async def close(self) -> None:
        """Kill all hosts, and disconnect."""
