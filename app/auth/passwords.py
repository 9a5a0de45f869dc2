"""Password rules, and hashing in threads that does not block the event loop."""

import asyncio
import secrets
import time
import unicodedata
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

from passlib.hash import argon2

from app.auth import usernames
from app.auth.concurrency_limit import ConcurrencyLimiter
from app.auth.errors import TooManySignIns, WeakPassword
from app.core import metrics, text

MIN_LENGTH: Final = 8
MAX_LENGTH: Final = 128

# Normalising takes quadratic time in a run of combining marks, so far too long input is rejected first.
MAX_LENGTH_AS_TYPED: Final = 4 * MAX_LENGTH

_LENGTH: Final = f"it needs {MIN_LENGTH} to {MAX_LENGTH} characters"

THREADS: Final = 2
TURNS: Final = THREADS + 1
"""Sign-ins in progress at a time: one can wait for the database while the others are hashed."""

MAX_WAITING: Final = 20

# OWASP's parameters for argon2id: about 17 ms and 19 MiB for each hash.
_hasher = argon2.using(type="ID", memory_cost=19_456, time_cost=2, parallelism=1)
_common = frozenset(Path(__file__).with_name("common_passwords.txt").read_text().split())

Answer = TypeVar("Answer")


def accept(password: str, username: str = "") -> str:
    """Return the normalised password, ready to be hashed. Raises WeakPassword if it breaks a rule."""
    if not text.is_storable(password):
        raise WeakPassword(reason="it has characters that are not text")
    if len(password) > MAX_LENGTH_AS_TYPED:
        raise WeakPassword(reason=_LENGTH)
    normal = normalise(password)
    if not MIN_LENGTH <= len(normal) <= MAX_LENGTH:
        raise WeakPassword(reason=_LENGTH)
    if normal.casefold() in _common:
        raise WeakPassword(reason="it is one of the most common passwords")
    if username and usernames.key(normal) == usernames.key(username):
        raise WeakPassword(reason="it is the username")
    return normal


def normalise(password: str) -> str:
    """Return a password in one Unicode form: systems encode accented characters differently."""
    return unicodedata.normalize("NFC", password)


class Passwords:
    """Hashes and checks passwords in its own threads, for a bounded number of callers."""

    def __init__(self, executor: ThreadPoolExecutor, decoy: str) -> None:
        self._executor = executor
        self._decoy = decoy
        self._queue = ConcurrencyLimiter(at_once=TURNS, waiting=MAX_WAITING, too_many=TooManySignIns)

    @asynccontextmanager
    async def turn(self, network: str = "") -> AsyncIterator["Turn"]:
        """Wait for a turn (see `ConcurrencyLimiter`). Raises TooManySignIns when too many callers wait.

        A caller that needs the database takes a turn before it takes a connection. So in a flood of sign-ins,
        those that are refused cost no query, and other requests still get connections.
        """
        async with self._queue.turn(network):
            yield Turn(self._executor, self._decoy)


class Turn:
    """The permission to hash and check passwords during a `with Passwords.turn()`."""

    def __init__(self, executor: ThreadPoolExecutor, decoy: str) -> None:
        self._executor = executor
        self._decoy = decoy

    async def hash(self, password: str, username: str = "") -> str:
        """The argon2id hash of a password; raises WeakPassword."""
        accepted = accept(password, username)
        return await self._run(lambda: str(_hasher.hash(accepted)))

    async def check(self, password: str, password_hash: str | None) -> bool:
        """Whether this is the password.

        Without a hash, for an unknown username, a decoy is checked, so that the response takes as long.
        """
        normal = normalise(password)
        is_right = await self._run(lambda: bool(_hasher.verify(normal, password_hash or self._decoy)))
        return is_right and password_hash is not None

    async def _run(self, compute: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._executor, _time, compute)


def _time(compute: Callable[[], Answer]) -> Answer:
    start = time.perf_counter()
    answer = compute()
    metrics.PASSWORD_SECONDS.observe(time.perf_counter() - start)
    return answer


@cache
def _decoy() -> str:
    """The hash of a random password, computed once per process."""
    return str(_hasher.hash(secrets.token_urlsafe()))


@asynccontextmanager
async def open_passwords() -> AsyncIterator[Passwords]:
    """Open the hashing threads during the body."""
    executor = ThreadPoolExecutor(THREADS, thread_name_prefix="password")
    try:
        yield Passwords(executor, await asyncio.get_running_loop().run_in_executor(executor, _decoy))
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
