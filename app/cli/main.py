"""What the command line can do. Exit codes: 0 asked to stop, 1 could not start, 2 wrong usage."""

import argparse
import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from app.cli import jobs_parser
from app.cli.errors import CannotStart
from app.core import hardening
from app.core.errors import AppError, ConfigurationError
from app.embedded.errors import EmbeddedServerError

DEFAULT_DATA_DIR: Final = Path(".data")
DEFAULT_PORT: Final = 8000

Command = Callable[[argparse.Namespace], None]


def main() -> int:
    """Run the command that was asked for."""
    hardening.make_undumpable()  # before any setting is read
    arguments = _parser().parse_args()
    command: Command = arguments.command
    try:
        command(arguments)
    except KeyboardInterrupt:
        return 0
    except (CannotStart, ConfigurationError, EmbeddedServerError, AppError) as error:
        print(f"headrace: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app", description="Headrace, an ML job service.")
    commands = parser.add_subparsers(required=True, metavar="command")

    demo = commands.add_parser("demo", help="run a real job on the whole system, then stop")
    demo.add_argument("--texts", type=int, default=1000, choices=range(1, 1001), metavar="N")
    demo.set_defaults(command=_demo)

    dev = commands.add_parser("dev", help="all in one: servers, API and worker, until Ctrl+C")
    dev.add_argument(
        "--port", type=_port, default=DEFAULT_PORT, help="where the API listens; 0 for a free port"
    )
    dev.add_argument("--slots", type=_positive, help="how many jobs run at a time")
    dev.add_argument("--data", type=Path, default=DEFAULT_DATA_DIR, help="where everything is kept")
    dev.set_defaults(command=_dev)

    serve = commands.add_parser("serve", help="the API alone, on DATABASE_URL and REDIS_URL")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=_port, default=DEFAULT_PORT)
    serve.add_argument("--fd", type=int, help=argparse.SUPPRESS)  # a listening socket that `dev` has opened
    serve.set_defaults(command=_serve)

    migrate = commands.add_parser("migrate", help="bring the database to the present schema")
    migrate.set_defaults(command=_migrate)

    users = commands.add_parser("users", help="see to users").add_subparsers(required=True, metavar="action")
    create = users.add_parser("create", help="create a user; the password is read from the terminal or stdin")
    create.add_argument("name")
    create.add_argument("--role", choices=("user", "admin"), default="user")
    create.set_defaults(command=_create_user)

    jobs_parser.add(commands)

    servers = commands.add_parser("servers", help="only the embedded servers; prints their URLs")
    servers.add_argument("--data", type=Path, default=DEFAULT_DATA_DIR)
    servers.set_defaults(command=_servers)
    return parser


# Each command imports what it needs when it runs: `--help` and `migrate` should not wait for FastAPI.


def _demo(arguments: argparse.Namespace) -> None:
    from app.cli import demo

    asyncio.run(demo.run(texts=arguments.texts))


def _dev(arguments: argparse.Namespace) -> None:
    from app.cli import dev

    asyncio.run(dev.run(port=arguments.port, slots=arguments.slots, data_dir=arguments.data))


def _serve(arguments: argparse.Namespace) -> None:
    from app.cli import serve

    serve.run(host=arguments.host, port=arguments.port, fd=arguments.fd)


def _migrate(_arguments: argparse.Namespace) -> None:
    from app.cli import migrations
    from app.core.config import load_settings

    database_url = load_settings().database_url
    hardening.drop_secrets()
    migrations.migrate(database_url)


def _create_user(arguments: argparse.Namespace) -> None:
    from app.cli import users

    asyncio.run(users.create(arguments.name, arguments.role))


def _servers(arguments: argparse.Namespace) -> None:
    from app.cli import servers

    servers.run(arguments.data)


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65_535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it takes at least 1")
    return number
