"""`python -m tests.hostile`: run the tests in an environment that breaks common assumptions.

The monotonic clock starts ten seconds before the run (in a time namespace). The time zone is Pacific/Chatham,
12:45 or 13:45 hours ahead of UTC. The order is random; set SEED to the printed seed to repeat it. The locale
is not English, if another one is installed. The home directory is empty. Two busy processes (BUSY) compete
for the CPU. Arguments are passed to pytest.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from tests.support.processes import ROOT

TIME_ZONE: Final = "Pacific/Chatham"
UPTIME_SECONDS: Final = 10
LOCALES: Final = ("tr_TR.UTF-8", "tr_TR.utf8", "de_DE.UTF-8", "de_DE.utf8", "C")
TIMEOUT_SECONDS: Final = 600

# Ends when its parent dies.
BUSY_PROGRAM: Final = (
    "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))"
)


def main() -> int:
    """Run pytest in this environment and return its exit code."""
    seed = os.environ.get("SEED") or str(random.randrange(2**32))
    busy = int(os.environ.get("BUSY") or 2)
    namespace = shortly_after_boot()
    language = _locale()
    environment = {**os.environ, "TZ": TIME_ZONE, "LC_ALL": language, "LANG": language}
    print(f"seed {seed}, TZ={TIME_ZONE}, LC_ALL={language}, {busy} busy processes")
    if namespace:
        print(f"{UPTIME_SECONDS} s after boot: {' '.join(namespace)}")
    else:
        print("NOT shortly after boot: this machine does not permit time namespaces (unshare --time).")
    sys.stdout.flush()
    command = [*namespace, sys.executable, *_pytest(seed), *sys.argv[1:]]
    with tempfile.TemporaryDirectory() as home, _busy(busy, environment):
        return subprocess.run(command, cwd=ROOT, env=environment | {"HOME": home}, check=False).returncode


def shortly_after_boot() -> list[str]:
    """Return the command prefix that runs a command shortly after boot; empty if that is not permitted."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return []
    offset = UPTIME_SECONDS - int(time.clock_gettime(time.CLOCK_BOOTTIME))
    clocks = ["--time", f"--monotonic={offset}", f"--boottime={offset}"]
    for more in ([], ["--user", "--map-current-user"]):
        command = [unshare, *more, *clocks]
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    return []


def _pytest(seed: str) -> list[str]:
    return [
        *("-m", "pytest", "-n", "3", "--dist", "worksteal", "-rsfE", f"--timeout={TIMEOUT_SECONDS}"),
        *("-p", "randomly", f"--randomly-seed={seed}", "--randomly-dont-reset-seed"),
    ]


def _locale() -> str:
    there = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout.split()
    return next((name for name in LOCALES if name in there), "C")


@contextmanager
def _busy(count: int, environment: Mapping[str, str]) -> Iterator[None]:
    command = [sys.executable, "-c", BUSY_PROGRAM]
    processes = [subprocess.Popen(command, env=environment) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
