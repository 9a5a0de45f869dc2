"""The frameworks whose models can be run, each by its name."""

from typing import Final

from worker.runtimes.runtime import Runtime
from worker.runtimes.vader import VaderRuntime

RUNTIMES: Final[dict[str, Runtime]] = {
    "vader": VaderRuntime(),
}
