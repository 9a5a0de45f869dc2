"""The user that runs Postgres, which refuses to run as root, and that user's access to its files."""

import fcntl
import logging
import os
import pwd
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger("headrace.embedded")

ROOT = 0
POSTGRES_USER = "pgserver"
ACCOUNTS = "/etc"
"""Folder of the account files; locked while an account is added."""


@dataclass(frozen=True)
class Account:
    """A user of this machine."""

    uid: int
    gid: int


class AccountMissing(Exception):
    """There is no unprivileged user to run Postgres as, and none could be created."""


def for_cluster(cluster: Path) -> Account | None:
    """The account to switch to before touching this cluster; None: keep the current one.

    Root switches to the owner of the cluster, or for a new cluster to `pgserver`, which it creates if needed.
    Raises AccountMissing.
    """
    if os.geteuid() != ROOT:
        return None
    if cluster.exists() and (status := cluster.stat()).st_uid != ROOT:
        return Account(status.st_uid, status.st_gid)
    return find_or_create(POSTGRES_USER)


def find_or_create(name: str) -> Account:
    """Return the account of this name; create it if there is none. Raises AccountMissing."""
    return _find(name) or _create(name)


def _find(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_uid, entry.pw_gid)


def _create(name: str) -> Account:
    with _one_at_a_time():
        # Another process may have created it while this one waited.
        return _find(name) or _add(name)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Keep other Headrace processes from creating the account during the body.

    useradd checks the name before it takes its own lock. If two run at once, the second replaces the account
    of the first under another uid, and Postgres does not start as a uid without a name.
    """
    folder = os.open(ACCOUNTS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _add(name: str) -> Account:
    command = ["useradd", "--system", "--user-group", "--no-create-home", name]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise AccountMissing(
            f"Postgres cannot run as root, and useradd cannot create {name!r}: {error}"
        ) from error
    account = _find(name)
    if account is None:
        reason = result.stderr.strip()
        raise AccountMissing(f"Postgres cannot run as root, and useradd cannot create {name!r}: {reason}")
    return account


def grant_search(path: Path, account: Account) -> None:
    """Let the account reach the directory `path`.

    Adds the search permission (never the read permission) to each directory on the way that lacks it. Without
    it a checkout or a virtual environment below a private home directory is out of reach.
    """
    for directory in [*reversed(path.parents), path]:
        status = directory.stat()
        if status.st_uid == account.uid:
            needed = stat.S_IXUSR
        elif status.st_gid == account.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not status.st_mode & needed:
            directory.chmod(stat.S_IMODE(status.st_mode) | needed)
            logger.warning("search permission on the directory %s added for user %d", directory, account.uid)


def grant_read(tree: Path) -> None:
    """Let all users read the tree, and execute what its owner can execute.

    A wheel that was installed under a strict umask is readable for its owner only.
    """
    for folder, _, names in os.walk(tree):
        for path in [Path(folder), *(Path(folder, name) for name in names)]:
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                continue
            needed = stat.S_IROTH | (stat.S_IXOTH if status.st_mode & stat.S_IXUSR else 0)
            if status.st_mode & needed != needed:
                path.chmod(stat.S_IMODE(status.st_mode) | needed)
