"""Shows searches to people: a line per trial that ends, and the leaderboard."""

import sys
from collections.abc import Mapping
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from app.cli.jobs.table import COLOURS
from app.cli.tables import print_table
from app.client import Search, Trial

_ID_WIDTH: Final = 36


class TrialLines:
    """Prints a line to stderr for each trial when it ends."""

    def __init__(self) -> None:
        self._shown: set[str] = set()

    def show(self, search: Search) -> None:
        """Print the trials that have ended since the last call."""
        for trial in search.leaderboard:
            if trial.is_final and trial.job_id not in self._shown:
                self._shown.add(trial.job_id)
                count = f"{len(self._shown)}/{len(search.leaderboard)}"
                print(
                    f"{count}  {trial.status}  {_outcome(search, trial)}  {_params(trial.params)}",
                    file=sys.stderr,
                )


def print_best(search: Search) -> None:
    """Print the best version to stderr."""
    if search.best_value is None:
        print(f"best: none, since no trial has a value of {search.metric or 'the metric'}", file=sys.stderr)
        return
    print(f"best: {search.best_model}, {search.metric} {search.best_value:.4g}", file=sys.stderr)


def print_leaderboard(search: Search) -> None:
    """Print one row per trial to stdout, the best first."""
    table = Table(box=None, pad_edge=False)
    table.add_column("rank", justify="right")
    table.add_column("job", no_wrap=True, min_width=_ID_WIDTH)
    of_folds = () if search.folds is None else ("std", "folds")
    for column in ("status", search.metric or "value", *of_folds, "model", "params"):
        table.add_column(column, no_wrap=column != "params")
    for trial in search.leaderboard:
        table.add_row(
            "" if trial.rank is None else str(trial.rank),
            trial.job_id,
            Text(trial.status, style=COLOURS.get(trial.status, "default")),
            _number(trial.value),
            *(() if search.folds is None else (_number(trial.std), _folds(trial))),
            trial.model or "",
            _params(trial.params)
            if trial.error is None
            else f"{_params(trial.params)}: {trial.error.message}",
        )
    print_table(table)


def _outcome(search: Search, trial: Trial) -> str:
    if trial.error is not None:
        return trial.error.message
    value = "no value" if trial.value is None else _number(trial.value)
    spread = "" if trial.std is None else f" ± {_number(trial.std)}"
    return f"{search.metric or 'value'} {value}{spread}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _folds(trial: Trial) -> str:
    """Return the value of each fold that has one, and the status of the others."""
    return " ".join(fold.status if fold.value is None else _number(fold.value) for fold in trial.folds)


def _params(params: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in params.items())
