"""What the commands of `headrace keys` do."""

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from rich.table import Table

from app.auth.permissions import Scope
from app.cli.errors import UsageError
from app.cli.jobs.connection import account, client_errors, connect
from app.cli.jobs.options import ServerOptions
from app.cli.output import print_json
from app.cli.tables import print_table

_DAY_SECONDS: Final = 86_400


@client_errors()
def create(
    server: ServerOptions,
    *,
    name: str,
    scopes: Sequence[Scope],
    expires_in_days: int | None,
    as_json: bool,
) -> None:
    """Create a key; print it alone to stdout, so that a script can store it."""
    seconds = None if expires_in_days is None else expires_in_days * _DAY_SECONDS
    with connect(account(server)) as client:
        key = client.create_api_key(name, [scope.value for scope in scopes], expires_in_seconds=seconds)
    if as_json:
        print_json({**key.raw, "key": key.key})
        return
    print(key.key, flush=True)
    print(f"This is the only time that the key {key.id} is shown.", file=sys.stderr)


@client_errors()
def list_keys(server: ServerOptions, *, owner: str | None, as_json: bool) -> None:
    """Print keys, newest first."""
    with connect(account(server)) as client:
        found = list(client.api_keys(owner=owner))
    if as_json:
        print_json({"items": [key.raw for key in found]})
        return
    table = Table(box=None, pad_edge=False)
    for column in ("key id", "name", "owner", "scopes", "expires", "last used"):
        table.add_column(column, no_wrap=column == "key id")
    for key in found:
        table.add_row(
            key.id,
            key.name,
            key.owner,
            " ".join(key.scopes),
            _local(key.expires_at),
            _local(key.last_used_at),
        )
    print_table(table)


@client_errors()
def revoke(server: ServerOptions, *, key_ids: Sequence[str], as_json: bool) -> None:
    """Revoke keys, and print the id of each."""
    # Before any is sent: someone may have pasted a whole key, which belongs in no path and no message.
    parsed = [_parse_id(text) for text in key_ids]
    with connect(account(server)) as client:
        for key_id in parsed:
            client.revoke_api_key(key_id)
            if as_json:
                print_json({"key_id": key_id, "revoked": True})
            else:
                print(f"{key_id} revoked", flush=True)


def _parse_id(text: str) -> UUID:
    """Return the id of a key, given the id or the whole key."""
    if text.startswith("hr_"):
        text = text.split("_")[1]
    try:
        return UUID(text)
    except ValueError:
        raise UsageError("KEY_ID must be the id of an API key, as `headrace keys list` shows it.") from None


def _local(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M}"
