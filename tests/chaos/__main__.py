"""`make chaos SEED=… MINUTES=… WORKERS=…`: run a fault drill and print its report."""

import asyncio
import signal
import sys

from tests.chaos import drill, report
from tests.chaos.options import Options
from tests.chaos.verdict import Verdict

INTERRUPTED = 130


def main() -> int:
    """Return 0 if every guarantee held, 1 if one was violated, 130 after Ctrl+C."""
    options = Options.from_environment()
    print(
        f"chaos: SEED={options.seed} MINUTES={options.minutes:g} WORKERS={options.workers};"
        " Ctrl+C stops it and cleans up",
        flush=True,
    )
    try:
        verdict = asyncio.run(_run(options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted")
        return INTERRUPTED
    print(report.table(options, verdict))
    return 1 if verdict.violations else 0


async def _run(options: Options) -> Verdict:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await drill.run(options)


if __name__ == "__main__":
    sys.exit(main())
