"""`headrace servers`: only the embedded servers, for developers who start the API and workers themselves."""

import shlex
import signal
from pathlib import Path

from app.cli.output import print_json
from app.embedded.servers import EmbeddedServers


def run(data_dir: Path, *, as_json: bool) -> None:
    """Start both servers, print their URLs, and stop them on SIGTERM or SIGINT."""
    stop_signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals)
    with EmbeddedServers(data_dir) as servers:
        if as_json:
            print_json(servers.urls)
        else:
            for name, url in servers.urls.items():
                print(f"{name}={shlex.quote(url)}", flush=True)
        signal.sigwait(stop_signals)
