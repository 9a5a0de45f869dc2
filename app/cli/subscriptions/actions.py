"""What the commands of `headrace subscriptions` do."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from app.cli.errors import ExitCode, UsageError
from app.cli.jobs.connection import account, client_errors, connect
from app.cli.jobs.options import ServerOptions
from app.cli.output import print_json
from app.cli.tables import print_table
from app.client import Delivery, Subscription

COLOURS: Final = {
    "active": "green",
    "delivered": "green",
    "disabled": "red",
    "failed": "red",
    "dropped": "yellow",
    "pending": "cyan",
}


@client_errors()
def create(
    server: ServerOptions,
    *,
    name: str,
    events: Sequence[str],
    url: str | None,
    channel: str,
    target: str | None,
    filters: Mapping[str, Any],
    as_json: bool,
) -> None:
    """Create a subscription; print its secret alone to stdout, so that a script can store it."""
    if (url is None) == (target is None):
        raise UsageError("Give one of --to and --target.")
    given = {"url": url} if target is None else _parse_object(target)
    with connect(account(server)) as client:
        created = client.create_subscription(name, events, channel=channel, target=given, filter=filters)
    if as_json:
        print_json({**created.raw, "secret": created.secret})
        return
    if created.secret is not None:
        print(created.secret, flush=True)
        print(f"This is the only time that the secret of {created.id} is shown.", file=sys.stderr)
    else:
        print(created.id, flush=True)
    if created.status == "pending":
        print("The subscription is pending until its address is confirmed.", file=sys.stderr)


@client_errors()
def list_subscriptions(
    server: ServerOptions, *, status: str | None, channel: str | None, as_json: bool
) -> None:
    """Print subscriptions, newest first."""
    with connect(account(server)) as client:
        found = list(client.subscriptions(status=status, channel=channel))
    if as_json:
        print_json({"items": [subscription.raw for subscription in found]})
        return
    table = Table(box=None, pad_edge=False)
    for column in ("subscription", "name", "channel", "status", "events", "pending", "failing since"):
        table.add_column(column, no_wrap=column == "subscription")
    for subscription in found:
        table.add_row(
            subscription.id,
            subscription.name,
            subscription.channel,
            _status(subscription.status, subscription.reason),
            " ".join(subscription.events),
            str(subscription.pending),
            _local(subscription.failing_since),
        )
    print_table(table)


@client_errors()
def show(server: ServerOptions, subscription_id: str, *, as_json: bool) -> None:
    """Print a subscription, one fact per line."""
    with connect(account(server)) as client:
        found = client.subscription(subscription_id)
    if as_json:
        print_json(found.raw)
        return
    wanted = {name: value for name, value in found.filter.items() if value is not None}
    facts = {
        "id": found.id,
        "channel": found.channel,
        "target": json.dumps(found.target),
        "events": " ".join(found.events),
        "filter": json.dumps(wanted) if wanted else "",
        "status": _status(found.status, found.reason).plain,
        "pending": str(found.pending),
        "failures in a row": str(found.failures) if found.failures else "",
        "failing since": _local(found.failing_since),
        "created": _local(found.created_at),
    }
    print(found.name)
    for name, fact in facts.items():
        if fact:
            print(f"  {name}: {fact}")


@client_errors()
def send_test(server: ServerOptions, subscription_id: str, *, as_json: bool) -> None:
    """Deliver a test; exit with a failure unless it was delivered."""
    with connect(account(server)) as client:
        result = client.test_subscription(subscription_id)
    facts = {
        "delivery_id": result.delivery_id,
        "status": result.status,
        "duration_ms": result.duration_ms,
        "response_status": result.response_status,
        "error": result.error,
    }
    if as_json:
        print_json(facts)
    else:
        known = [f"{name}: {value}" for name, value in facts.items() if value is not None]
        print("\n".join(known), flush=True)
    if result.status != "delivered":
        raise SystemExit(ExitCode.FAILURE)


@client_errors()
def rotate_secret(
    server: ServerOptions, subscription_id: str, *, overlap_hours: int | None, as_json: bool
) -> None:
    """Print the new secret alone to stdout."""
    with connect(account(server)) as client:
        rotated = client.rotate_subscription_secret(subscription_id, overlap_hours=overlap_hours)
    until = rotated.previous_expires_at
    if as_json:
        print_json({"secret": rotated.secret, "previous_expires_at": until and until.isoformat()})
        return
    print(rotated.secret, flush=True)
    previous = "no longer signs" if until is None else f"signs, too, until {_local(until)}"
    print(f"This is the only time that the secret is shown. The previous one {previous}.", file=sys.stderr)


@client_errors()
def set_status(server: ServerOptions, subscription_id: str, status: str, *, as_json: bool) -> None:
    """Activate or disable a subscription."""
    with connect(account(server)) as client:
        changed = client.change_subscription(subscription_id, status=status)
    _print_subscription(changed, as_json=as_json)


@client_errors()
def delete(server: ServerOptions, subscription_id: str, *, as_json: bool) -> None:
    """Delete a subscription, and print its id."""
    with connect(account(server)) as client:
        client.delete_subscription(subscription_id)
    if as_json:
        print_json({"subscription_id": subscription_id, "deleted": True})
    else:
        print(f"{subscription_id} deleted", flush=True)


@client_errors()
def list_deliveries(
    server: ServerOptions, subscription_id: str | None, *, status: str | None, limit: int, as_json: bool
) -> None:
    """Print deliveries, newest first."""
    with connect(account(server)) as client:
        pages = client.deliveries(subscription_id, status=status, page_size=min(limit, 100))
        found = list(islice(pages, limit))
    if as_json:
        print_json({"items": [delivery.raw for delivery in found]})
        return
    table = Table(box=None, pad_edge=False)
    for column in ("delivery", "type", "status", "tries", "job", "created"):
        table.add_column(column, no_wrap=True)
    for delivery in found:
        table.add_row(*_row(delivery))
    print_table(table)


@client_errors()
def replay(
    server: ServerOptions,
    id_: str,
    *,
    since: datetime | None,
    until: datetime | None,
    status: str,
    as_json: bool,
) -> None:
    """Deliver again one delivery, or what failed of a subscription."""
    if since is None and (until is not None or status != "failed"):
        raise UsageError("--until and --status need --since.")
    with connect(account(server)) as client:
        if since is None:
            replayed = client.replay_delivery(id_)
            print_json({"delivery_id": replayed}) if as_json else print(replayed, flush=True)
            return
        count = client.replay_deliveries(id_, since, until, status=status)
    print_json({"count": count}) if as_json else print(f"{count} deliveries are sent again", flush=True)


def _print_subscription(subscription: Subscription, *, as_json: bool) -> None:
    if as_json:
        print_json(subscription.raw)
    else:
        print(f"{subscription.id} {subscription.status}", flush=True)


def _row(delivery: Delivery) -> tuple[str | Text, ...]:
    return (
        delivery.id,
        delivery.type,
        _status(delivery.status, None),
        str(delivery.tries),
        delivery.job_id or "",
        _local(delivery.created_at),
    )


def _status(status: str, reason: str | None) -> Text:
    text = status if reason is None else f"{status} ({reason})"
    return Text(text, style=COLOURS.get(status, "default"))


def _parse_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UsageError("--target must be a JSON object.")
    return value


def _local(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
