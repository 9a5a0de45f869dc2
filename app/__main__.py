"""`python -m app`: the command line."""

import signal
import sys

# Whoever is told to stop while it is still importing has nothing to finish, and has not failed.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

if __name__ == "__main__":
    from app.cli.main import main

    sys.exit(main())
