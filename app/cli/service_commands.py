"""Commands that run Headrace: demo, dev, serve, migrate, servers, users, audit.

Each command imports what it needs when it runs, so that `--help` and `migrate` do not wait for FastAPI.
"""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from app.auth.roles import Role
from app.cli.options import DEFAULT_DATA_DIR, DEFAULT_PORT, AsJson, DataDir, Port, examples
from app.core import garbage

users = typer.Typer(help="Manage users.")
audit = typer.Typer(help="Read and verify the audit log.")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command(epilog=examples("headrace demo", "headrace demo --keep", "headrace demo --texts 100 --json"))(
        demo
    )
    app.command(epilog=examples("headrace dev", "headrace dev --port 9000 --slots 2"))(dev)
    app.command(epilog=examples("headrace serve --host 0.0.0.0 --port 8000"))(serve)
    app.command(
        epilog=examples("DATABASE_URL=postgresql://… headrace migrate", "headrace migrate --check --wait 600")
    )(migrate)
    app.command(epilog=examples("DELIVER_NOTIFICATIONS=false headrace serve", "headrace notify"))(notify)
    app.command(epilog=examples("headrace servers --data .data"))(servers)
    app.add_typer(users, name="users")
    app.add_typer(audit, name="audit")


def demo(
    texts: Annotated[
        int, typer.Option(min=1, max=1000, metavar="N", help="Number of texts to predict.")
    ] = 1000,
    keep: Annotated[
        bool, typer.Option("--keep", help="Start a long job, show its address in the dashboard, and stay.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start the whole system on free ports, run a prediction and a training, and stop.

    With --json, prints one document with the outcome of both jobs.
    """
    with garbage.paused():
        from app.cli import demo

    asyncio.run(demo.run(texts=texts, as_json=as_json, keep=keep))


def dev(
    port: Port = DEFAULT_PORT,
    slots: Annotated[int | None, typer.Option(min=1, metavar="N", help="Number of concurrent jobs.")] = None,
    data: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Run everything on this machine until Ctrl+C: Postgres, Valkey, the API and a worker.

    With --json, prints one document with the URL, the username and the password once the system is ready.
    """
    with suppress(KeyboardInterrupt):
        with garbage.paused():
            from app.cli import dev

        asyncio.run(dev.run(port=port, slots=slots, data_dir=data, as_json=as_json))


def serve(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Port = DEFAULT_PORT,
    fd: Annotated[int | None, typer.Option(hidden=True, help="An open listening socket.")] = None,
    ready_fd: Annotated[int | None, typer.Option(hidden=True, help="Gets a byte at the start.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the API alone, against DATABASE_URL and REDIS_URL, until Ctrl+C or SIGTERM.

    With --json, prints one document with the URL once the API serves; logs go to stderr.
    """
    with suppress(KeyboardInterrupt):
        with garbage.paused():
            from app.cli import serve

        serve.run(host=host, port=port, fd=fd, ready_fd=ready_fd, as_json=as_json)


def notify(as_json: AsJson = False) -> None:
    """Deliver notifications until Ctrl+C or SIGTERM, in place of the API.

    Needs the settings of the API. Set DELIVER_NOTIFICATIONS=false for the API if only this process may reach
    other networks. With --json, prints one document with the channels at the start; logs go to stderr.
    """
    with garbage.paused():
        from app.cli import notify

    asyncio.run(notify.run(as_json=as_json))


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing: check that the schema fits this version.")
    ] = False,
    wait: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="Wait for Postgres, or with --check for the schema."),
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Migrate the database at DATABASE_URL to the current schema.

    With --check, exits with 1 if the schema does not fit this version of Headrace. With --json, prints one
    document with the revision.
    """
    from app.cli import migrations

    migrations.run(check=check, wait_seconds=wait, as_json=as_json)


def servers(data: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Run only the embedded Postgres and Valkey until Ctrl+C; print their URLs."""
    with suppress(KeyboardInterrupt):
        from app.cli import servers

        servers.run(data, as_json=as_json)


UserName = Annotated[str, typer.Argument(metavar="NAME")]
UserData = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FOLDER",
        help="Folder of a system that `headrace dev` runs. Default: the database at DATABASE_URL.",
    ),
]


@users.command("list", epilog=examples("headrace users list", "headrace users list --data .data --json"))
def list_users(data: UserData = None, as_json: AsJson = False) -> None:
    """List all users, newest first."""
    from app.cli import users

    asyncio.run(users.list_users(data, as_json=as_json))


@users.command(epilog=examples("headrace users create ada", "headrace users create ops --role admin"))
def create(
    name: UserName,
    role: Annotated[Role, typer.Option(help="Role of the user.")] = Role.USER,
    data: UserData = None,
    as_json: AsJson = False,
) -> None:
    """Create a user. Reads the password from the terminal, or from stdin."""
    from app.cli import users

    asyncio.run(users.create(name, role, data, as_json=as_json))


@users.command(epilog=examples("headrace users passwd ada", "headrace users passwd demo --data .data"))
def passwd(name: UserName, data: UserData = None, as_json: AsJson = False) -> None:
    """Set the password of a user and end all sessions. Reads it from the terminal, or from stdin."""
    from app.cli import users

    asyncio.run(users.set_password(name, data, as_json=as_json))


@users.command(
    epilog=examples("headrace users role ada operator", "headrace users role demo admin --data .data")
)
def role(
    name: UserName,
    role: Annotated[Role, typer.Argument(metavar="ROLE")],
    data: UserData = None,
    as_json: AsJson = False,
) -> None:
    """Change the role of a user. It takes effect within a second."""
    from app.cli import users

    asyncio.run(users.change(name, data, role=role, as_json=as_json))


@users.command(epilog=examples("headrace users disable ada"))
def disable(name: UserName, data: UserData = None, as_json: AsJson = False) -> None:
    """Disable a user: all sessions end and no token works. Jobs go on."""
    from app.cli import users

    asyncio.run(users.change(name, data, is_active=False, as_json=as_json))


@users.command(epilog=examples("headrace users enable ada"))
def enable(name: UserName, data: UserData = None, as_json: AsJson = False) -> None:
    """Enable a disabled user."""
    from app.cli import users

    asyncio.run(users.change(name, data, is_active=True, as_json=as_json))


def _check_share(value: float) -> float:
    from app.auth.users.schemas import MAX_SHARE, MIN_SHARE

    if not MIN_SHARE <= value <= MAX_SHARE:  # so that NaN is refused, too
        raise typer.BadParameter(f"must be between {MIN_SHARE:g} and {MAX_SHARE:g}")
    return value


@users.command(epilog=examples("headrace users share ada 2", "headrace users share batch 0.5"))
def share(
    name: UserName,
    number: Annotated[
        float, typer.Argument(metavar="NUMBER", help="1 is the default.", callback=_check_share)
    ],
    data: UserData = None,
    as_json: AsJson = False,
) -> None:
    """Set how many slots a user gets, relative to others whose jobs wait. It takes effect at once."""
    from app.cli import users

    asyncio.run(users.change(name, data, share=number, as_json=as_json))


def _own_quota(text: str) -> int:
    """Parse the value of a quota; -1 means the default."""
    if text == "default":
        return -1
    if not (text.isascii() and text.isdigit()):
        raise typer.BadParameter("must be a number, or default")
    return int(text)


def _quota_option(minimum: int, bound: int, description: str) -> Any:
    def check(value: int | None) -> int | None:
        if value is not None and value != -1 and not minimum <= value <= bound:
            raise typer.BadParameter(f"must be between {minimum} and {bound}, or default")
        return value

    return typer.Option(parser=_own_quota, callback=check, metavar="N", help=description)


_NUMBER: Final = 2**31 - 1
_BYTES: Final = 2**63 - 1


@users.command(
    epilog=examples(
        "headrace users quota ada",
        "headrace users quota ada --max-active-jobs 100 --max-stored-bytes 1073741824",
        "headrace users quota ada --max-active-jobs default",
    )
)
def quota(
    name: UserName,
    max_active_jobs: Annotated[
        int | None, _quota_option(1, _NUMBER, "Jobs and shards that have not ended.")
    ] = None,
    max_running_jobs: Annotated[
        int | None, _quota_option(0, _NUMBER, "Jobs that run at a time; 0 for no limit.")
    ] = None,
    max_stored_bytes: Annotated[
        int | None, _quota_option(0, _BYTES, "Datasets, models and jobs together; 0 for no limit.")
    ] = None,
    max_model_bytes: Annotated[int | None, _quota_option(0, _BYTES, "Models alone; 0 for no limit.")] = None,
    max_streams: Annotated[int | None, _quota_option(1, _NUMBER, "Open streams on each API process.")] = None,
    max_schedules: Annotated[int | None, _quota_option(0, _NUMBER, "Schedules; 0 for no limit.")] = None,
    max_subscriptions: Annotated[
        int | None, _quota_option(0, _NUMBER, "Subscriptions; 0 for no limit.")
    ] = None,
    data: UserData = None,
    as_json: AsJson = False,
) -> None:
    """Show the quotas of a user and what is used, or change them; N is a number or `default`.

    A change takes effect within a second.
    """
    from app.cli import users

    given = {
        "max_active_jobs": max_active_jobs,
        "max_running_jobs": max_running_jobs,
        "max_stored_bytes": max_stored_bytes,
        "max_model_bytes": max_model_bytes,
        "max_streams": max_streams,
        "max_schedules": max_schedules,
        "max_subscriptions": max_subscriptions,
    }
    changes = {quota: None if value == -1 else value for quota, value in given.items() if value is not None}
    asyncio.run(users.set_quotas(name, data, changes, as_json=as_json))


@users.command(epilog=examples("headrace users delete ada --yes"))
def delete(
    name: UserName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.", show_default=False)] = False,
    data: UserData = None,
    as_json: AsJson = False,
) -> None:
    """Delete a user with all jobs, models and datasets. The name is not given out again."""
    from app.cli import users

    if not yes:
        typer.confirm(f"Delete {name} with all jobs, models and datasets?", abort=True, err=True)
    asyncio.run(users.delete(name, data, as_json=as_json))


AuditActor = Annotated[
    str | None, typer.Option("--actor", metavar="NAME", help="Only what this user did.", show_default=False)
]
AuditAction = Annotated[
    str | None,
    typer.Option(
        "--action",
        metavar="ACTION",
        help="Only this action, for example user.role_changed.",
        show_default=False,
    ),
]


@audit.command("list", epilog=examples("headrace audit list", "headrace audit list --actor ops --data .data"))
def list_entries(
    actor: AuditActor = None,
    action: AuditAction = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="Number of entries.")] = 50,
    data: UserData = None,
    as_json: AsJson = False,
) -> None:
    """List the newest entries of the audit log."""
    from app.cli import audit

    asyncio.run(audit.list_entries(data, actor=actor, action=action, limit=limit, as_json=as_json))


@audit.command(epilog=examples("headrace audit export > audit.csv", "headrace audit export --format ndjson"))
def export(
    file_format: Annotated[
        Literal["csv", "ndjson"], typer.Option("--format", help="Format: csv or ndjson.")
    ] = "csv",
    actor: AuditActor = None,
    action: AuditAction = None,
    data: UserData = None,
    as_json: AsJson = False,
) -> None:
    """Write all entries of the audit log to stdout, newest first. `--json` is `--format ndjson`."""
    from app.cli import audit

    asyncio.run(
        audit.export(data, actor=actor, action=action, file_format="ndjson" if as_json else file_format)
    )


@audit.command(epilog=examples("headrace audit verify", "headrace audit verify --known 42:9f86d0…"))
def verify(
    known: Annotated[
        str | None,
        typer.Option(
            "--known",
            metavar="NUMBER:HASH",
            help="What an earlier verification printed: it must still be in the chain.",
            show_default=False,
        ),
    ] = None,
    data: UserData = None,
    as_json: AsJson = False,
) -> None:
    """Verify the hash chain of the audit log. Exits with 1 and names the first entry that is not intact."""
    from app.cli import audit

    asyncio.run(audit.verify(data, known=known, as_json=as_json))
