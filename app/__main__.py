"""`python -m app`: the command line."""

import signal
import sys

from app.core import garbage

_RUN_UNTIL_STOPPED = {"dev", "serve", "servers"}


def _terminate(*_: object) -> None:
    # SIGTERM is how these commands end; any other command has been cut short. Installed before the imports,
    # which take a while.
    sys.exit(0 if _RUN_UNTIL_STOPPED.intersection(sys.argv[1:2]) else 143)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminate)
    try:
        with garbage.paused():
            from app.cli.main import main

        sys.exit(main())
    except KeyboardInterrupt:  # during the imports
        sys.exit(130)
