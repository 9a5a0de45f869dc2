"""The first half of the demo: a prediction job over many texts."""

from collections import Counter
from typing import Any, Final

from rich.console import Console
from rich.table import Column, Table

from app.cli import demo_progress
from app.cli.demo_texts import make_texts
from app.client import AsyncHeadrace

BATCH_SIZE: Final = 10
SHOWN: Final = 5
TEXT_WIDTH: Final = 54


async def show(console: Console, client: AsyncHeadrace, count: int) -> dict[str, Any]:
    """Predict `count` texts in a job, show its progress and some predictions, and return a summary."""
    texts = make_texts(count)
    submitted = await client.submit(texts, batch_size=BATCH_SIZE)
    console.print(f"[bold]batch-predict[/], {len(texts)} texts, job {submitted.id}", soft_wrap=True)
    job = await demo_progress.follow(console, client, submitted)
    result = job.result or {}
    predictions = result["predictions"]
    _print_some(console, texts, predictions)
    labels = Counter(prediction["label"] for prediction in predictions)
    counts = ", ".join(f"{number} {label}" for label, number in labels.most_common())
    speed = f"{result['seconds']:.2f} s, {result['rows_per_second']:.0f} texts/s"
    console.print(f"{result['total']} texts in {speed}: {counts}\n")
    return {
        "job_id": job.id,
        "total": result["total"],
        "seconds": result["seconds"],
        "rows_per_second": result["rows_per_second"],
        "labels": dict(labels.most_common()),
    }


def _print_some(console: Console, texts: list[str], predictions: list[Any]) -> None:
    table = Table(Column("text", no_wrap=True, overflow="ellipsis", max_width=TEXT_WIDTH), "label", "score")
    step = max(1, len(texts) // SHOWN)
    for text, prediction in list(zip(texts, predictions, strict=True))[::step][:SHOWN]:
        table.add_row(text, prediction["label"], f"{prediction['score']:.2f}")
    console.print(table)
