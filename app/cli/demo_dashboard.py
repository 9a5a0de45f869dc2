"""The end of the demo, if it is to stay: a long job to watch in the dashboard, until Ctrl+C."""

import asyncio
import csv
import signal
from pathlib import Path
from typing import Final

from rich.console import Console

from app.cli.demo_texts import make_texts
from app.cli.output import print_json
from app.cli.system import System
from app.client import AsyncHeadrace

ROWS: Final = 500_000
TEXTS: Final = 1000
BATCH_SIZE: Final = 500
"""As many rows in such batches take a minute or two on one core."""


async def show(
    console: Console, client: AsyncHeadrace, running: System, folder: Path, *, as_json: bool
) -> None:
    """Start a long job, say where to watch it, and return at SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    path = folder / "texts.csv"
    await asyncio.to_thread(_write, path)
    dataset = await client.upload(path)
    job = await client.submit(dataset=dataset, column="text", batch_size=BATCH_SIZE)
    address = f"{running.url}/dashboard/jobs/{job.id}"
    if as_json:
        print_json({"url": address, "username": running.username, "password": running.password})
    console.print(f"\n[bold]Watch it move:[/] {address}", soft_wrap=True)
    console.print(
        f"Sign in as [bold]{running.username}[/] with the password [bold]{running.password}[/]."
        " Ctrl+C stops everything."
    )
    await stop.wait()
    console.print("Stopping …")


def _write(path: Path) -> None:
    """Write a CSV file with one text in each row."""
    texts = make_texts(TEXTS)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text"])
        writer.writerows([texts[number % TEXTS]] for number in range(ROWS))
