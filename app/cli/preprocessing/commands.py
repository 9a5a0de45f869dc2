"""The command `headrace preprocess`. It imports the client when it runs, so that `--help` stays fast."""

from typing import Annotated

import typer

from app.cli.jobs.options import JobOptions, ServerOptions, Watch
from app.cli.option_groups import with_option_groups
from app.cli.options import AsJson


@with_option_groups
def preprocess(
    server: ServerOptions,
    job: JobOptions,
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="An id, or a name: the newest dataset of that name.")
    ],
    steps: Annotated[
        str, typer.Argument(metavar="STEPS", help="A file with a JSON list of steps; - is stdin.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the new dataset.")
    ] = None,
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Make a new dataset of a dataset, step by step; print the job's id.

    With --json, prints the job that was created, and with --watch then one event per line.
    """
    from app.cli.preprocessing import actions

    actions.preprocess(
        server, dataset=dataset, steps=steps, name=name, options=job.given, watch=watch, as_json=as_json
    )
