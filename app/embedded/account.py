"""Who runs Postgres, which refuses to run as root, and how that user gets at its files."""

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
"""Where the machine keeps its accounts."""


@dataclass(frozen=True)
class Account:
    """A user of this machine."""

    uid: int
    gid: int


class AccountMissing(Exception):
    """There is no unprivileged user to run Postgres as, and none could be made."""


def for_cluster(cluster: Path) -> Account | None:
    """Whom to become before touching this cluster; None is to stay who we are.

    Root becomes the owner of the cluster, or `pgserver` for a new one, which is made if need be.
    Raises AccountMissing.
    """
    if os.geteuid() != ROOT:
        return None
    if cluster.exists() and (status := cluster.stat()).st_uid != ROOT:
        return Account(status.st_uid, status.st_gid)
    return find_or_create(POSTGRES_USER)


def find_or_create(name: str) -> Account:
    """The account of this name, created if need be. Raises AccountMissing."""
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
    """Keep other processes of ours from creating the account during the body.

    useradd looks for the name before it takes its own lock. Of two at once the second replaces the account
    that the first has created, and gives it another uid: Postgres does not start as a uid without a name.
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
        raise AccountMissing(f"root needs the user {name!r} to run it, and {error}") from error
    account = _find(name)
    if account is None:
        said = result.stderr.strip()
        raise AccountMissing(f"root needs the user {name!r} to run it, and useradd says: {said}")
    return account


def grant_search(path: Path, account: Account) -> None:
    """Let the account walk down to `path`, which is a directory.

    Adds the permission to pass through (never to list) to the directories that lack it: a checkout
    or a virtual environment below a home that is closed to others is otherwise out of reach.
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
            logger.warning(
                "the directory %s was closed to user %d and can now be passed through", directory, account.uid
            )


def grant_read(tree: Path) -> None:
    """Let everybody read the tree, and execute what its owner can execute.

    An installation under a strict umask leaves a wheel's files to its owner alone.
    """
    for folder, _, names in os.walk(tree):
        for path in [Path(folder), *(Path(folder, name) for name in names)]:
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                continue
            needed = stat.S_IROTH | (stat.S_IXOTH if status.st_mode & stat.S_IXUSR else 0)
            if status.st_mode & needed != needed:
                path.chmod(stat.S_IMODE(status.st_mode) | needed)
