"""`headrace users`: accounts from the command line."""

import asyncio
import getpass
import sys

from app.auth import commands
from app.auth.passwords import open_passwords
from app.auth.roles import Role
from app.cli import schema_version
from app.cli.errors import UsageError
from app.cli.output import print_json
from app.core import hardening
from app.core.config import load_database_url
from app.core.database import open_database


async def create(name: str, role: str, *, as_json: bool) -> None:
    """Create a user. Reads the password from the terminal, or else from the first line of stdin."""
    database_url = load_database_url()
    hardening.drop_secrets()
    await asyncio.to_thread(schema_version.ensure_schema, database_url, wait_seconds=0)
    password = (
        getpass.getpass(f"Password for {name}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    )
    async with (
        open_passwords() as passwords,
        open_database(database_url, pool_size=2) as database,
        database.session() as session,
    ):
        try:
            user = await commands.create_user(
                session, passwords, username=name, password=password, role=Role(role)
            )
        except ValueError as error:
            raise UsageError(str(error)) from error
    if as_json:
        print_json({"user_id": str(user.id), "username": name, "role": role})
    else:
        print(f"Created {name} ({role}).")
