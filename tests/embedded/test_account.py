"""The account that Postgres runs as, when root has to create it."""

import multiprocessing
import os
import pwd
import shutil
import subprocess
import threading
from collections.abc import Iterator

import pytest

from app.embedded import account
from app.embedded.account import Account, AccountMissing

PROCESSES = 3

pytestmark = pytest.mark.skipif(
    os.geteuid() != account.ROOT or shutil.which("useradd") is None, reason="only root creates accounts"
)


@pytest.fixture
def name() -> Iterator[str]:
    """The name of an account that does not exist; removed afterwards."""
    name = f"headrace-test-{os.getpid()}"
    yield name
    subprocess.run(["userdel", name], capture_output=True, check=False)


def test_processes_that_create_the_account_concurrently_get_the_same_one(name: str) -> None:
    """On a new machine, all test processes start a Postgres at the same moment."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        start = manager.Barrier(PROCESSES)
        with context.Pool(PROCESSES) as pool:
            found = pool.starmap(_create_together, [(start, name)] * PROCESSES, chunksize=1)

    entry = pwd.getpwnam(name)
    assert found == [Account(entry.pw_uid, entry.pw_gid)] * PROCESSES


def test_an_account_that_cannot_be_created_is_reported_with_the_reason() -> None:
    with pytest.raises(AccountMissing, match="useradd cannot create"):
        account.find_or_create("no name at all")


def _create_together(start: threading.Barrier, name: str) -> Account:
    start.wait()
    return account._create(name)
