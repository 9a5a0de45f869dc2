"""`python -m app servers`: only the embedded servers, for whoever runs the rest by hand."""

import signal
from pathlib import Path

from app.embedded.servers import EmbeddedServers


def run(data_dir: Path) -> None:
    """Start both servers, print where they are, and stop them on SIGTERM or SIGINT."""
    stopping = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    with EmbeddedServers(data_dir) as servers:
        for name, url in servers.urls.items():
            print(f"{name}={url}", flush=True)
        signal.sigwait(stopping)
