"""`python -m app dev`: everything on one machine until Ctrl+C."""

import asyncio
import signal
from pathlib import Path

from rich.console import Console

from app.cli import system
from app.cli.listening import listen


async def run(*, port: int, slots: int | None, data_dir: Path) -> None:
    """Serve the whole system on a port, with its data in `data_dir`, until SIGINT or SIGTERM."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    console = Console(stderr=True)
    with listen("127.0.0.1", port) as listener:
        async with system.running(data_dir, listener=listener, slots=slots) as running:
            console.print(
                f"\n[bold]Headrace[/] is at [link]{running.url}[/], its API described at {running.url}/docs"
            )
            console.print(
                f"Sign in at [link]{running.url}/watch[/] as [bold]{running.username}[/]"
                f" with the password [bold]{running.password}[/]"
            )
            console.print("Ctrl+C stops it; the data stays in", str(data_dir), "\n", highlight=False)
            await stopping.wait()
            console.print("Stopping …")
