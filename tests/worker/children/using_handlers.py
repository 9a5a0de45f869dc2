"""Handlers that use a known amount of processor time or memory, and spend it in functions of known names."""

import asyncio
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from worker.context import Handler, JobContext, JobError, Yielded

MEBIBYTE = 1024 * 1024
SECONDS = 1.0
STEPS = 100_000
BURN = "import time\nwhile time.process_time() < {seconds}: pass"


def burn(seconds: float) -> None:
    """Use this much processor time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def allocate(mebibytes: int) -> None:
    """Fill memory, and free it."""
    memory = bytearray(os.urandom(MEBIBYTE)) * mebibytes
    del memory


def burn_a_second(job: JobContext) -> dict[str, Any]:
    burn(SECONDS)
    return {}


def sleep_a_while(job: JobContext) -> dict[str, Any]:
    time.sleep(0.3)
    return {}


def allocate_and_free(job: JobContext) -> dict[str, Any]:
    allocate(job.params["mebibytes"])
    return {}


def burn_in_a_program(job: JobContext) -> dict[str, Any]:
    subprocess.run([sys.executable, "-S", "-c", BURN.format(seconds=SECONDS)], check=True)
    return {}


def burn_and_raise(job: JobContext) -> NoReturn:
    burn(SECONDS)
    raise JobError("no_luck", "Not today.")


def burn_forever(job: JobContext) -> NoReturn:
    job.commit([os.getpid()])
    while True:
        burn(SECONDS)


def burn_forever_in_a_program(job: JobContext) -> dict[str, Any]:
    program = subprocess.Popen([sys.executable, "-S", "-c", BURN.format(seconds=600)])
    job.commit([program.pid])
    time.sleep(600)
    return {}


def hold_memory(job: JobContext) -> dict[str, Any]:
    memory = bytearray(os.urandom(MEBIBYTE)) * job.params["mebibytes"]
    job.commit([len(memory)])
    time.sleep(600)
    return {"bytes": len(memory)}


def hot(rounds: int) -> None:
    """Take some milliseconds for each round, in steps that a busy machine slows like all others."""
    for _ in range(rounds * STEPS):
        pass


def lukewarm(rounds: int) -> None:
    for _ in range(rounds * STEPS):
        pass


def spend_four_fifths(job: JobContext) -> dict[str, Any]:
    """Spend 80 % of the time in `hot`, in parts that are long compared with the distance of two samples."""
    for _ in range(2):
        hot(80)
        lukewarm(20)
    return {}


def close_the_peak_reset(job: JobContext) -> dict[str, Any]:
    for link in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):  # that of the listing is closed
            if str(link.readlink()).endswith("clear_refs"):
                os.close(int(link.name))
    return {}


def sort_in_c(job: JobContext) -> dict[str, Any]:
    """Spend the time in one C call that keeps the interpreter's lock."""
    numbers = [(n * 7919) % 1_000_003 for n in range(job.params["numbers"])]
    numbers.sort()
    return {"smallest": numbers[0]}


async def wait_then_burn(job: JobContext) -> dict[str, Any]:
    await asyncio.sleep(0.2)
    hot(20)
    return {}


def sleep_here() -> None:
    time.sleep(0.3)


def sleep_in_a_function(job: JobContext) -> dict[str, Any]:
    sleep_here()
    return {}


def burn_until_stopped(job: JobContext) -> dict[str, Any] | Yielded:
    number = 0
    while not job.stop_requested:
        hot(60)
        job.commit([number])
        number += 1
    return Yielded()


def recurse(depth: int) -> int:
    if depth == 0:
        hot(20)
        return 0
    return recurse(depth - 1) + 1


def recurse_deeply(job: JobContext) -> dict[str, Any]:
    return {"depth": recurse(500)}


HANDLERS: dict[str, Handler] = {
    handler.__name__: handler
    for handler in (
        burn_a_second,
        sleep_a_while,
        allocate_and_free,
        burn_in_a_program,
        burn_and_raise,
        burn_forever,
        burn_forever_in_a_program,
        hold_memory,
        close_the_peak_reset,
        spend_four_fifths,
        sort_in_c,
        wait_then_burn,
        sleep_in_a_function,
        burn_until_stopped,
        recurse_deeply,
    )
}
