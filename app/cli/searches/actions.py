"""What the commands of `headrace search` do."""

from collections.abc import Mapping
from typing import Any, cast

from app.cli.datasets.inputs import open_dataset
from app.cli.datasets.options import DatasetOptions
from app.cli.errors import CommandFailed, Interrupted
from app.cli.jobs.connection import account, client_errors, connect
from app.cli.jobs.options import ServerOptions
from app.cli.output import print_json
from app.cli.searches.table import TrialLines, print_best, print_leaderboard
from app.cli.training.actions import split_column_types
from app.client import Headrace, Search
from app.client.options import TrainOptions


@client_errors()
def create(
    server: ServerOptions,
    *,
    source: DatasetOptions,
    target: str,
    space: Mapping[str, Any] | None,
    search_options: Mapping[str, Any],
    file_options: Mapping[str, Any],
    options: Mapping[str, Any],
    watch: bool,
    as_json: bool,
) -> None:
    """Submit a search, or one training with folds; print it, and watch it if asked to."""
    columns = split_column_types(source, file_options)
    with connect(account(server)) as client:
        dataset = open_dataset(client, source, file_options, is_quiet=as_json)
        created = client.create_search(
            target, space, dataset=dataset, **search_options, **cast("TrainOptions", {**options, **columns})
        )
        if as_json:
            print_json(created.raw)
        else:
            print(created.id, flush=True)
        if watch:
            ended = _watch(client, created.id, as_json=as_json)
            if not as_json:
                print_best(ended)


@client_errors()
def watch(server: ServerOptions, *, search_id: str, as_json: bool) -> None:
    """Show the trials of a search until all have ended."""
    with connect(account(server)) as client:
        ended = _watch(client, search_id, as_json=as_json)
    if not as_json:
        print_leaderboard(ended)


@client_errors()
def leaderboard(server: ServerOptions, *, search_id: str, as_json: bool) -> None:
    """Print the trials of a search, the best first."""
    with connect(account(server)) as client:
        found = client.search(search_id)
    if as_json:
        print_json(found.raw)
    else:
        print_leaderboard(found)


@client_errors()
def cancel(server: ServerOptions, *, search_id: str, as_json: bool) -> None:
    """Cancel a search, and print its state."""
    with connect(account(server)) as client:
        found = client.cancel_search(search_id)
    if as_json:
        print_json(found.raw)
    else:
        state = "cancelled" if found.is_finished else "cancel requested"
        print(f"{found.id} {state}")


def _watch(client: Headrace, search_id: str, *, as_json: bool) -> Search:
    """Show each state of a search; return the last one. Raises CommandFailed if no trial completed."""
    lines = TrialLines()
    latest: Search | None = None
    try:
        for latest in client.follow_search(search_id):
            if as_json:
                print_json(latest.raw)
            else:
                lines.show(latest)
    except KeyboardInterrupt:
        again = f"headrace search watch {search_id}"
        detail = f"Stopped watching. The search continues; to watch again: {again}"
        raise Interrupted(detail, facts={"search_id": search_id}) from None
    assert latest is not None  # noqa: S101  # a search is emitted before anything else
    if not any(trial.status == "completed" for trial in latest.leaderboard):
        raise CommandFailed(
            f"no trial of the search {search_id} completed",
            code="search_failed",
            facts={"search_id": search_id, "statuses": dict(latest.statuses)},
        )
    return latest
