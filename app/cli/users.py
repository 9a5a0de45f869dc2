"""`python -m app users`: accounts from the command line."""

import getpass
import sys

from app.auth import commands
from app.auth.passwords import open_passwords
from app.auth.roles import Role
from app.core import hardening
from app.core.config import load_settings
from app.core.database import open_database


async def create(name: str, role: str) -> None:
    """Create an account with a password that is read from the terminal, or from stdin if there is none."""
    settings = load_settings()
    hardening.drop_secrets()
    password = (
        getpass.getpass(f"Password for {name}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    )
    async with (
        open_passwords() as passwords,
        open_database(settings.database_url, pool_size=2) as database,
        database.session() as session,
    ):
        await commands.create_user(session, passwords, username=name, password=password, role=Role(role))
    print(f"Created {name} ({role}).")
