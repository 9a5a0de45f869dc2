"""`headrace users`: accounts from the command line, for those who have access to the database."""

import asyncio
import getpass
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from app.audit import commands as audit
from app.audit.actions import Action, ObjectType
from app.audit.values import COMMAND_LINE, Entry
from app.auth import commands
from app.auth import passwords as password_rules
from app.auth.errors import UserNotFound
from app.auth.password_resets import commands as password_resets
from app.auth.passwords import open_passwords
from app.auth.roles import Role
from app.auth.users import commands as accounts
from app.auth.users import queries
from app.auth.users.queries import UserFilter
from app.auth.values import Account
from app.cli.databases import open_database_of
from app.cli.errors import UsageError
from app.cli.output import print_json
from app.cli.tables import print_table
from app.quotas import commands as quota_commands
from app.quotas import queries as quotas

PAGE: Final = 100


async def list_users(data: Path | None, *, as_json: bool) -> None:
    """Print all accounts, newest first."""
    found: list[Account] = []
    has_next = True
    async with open_database_of(data) as database, database.connection() as connection:
        while has_next:
            before = found[-1].id if found else None
            page = await queries.page(connection, UserFilter(), before=before, limit=PAGE)
            found += page.items
            has_next = page.has_next
    if as_json:
        print_json([_view(account) for account in found])
        return
    table = Table("user", "role", "active", "last request", "id", box=None)
    for account in found:
        last = account.last_request_at
        table.add_row(
            account.username,
            account.role,
            "yes" if account.is_active else "no",
            "" if last is None else f"{last:%Y-%m-%d %H:%M}",
            str(account.id),
        )
    print_table(table)


async def create(name: str, role: Role, data: Path | None, *, as_json: bool) -> None:
    """Create a user. Reads the password from the terminal, or else from the first line of stdin."""
    async with open_database_of(data) as database, open_passwords() as passwords:
        password = await asyncio.to_thread(_read_password, name)
        try:
            async with database.session() as session:
                user = await commands.create_user(
                    session, passwords, username=name, password=password, role=role, by=COMMAND_LINE
                )
        except ValueError as error:
            raise UsageError(str(error)) from error
    _report(
        {"user_id": str(user.id), "username": name, "role": role},
        f"Created {name} ({role}).",
        as_json=as_json,
    )


async def set_password(name: str, data: Path | None, *, as_json: bool) -> None:
    """Set a password and end all sessions. Reads the password as `create` does."""
    async with open_database_of(data) as database, open_passwords() as passwords:
        async with database.connection() as connection:
            account = await queries.get_by_name(connection, name)
        password = await asyncio.to_thread(_read_password, account.username)
        password_rules.accept(password, account.username)
        async with passwords.turn() as turn:
            password_hash = await turn.hash(password, account.username)
        async with database.transaction() as connection:
            await password_resets.set_password(connection, account.id, password_hash)
            entry = Entry(
                Action.PASSWORD_SET,
                ObjectType.USER,
                str(account.id),
                details={"username": account.username},
            )
            await audit.record(connection, COMMAND_LINE, entry)
    _report(
        _view(account), f"Set the password of {account.username} and ended all sessions.", as_json=as_json
    )


async def change(
    name: str,
    data: Path | None,
    *,
    role: Role | None = None,
    is_active: bool | None = None,
    share: float | None = None,
    as_json: bool,
) -> None:
    """Change the role or the share of a user, disable or enable the account."""
    async with open_database_of(data) as database, database.transaction() as connection:
        account = await queries.get_by_name(connection, name)
        changed = await accounts.change(
            connection, account.id, role=role, is_active=is_active, share=share, by=COMMAND_LINE
        )
    state = "enabled" if changed.is_active else "disabled"
    _report(
        _view(changed),
        f"{changed.username} is {changed.role}, {state}, with a share of {changed.share:g}.",
        as_json=as_json,
    )


async def delete(name: str, data: Path | None, *, as_json: bool) -> None:
    """Delete a user. The maintenance loops of the API and the workers remove the user's data."""
    async with open_database_of(data) as database, database.transaction() as connection:
        account = await queries.get_by_name(connection, name)
        await accounts.close(connection, account.id, by=COMMAND_LINE)
    _report(
        _view(account),
        f"Deleted {account.username}. Jobs, models and datasets are removed in the background.",
        as_json=as_json,
    )


async def set_quotas(
    name: str, data: Path | None, changes: Mapping[str, int | None], *, as_json: bool
) -> None:
    """Change quotas of a user, and print all of them; None means the default."""
    async with open_database_of(data) as database, database.transaction() as connection:
        account = await queries.get_by_name(connection, name)
        own = await quotas.lock(connection, account.id)
        if own is None:
            raise UserNotFound(user=name)
        if changes:
            own = replace(own, **changes)
            await quota_commands.set_quotas(connection, account.id, own, by=COMMAND_LINE)
        usage = await quotas.usage(connection, account.id)
    if as_json:
        who = {"user_id": account.id, "username": account.username}
        print_json({**who, **asdict(own), "used": asdict(usage)})
        return
    table = Table("quota", "used", "limit", box=None)
    for quota, limit in asdict(own).items():
        used = getattr(usage, quota.removeprefix("max_"), "")
        table.add_row(quota.removeprefix("max_"), str(used), "default" if limit is None else str(limit))
    print_table(table)


def _read_password(name: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(f"Password for {name}: ")
    return sys.stdin.readline().rstrip("\n")


def _view(account: Account) -> dict[str, Any]:
    return {
        "user_id": account.id,
        "username": account.username,
        "role": account.role,
        "is_active": account.is_active,
        "share": account.share,
        "last_request_at": account.last_request_at,
        "created_at": account.created_at,
    }


def _report(document: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        print(sentence)
