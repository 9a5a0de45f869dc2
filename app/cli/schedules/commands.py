"""The commands of `headrace schedules`. Each imports the client when it runs, so that `--help` stays fast."""

from typing import Annotated

import typer

from app.cli.jobs.options import ServerOptions, without_none
from app.cli.option_groups import with_option_groups
from app.cli.options import AsJson, examples
from app.cli.schedules.options import (
    Group,
    Outcome,
    PolicyOptions,
    ScheduleName,
    ScheduleNames,
    Status,
    TriggerOptions,
    WindowOptions,
)

schedules = typer.Typer(help="Submit jobs again and again, by schedules over HTTP.")


@schedules.command(
    epilog=examples(
        "headrace schedules create nightly --daily 02:30 --timezone Europe/Berlin --job scoring.json",
        "headrace schedules create canary --every 10s --duration 10m "
        """--job '{"kind": "batch_predict", "texts": ["good"]}'""",
    )
)
@with_option_groups
def create(
    server: ServerOptions,
    trigger: TriggerOptions,
    window: WindowOptions,
    policy: PolicyOptions,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Unique among your schedules.")],
    job: Annotated[
        str,
        typer.Option(
            metavar="JSON",
            help="The job to submit: an object with kind and the fields of the job, or a file; - is stdin.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Create a schedule; print its id. The server checks the job now, as if you submitted it.

    With --json, prints the schedule.
    """
    from app.cli.schedules import actions

    actions.create(
        server,
        name=name,
        trigger=trigger.given,
        job=job,
        options={**window.given, **policy.given},
        as_json=as_json,
    )


@schedules.command(epilog=examples("headrace schedules apply schedules.json"))
@with_option_groups
def apply(
    server: ServerOptions,
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A JSON list of schedules, each with a name; - is stdin."),
    ],
    as_json: AsJson = False,
) -> None:
    """Create or replace the schedules that a file defines. Others stay as they are.

    With --json, prints one schedule per line.
    """
    from app.cli.schedules import actions

    actions.apply(server, file=file, as_json=as_json)


@schedules.command("list", epilog=examples("headrace schedules list --status broken --json"))
@with_option_groups
def list_schedules(
    server: ServerOptions,
    status: Annotated[Status | None, typer.Option(help="Only schedules with this status.")] = None,
    group: Annotated[str | None, typer.Option(metavar="NAME", help="Only schedules of this group.")] = None,
    kind: Annotated[str | None, typer.Option(metavar="NAME", help="Only schedules of this kind.")] = None,
    owner: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another user, or * for all; for operators.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Number of schedules to list.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List your schedules, newest first, with the statuses of their last jobs.

    With --json, prints one document: the schedules are in `items`.
    """
    from app.cli.schedules import actions

    filters = without_none(status=status, group=group, kind=kind, owner=owner)
    actions.list_schedules(server, filters=filters, limit=limit, as_json=as_json)


@schedules.command(epilog=examples("headrace schedules show nightly"))
@with_option_groups
def show(server: ServerOptions, schedule: ScheduleName, as_json: AsJson = False) -> None:
    """Show a schedule with its next ticks, its active jobs and its last firing."""
    from app.cli.schedules import actions

    actions.show(server, schedule=schedule, as_json=as_json)


@schedules.command(
    epilog=examples(
        "headrace schedules preview --cron '30 2 * * *' --timezone America/New_York",
        "headrace schedules preview --monthly last@18:00 --count 12 --json",
    )
)
@with_option_groups
def preview(
    server: ServerOptions,
    trigger: TriggerOptions,
    window: WindowOptions,
    count: Annotated[int, typer.Option(min=1, max=50, metavar="N", help="Number of ticks.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Show what a trigger means and when it fires next, around changes of clocks too. Creates nothing."""
    from app.cli.schedules import actions

    actions.preview(server, trigger=trigger.given, window=window.given, count=count, as_json=as_json)


@schedules.command(
    epilog=examples("headrace schedules pause nightly", "headrace schedules pause --group reports")
)
@with_option_groups
def pause(
    server: ServerOptions, schedule: ScheduleNames = None, group: Group = None, as_json: AsJson = False
) -> None:
    """Pause schedules: they have no ticks until they are resumed. Their jobs go on.

    With --json, prints one schedule per line, or with --group how many.
    """
    from app.cli.schedules import actions

    actions.pause(server, schedules=schedule or [], group=group, as_json=as_json)


@schedules.command(
    epilog=examples("headrace schedules resume nightly", "headrace schedules resume --group reports")
)
@with_option_groups
def resume(
    server: ServerOptions, schedule: ScheduleNames = None, group: Group = None, as_json: AsJson = False
) -> None:
    """Resume schedules at their first tick after now. Ticks of the pause are never caught up.

    With --json, prints one schedule per line, or with --group how many.
    """
    from app.cli.schedules import actions

    actions.resume(server, schedules=schedule or [], group=group, as_json=as_json)


@schedules.command(epilog=examples("headrace jobs watch $(headrace schedules run nightly)"))
@with_option_groups
def run(
    server: ServerOptions,
    schedule: ScheduleNames = None,
    group: Group = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also while a job of the schedule runs.", show_default=False)
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create a job of each schedule now, also while it is paused; print the job's id.

    With --json, prints one job per line, or with --group how many.
    """
    from app.cli.schedules import actions

    actions.run(server, schedules=schedule or [], group=group, force=force, as_json=as_json)


@schedules.command(
    epilog=examples("headrace schedules delete nightly --cancel-jobs", "headrace schedules delete --group a")
)
@with_option_groups
def delete(
    server: ServerOptions,
    schedule: ScheduleNames = None,
    group: Group = None,
    cancel_jobs: Annotated[
        bool,
        typer.Option("--cancel-jobs", help="Cancel their jobs that have not ended.", show_default=False),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete schedules and the record of their firings. Their jobs stay.

    With --json, prints one object per schedule, or with --group how many.
    """
    from app.cli.schedules import actions

    actions.delete(server, schedules=schedule or [], group=group, cancel_jobs=cancel_jobs, as_json=as_json)


@schedules.command(epilog=examples("headrace schedules firings nightly --outcome missed"))
@with_option_groups
def firings(
    server: ServerOptions,
    schedule: ScheduleName,
    outcome: Annotated[Outcome | None, typer.Option(help="Only firings with this outcome.")] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Number of firings to list.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List what became of the ticks of a schedule, newest first.

    With --json, prints one document: the firings are in `items`.
    """
    from app.cli.schedules import actions

    actions.firings(server, schedule=schedule, outcome=outcome, limit=limit, as_json=as_json)
