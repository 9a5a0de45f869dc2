"""The second half of the demo: train a model to read digits, and predict digits that it has not seen."""

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
DIGITS_PER_LINE: Final = 5


async def show(console: Console, client: AsyncHeadrace, folder: Path) -> dict[str, Any]:
    """Upload digits, train on them, predict some that were held back, and return a summary."""
    training_digits, held = demo_digits.hold_back(demo_digits.read())
    path = folder / "digits.csv"
    demo_digits.write(training_digits, path)
    dataset = await client.upload(path)
    console.print(f"[bold]datasets[/], {dataset.rows} handwritten digits of 8×8 pixels")
    submitted = await client.train(TARGET, dataset=dataset, algorithm="auto", model=MODEL)
    console.print(f"[bold]train-model[/], to read digits from pixels, job {submitted.id}", soft_wrap=True)
    job = await demo_progress.follow(console, client, submitted)
    result = job.result or {}
    console.print(f"{result['model']} is a {result['algorithm']}. {result['why']}", soft_wrap=True)
    tested = f"{result['test_rows']} digits in a {result['split']['folds']}-fold cross-validation"
    seconds = f"{result['fit_seconds']:.1f} s"
    console.print(f"Accuracy [bold]{result['accuracy']:.3f}[/] on {tested}, trained in {seconds}\n")
    prediction = await client.predict(instances=[demo_digits.pixels(digit) for digit in held], model=MODEL)
    console.print(f"[bold]predict[/], {len(held)} digits not in the dataset, model {prediction.model}")
    _print_digits(console, held, prediction.predictions)
    correct = sum(map(_is_correct, held, prediction.predictions))
    return {
        "job_id": job.id,
        "dataset_id": dataset.id,
        "model": result["model"],
        "algorithm": result["algorithm"],
        "accuracy": result["accuracy"],
        "fit_seconds": result["fit_seconds"],
        "predicted": len(held),
        "correct": correct,
    }


def _print_digits(
    console: Console, digits: Sequence[Digit], predictions: Sequence[Mapping[str, Any]]
) -> None:
    table = Table.grid(padding=(0, 3))
    cells = [_cell(*pair) for pair in zip(digits, predictions, strict=True)]
    for start in range(0, len(cells), DIGITS_PER_LINE):
        table.add_row(*cells[start : start + DIGITS_PER_LINE])
    console.print(table)


def _cell(digit: Digit, prediction: Mapping[str, Any]) -> Text:
    """The drawn digit, and below it the prediction and its score."""
    is_correct = _is_correct(digit, prediction)
    truth = "" if is_correct else f", is {digit[TARGET]}"
    caption = f"{prediction['label']} ({prediction['score']:.2f}){truth}"
    picture = "\n".join(demo_digits.draw(digit))
    return Text.assemble(f"{picture}\n", (caption, "green" if is_correct else "red"), "\n")


def _is_correct(digit: Digit, prediction: Mapping[str, Any]) -> bool:
    return bool(prediction["label"] == str(digit[TARGET]))
