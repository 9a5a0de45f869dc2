"""The second act of the demo: a model learns to read digits, and reads some that it has never seen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.cli import demo_digits, demo_progress
from app.cli.demo_digits import TARGET, Digit
from app.client import AsyncHeadrace

MODEL: Final = "digits"
IN_A_LINE: Final = 5


async def show(console: Console, client: AsyncHeadrace, folder: Path) -> None:
    """Upload digits, train on them before the user's eyes, and predict some that were held back."""
    learnt_from, held = demo_digits.hold_back(demo_digits.read())
    path = folder / "digits.csv"
    demo_digits.write(learnt_from, path)
    dataset = await client.upload(path)
    console.print(f"[bold]datasets[/], {dataset.rows} digits written by hand, 8×8 pixels each")
    submitted = await client.train(TARGET, dataset=dataset, algorithm="auto", model=MODEL)
    console.print(f"[bold]train-model[/], to tell digits from pixels, job {submitted.id}", soft_wrap=True)
    job = await demo_progress.follow(console, client, submitted)
    result = job.result or {}
    console.print(f"{result['model']} is a {result['algorithm']}. {result['why']}", soft_wrap=True)
    held_out = f"{result['validation_rows']} digits that were held out"
    seconds = f"{result['fit_seconds']:.1f} s"
    console.print(f"Accuracy [bold]{result['accuracy']:.3f}[/] on {held_out}, learnt in {seconds}\n")
    said = await client.predict(instances=[demo_digits.pixels(digit) for digit in held], model=MODEL)
    console.print(f"[bold]predict[/], {len(held)} digits that were not in the dataset, model {said.model}")
    _print_digits(console, held, said.predictions)


def _print_digits(
    console: Console, digits: Sequence[Digit], predictions: Sequence[Mapping[str, Any]]
) -> None:
    table = Table.grid(padding=(0, 3))
    cells = [_cell(*pair) for pair in zip(digits, predictions, strict=True)]
    for start in range(0, len(cells), IN_A_LINE):
        table.add_row(*cells[start : start + IN_A_LINE])
    console.print(table)


def _cell(digit: Digit, prediction: Mapping[str, Any]) -> Text:
    """The digit as it is drawn, and below it what was said of it."""
    is_right = prediction["label"] == str(digit[TARGET])
    truth = "" if is_right else f", is {digit[TARGET]}"
    said = f"{prediction['label']} ({prediction['score']:.2f}){truth}"
    picture = "\n".join(demo_digits.drawn(digit))
    return Text.assemble(f"{picture}\n", (said, "green" if is_right else "red"), "\n")
