"""The commands of `headrace subscriptions`. Each imports the client when it runs: `--help` stays fast."""

from datetime import datetime
from typing import Annotated

import typer

from app.cli.jobs.options import ServerOptions
from app.cli.jobs.values import parse_instant
from app.cli.option_groups import with_option_groups
from app.cli.options import AsJson, examples
from app.cli.subscriptions.options import FilterOptions

subscriptions = typer.Typer(help="Subscribe to notifications over HTTP.")

SubscriptionId = Annotated[
    str, typer.Argument(metavar="SUBSCRIPTION_ID", help="Id of a subscription, as `list` shows it.")
]
Limit = Annotated[int, typer.Option(min=1, metavar="N", help="Number of rows to list.")]


@subscriptions.command(
    epilog=examples(
        "headrace subscriptions create CI --event job.failed --to https://ci.example.com/hooks/ml",
        "headrace subscriptions create room --channel chat --event job.completed --metadata team=search \\",
        '      --target \'{"url": "https://hooks.slack.com/services/T0/B0/X"}\'',
    )
)
@with_option_groups
def create(
    server: ServerOptions,
    filters: FilterOptions,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the subscription is for.")],
    events: Annotated[
        list[str],
        typer.Option("--event", metavar="TYPE", help="Type of events, such as job.failed; repeatable."),
    ],
    target_url: Annotated[
        str | None, typer.Option("--to", metavar="URL", help="Where a webhook goes, or --target.")
    ] = None,
    channel: Annotated[str, typer.Option(metavar="NAME", help="webhook, chat, email or a plugin's.")] = (
        "webhook"
    ),
    target: Annotated[
        str | None, typer.Option(metavar="JSON", help="What the channel takes as its target, as JSON.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a subscription. Prints the secret that verifies its webhooks: it is not shown again.

    With --json, prints the subscription with its secret.
    """
    from app.cli.subscriptions import actions

    actions.create(
        server,
        name=name,
        events=events,
        url=target_url,
        channel=channel,
        target=target,
        filters=filters.given,
        as_json=as_json,
    )


@subscriptions.command("list", epilog=examples("headrace subscriptions list --status disabled --json"))
@with_option_groups
def list_subscriptions(
    server: ServerOptions,
    status: Annotated[
        str | None, typer.Option(metavar="STATE", help="Only pending, active or disabled ones.")
    ] = None,
    channel: Annotated[str | None, typer.Option(metavar="NAME", help="Only those of a channel.")] = None,
    as_json: AsJson = False,
) -> None:
    """List your subscriptions, newest first. With --json, prints one document: they are in `items`."""
    from app.cli.subscriptions import actions

    actions.list_subscriptions(server, status=status, channel=channel, as_json=as_json)


@subscriptions.command(epilog=examples("headrace subscriptions show 019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"))
@with_option_groups
def show(server: ServerOptions, subscription_id: SubscriptionId, as_json: AsJson = False) -> None:
    """Show a subscription with its target, its filter and how its deliveries go."""
    from app.cli.subscriptions import actions

    actions.show(server, subscription_id, as_json=as_json)


@subscriptions.command(
    "test", epilog=examples("headrace subscriptions test 019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d")
)
@with_option_groups
def send_test(server: ServerOptions, subscription_id: SubscriptionId, as_json: AsJson = False) -> None:
    """Deliver a test and print how it ended. Exits with 1 unless it was delivered."""
    from app.cli.subscriptions import actions

    actions.send_test(server, subscription_id, as_json=as_json)


@subscriptions.command(
    "rotate-secret",
    epilog=examples(
        "headrace subscriptions rotate-secret 019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d --overlap-hours 48"
    ),
)
@with_option_groups
def rotate_secret(
    server: ServerOptions,
    subscription_id: SubscriptionId,
    overlap_hours: Annotated[
        int | None,
        typer.Option(
            min=0, max=168, metavar="N", help="How long the previous secret signs, too; default: 24."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give a subscription a new secret, and print it: it is not shown again."""
    from app.cli.subscriptions import actions

    actions.rotate_secret(server, subscription_id, overlap_hours=overlap_hours, as_json=as_json)


@subscriptions.command(epilog=examples("headrace subscriptions enable 019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"))
@with_option_groups
def enable(server: ServerOptions, subscription_id: SubscriptionId, as_json: AsJson = False) -> None:
    """Activate a subscription, and forget its failures."""
    from app.cli.subscriptions import actions

    actions.set_status(server, subscription_id, "active", as_json=as_json)


@subscriptions.command(epilog=examples("headrace subscriptions disable 019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"))
@with_option_groups
def disable(server: ServerOptions, subscription_id: SubscriptionId, as_json: AsJson = False) -> None:
    """Disable a subscription, and drop the deliveries that wait."""
    from app.cli.subscriptions import actions

    actions.set_status(server, subscription_id, "disabled", as_json=as_json)


@subscriptions.command(epilog=examples("headrace subscriptions delete 019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"))
@with_option_groups
def delete(server: ServerOptions, subscription_id: SubscriptionId, as_json: AsJson = False) -> None:
    """Delete a subscription with all its deliveries."""
    from app.cli.subscriptions import actions

    actions.delete(server, subscription_id, as_json=as_json)


@subscriptions.command(
    epilog=examples(
        "headrace subscriptions deliveries --status failed",
        "headrace subscriptions deliveries 019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d --limit 5 --json",
    )
)
@with_option_groups
def deliveries(
    server: ServerOptions,
    subscription_id: Annotated[
        str | None, typer.Argument(metavar="[SUBSCRIPTION_ID]", help="Default: all subscriptions.")
    ] = None,
    status: Annotated[
        str | None, typer.Option(metavar="STATE", help="Only pending, delivered, failed or dropped ones.")
    ] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List deliveries, newest first. With --json, prints one document: they are in `items`."""
    from app.cli.subscriptions import actions

    actions.list_deliveries(server, subscription_id, status=status, limit=limit, as_json=as_json)


@subscriptions.command(
    epilog=examples(
        "headrace subscriptions replay 5d2c9a3e-4b1f-4c6d-9e8a-7f0b1c2d3e4f",
        "headrace subscriptions replay 019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d --since 2026-03-01T00:00:00Z",
    )
)
@with_option_groups
def replay(
    server: ServerOptions,
    id_: Annotated[
        str, typer.Argument(metavar="ID", help="Id of a delivery; with --since, of a subscription.")
    ],
    since: Annotated[
        datetime | None,
        typer.Option(parser=parse_instant, metavar="TIME", help="What failed since then; with a time zone."),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(parser=parse_instant, metavar="TIME", help="With --since: the end.")
    ] = None,
    status: Annotated[
        str, typer.Option(metavar="STATE", help="With --since: failed or dropped deliveries.")
    ] = "failed",
    as_json: AsJson = False,
) -> None:
    """Deliver again one delivery, or what failed of a subscription since a time."""
    from app.cli.subscriptions import actions

    actions.replay(server, id_, since=since, until=until, status=status, as_json=as_json)
