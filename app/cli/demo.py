"""`make demo`: the whole system, one real job, and what to try next."""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from app.cli import system
from app.cli.demo_texts import make_texts
from app.cli.serve import listen
from app.cli.system import System
from app.client import AsyncHeadrace, Job, Submitted

BATCH_SIZE: Final = 10
SHOWN: Final = 8


async def run(*, texts: int) -> None:
    """Start everything on free ports, predict `texts` texts before the user's eyes, stop everything."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="headrace-demo-") as folder, listen("127.0.0.1", 0) as listener:
        data_dir = Path(folder)
        data_dir.chmod(0o711)  # root's Postgres is another user, who has to get through
        with (data_dir / "processes.log").open("wb") as logs:
            console.print("[bold]Headrace[/] starts: Postgres, Valkey, the API and a worker …")
            async with system.running(data_dir, listener=listener, logs=logs) as running:
                console.print(f"It is at {running.url}\n")
                await _show(console, running, make_texts(texts))


async def _show(console: Console, running: System, texts: list[str]) -> None:
    async with AsyncHeadrace(running.url, username=running.username, password=running.password) as client:
        submitted = await client.submit(texts, batch_size=BATCH_SIZE)
        console.print(f"[bold]batch-predict[/], {len(texts)} texts, job {submitted.id}")
        await _follow(console, client, submitted)
        job = await client.job(submitted)
    _print_result(console, texts, job)
    _print_next(console)


async def _follow(console: Console, client: AsyncHeadrace, job: Submitted) -> None:
    """Draw the job's progress from its event stream, as it happens."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=40),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("pending", total=None)
        async for event in client.follow(job):
            progress.update(
                bar, completed=event.done, total=event.total, description=event.step or event.status
            )


def _print_result(console: Console, texts: list[str], job: Job) -> None:
    if job.result is None:
        raise SystemExit(f"The job ended as {job.status}: {job.error}")
    result = job.result
    table = Table("text", "label", "score", title="Some of the predictions", title_justify="left")
    step = max(1, len(texts) // SHOWN)
    for text, prediction in list(zip(texts, result["predictions"], strict=True))[::step][:SHOWN]:
        table.add_row(text, prediction["label"], f"{prediction['score']:.2f}")
    console.print()
    console.print(table)
    labels = Counter(prediction["label"] for prediction in result["predictions"])
    counts = ", ".join(f"{count} {label}" for label, count in labels.most_common())
    speed = f"{result['seconds']:.2f} s, {result['rows_per_second']:.0f} texts/s"
    console.print(f"\n{result['total']} texts in {speed}: {counts}\n")


_NEXT: Final = """\
  URL=http://localhost:8000
  TOKEN=$(curl -s $URL/token -d username=demo -d password=$(cat .data/demo-password) |
          python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
  curl -s $URL/jobs/batch-predict -H "Authorization: Bearer $TOKEN" \\
       -H 'Content-Type: application/json' -d '["What a lovely day", "I want my money back"]'
  curl -sN $URL/jobs/JOB_ID/stream -H "Authorization: Bearer $TOKEN"
  curl -s $URL/jobs/JOB_ID -H "Authorization: Bearer $TOKEN"
"""


def _print_next(console: Console) -> None:
    console.print("[bold]Now by hand:[/] `make run`, and a browser at http://localhost:8000/watch")
    console.print("(the user is demo, the password in .data/demo-password); or in another terminal\n")
    console.print(_NEXT, markup=False, highlight=False, soft_wrap=True)
