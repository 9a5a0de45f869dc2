"""The commands of `headrace search`. Each imports the client when it runs, so that `--help` stays fast."""

from typing import Annotated

import typer

from app.cli.datasets.options import DatasetOptions, FileOptions
from app.cli.jobs.options import JobOptions, ServerOptions, Watch, without_none
from app.cli.jobs.values import Pair
from app.cli.option_groups import with_option_groups
from app.cli.options import AsJson, examples
from app.cli.searches.values import parse_values
from app.cli.training.options import Folds, TrainingOptions

search = typer.Typer(help="Search hyperparameters: train a model for each of many combinations.")

_SEARCH = "Search"

SearchId = Annotated[str, typer.Argument(metavar="SEARCH_ID", help="As `create` prints it.")]


@search.command(
    epilog=examples(
        "headrace search create --dataset houses.csv --target sold --algorithm logistic_regression "
        "--try alpha=1e-6..1e-2:log --try penalty=l2,elasticnet --trials 12 --watch",
        "headrace search create --dataset houses.csv --target price --algorithm ridge --try alpha=0.1,1,10",
    )
)
@with_option_groups
def create(
    server: ServerOptions,
    source: DatasetOptions,
    training: TrainingOptions,
    file_options: FileOptions,
    job: JobOptions,
    target: Annotated[str, typer.Option(metavar="COLUMN", help="Column to predict.")],
    tried: Annotated[
        list[Pair],
        typer.Option(
            "--try",
            metavar="NAME=VALUES",
            parser=parse_values,
            help="Values of a hyperparameter: a,b,c or MIN..MAX or MIN..MAX:log; repeatable.",
            rich_help_panel=_SEARCH,
        ),
    ],
    trials: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Combinations to draw; default: all of lists.", rich_help_panel=_SEARCH
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Metric to optimise; default accuracy, or r2.", rich_help_panel=_SEARCH
        ),
    ] = None,
    folds: Folds = None,
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Train a model for each of many combinations of hyperparameters; print the id of the search.

    The best version has the alias best. With --json, prints the search that was created, and with
    --watch then one search per line.
    """
    from app.cli.searches import actions

    actions.create(
        server,
        source=source,
        target=target,
        space=dict(tried),
        search_options=without_none(trials=trials, metric=metric, folds=folds),
        file_options=file_options.given,
        options={**training.given, **job.given},
        watch=watch,
        as_json=as_json,
    )


@search.command(epilog=examples("headrace search watch $SEARCH"))
@with_option_groups
def watch(server: ServerOptions, search_id: SearchId, as_json: AsJson = False) -> None:
    """Show the trials of a search as they end, then the leaderboard. Exits with 1 if no trial completed.

    Ctrl+C stops watching, not the search. With --json, prints one search per line.
    """
    from app.cli.searches import actions

    actions.watch(server, search_id=search_id, as_json=as_json)


@search.command(epilog=examples("headrace search leaderboard $SEARCH"))
@with_option_groups
def leaderboard(server: ServerOptions, search_id: SearchId, as_json: AsJson = False) -> None:
    """Show the trials of a search, the best first. With --json, prints the search."""
    from app.cli.searches import actions

    actions.leaderboard(server, search_id=search_id, as_json=as_json)


@search.command(epilog=examples("headrace search cancel $SEARCH"))
@with_option_groups
def cancel(server: ServerOptions, search_id: SearchId, as_json: AsJson = False) -> None:
    """Cancel the trials of a search that have not ended. With --json, prints the search."""
    from app.cli.searches import actions

    actions.cancel(server, search_id=search_id, as_json=as_json)
