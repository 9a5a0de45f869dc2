"""`headrace dev`: everything on one machine until Ctrl+C."""

import asyncio
import signal
from pathlib import Path

from rich.console import Console

from app.cli import system
from app.cli.listening import listen
from app.cli.output import print_json
from app.cli.system import System


async def run(*, port: int, slots: int | None, data_dir: Path, as_json: bool) -> None:
    """Serve the whole system on a port, with its data in `data_dir`, until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    console = Console(stderr=True, quiet=as_json)
    with listen("127.0.0.1", port) as listener:
        async with system.running(data_dir, listener=listener, slots=slots) as running:
            if as_json:
                print_json(
                    {
                        "url": running.url,
                        "username": running.username,
                        "password": running.password,
                        "data_dir": str(data_dir),
                    }
                )
            _print_welcome(console, running, data_dir)
            await stop.wait()
            console.print("Stopping …")


def _print_welcome(console: Console, running: System, data_dir: Path) -> None:
    console.print(f"\n[bold]Headrace[/] is at [link]{running.url}[/]; API documentation: {running.url}/docs")
    console.print(
        f"Sign in at [link]{running.url}/dashboard/[/] as [bold]{running.username}[/]"
        f" with the password [bold]{running.password}[/]"
    )
    console.print("Ctrl+C stops it; the data stays in", str(data_dir), "\n", highlight=False)
