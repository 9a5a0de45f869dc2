"""`python -m worker`: one worker of the pool."""

# ruff: noqa: E402  # the handler first, then the imports, which take a while

import argparse
import signal
import sys

# A worker that is stopped during its imports has nothing to finish and has not failed.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

from app.core import garbage

with garbage.paused():
    import uvloop

    from app.core import hardening, logging, metrics
    from app.core.component import Component
    from app.core.config import load_settings
    from app.core.errors import ConfigurationError
    from worker.children.errors import ChildStartFailed
    from worker.main import work


def main() -> int:
    """Run a worker until SIGTERM or SIGINT. Exit codes: 0 stopped, 1 could not start, 2 wrong usage."""
    hardening.make_undumpable()  # before any setting is read
    arguments = _parse()
    overrides = {
        "worker_queues": arguments.queues,
        "worker_slots": arguments.slots,
        "worker_name": arguments.name,
    }
    try:
        settings = load_settings(**{name: value for name, value in overrides.items() if value is not None})
        metrics.describe_process(Component.WORKER)
    except ConfigurationError as error:
        return _cannot_start(error)
    logging.configure(settings, Component.WORKER)
    # Before the first child starts: a child could read our environment.
    hardening.drop_secrets()
    try:
        uvloop.run(work(settings))
    except (ConfigurationError, ChildStartFailed, OSError) as error:
        return _cannot_start(error)
    return 0


def _cannot_start(error: Exception) -> int:
    sys.stderr.write(f"The worker cannot start: {error}\n")
    return 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m worker", description="Run one worker of the pool.")
    parser.add_argument("--queues", help="queues to serve, comma-separated")
    parser.add_argument("--slots", type=int, help="number of concurrent jobs")
    parser.add_argument("--name", help="worker name, shown in logs and listings")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
