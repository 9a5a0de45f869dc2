"""The commands of `headrace keys`. Each imports the client when it runs, so that `--help` stays fast."""

from typing import Annotated

import typer

from app.auth.permissions import Scope
from app.cli.jobs.options import ServerOptions
from app.cli.option_groups import with_option_groups
from app.cli.options import AsJson, examples

keys = typer.Typer(help="Create, list and revoke API keys over HTTP.")


@keys.command(
    epilog=examples(
        "headrace keys create reports --scope jobs:read --expires-in-days 90",
        "headrace keys create import --scope 'datasets:*' --scope jobs:write --json",
    )
)
@with_option_groups
def create(
    server: ServerOptions,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for.")],
    scopes: Annotated[
        list[Scope],
        typer.Option(
            "--scope", metavar="SCOPE", help=f"What the key permits; repeatable: {', '.join(Scope)}."
        ),
    ],
    expires_in_days: Annotated[
        int | None,
        typer.Option(
            min=1, max=36_500, metavar="N", help="Default: as long as the server allows, or for ever."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create an API key, and print it: it is not shown again. Needs your username and password.

    With --json, prints the key with its name, its scopes and when it expires.
    """
    from app.cli.keys import actions

    actions.create(server, name=name, scopes=scopes, expires_in_days=expires_in_days, as_json=as_json)


@keys.command("list", epilog=examples("headrace keys list", "headrace keys list --owner '*' --json"))
@with_option_groups
def list_keys(
    server: ServerOptions,
    owner: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another user, or * for all; for administrators.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List your API keys, newest first, without their secrets.

    With --json, prints one document: the keys are in `items`.
    """
    from app.cli.keys import actions

    actions.list_keys(server, owner=owner, as_json=as_json)


@keys.command(epilog=examples("headrace keys revoke 019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"))
@with_option_groups
def revoke(
    server: ServerOptions,
    key_ids: Annotated[list[str], typer.Argument(metavar="KEY_ID...", help="Ids of keys, as `list` shows.")],
    as_json: AsJson = False,
) -> None:
    """Revoke API keys: they stop working within a second. With --json, prints one object per key."""
    from app.cli.keys import actions

    actions.revoke(server, key_ids=key_ids, as_json=as_json)
