"""`make chaos SEED=… MINUTES=… WORKERS=…`: hold a fault drill and print what it found."""

import asyncio
import signal
import sys

from tests.chaos import drill, report
from tests.chaos.options import Options
from tests.chaos.verdict import Verdict

INTERRUPTED = 130


def main() -> int:
    """0 if every promise was kept, 1 if one was broken, 130 after Ctrl+C."""
    options = Options.from_environment()
    print(
        f"chaos: SEED={options.seed} MINUTES={options.minutes:g} WORKERS={options.workers};"
        " Ctrl+C stops it and leaves nothing behind",
        flush=True,
    )
    try:
        verdict = asyncio.run(_hold(options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted")
        return INTERRUPTED
    print(report.table(options, verdict))
    return 1 if verdict.broken else 0


async def _hold(options: Options) -> Verdict:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await drill.hold(options)


if __name__ == "__main__":
    sys.exit(main())
