"""`make demo`: the whole system, two real jobs, and what to try next."""

import secrets
import tempfile
from pathlib import Path
from typing import Final

from rich.console import Console

from app.cli import demo_prediction, demo_training, system
from app.cli.listening import listen
from app.client import AsyncHeadrace


async def run(*, texts: int) -> None:
    """Start everything on free ports, predict `texts` texts, train a model and use it, stop everything."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="headrace-demo-") as folder, listen("127.0.0.1", 0) as listener:
        data_dir = Path(folder)
        data_dir.chmod(0o711)  # root's Postgres is another user, who has to get through
        with (data_dir / "processes.log").open("wb") as logs:
            console.print("[bold]Headrace[/] starts: Postgres, Valkey, the API and a worker …")
            # Not the user of `make run`: where DATABASE_URL says so the database is not new.
            username = f"demo-{secrets.token_hex(4)}"
            async with system.running(data_dir, listener=listener, username=username, logs=logs) as running:
                console.print(f"It is at {running.url}\n")
                async with AsyncHeadrace(
                    running.url, username=running.username, password=running.password
                ) as client:
                    await demo_prediction.show(console, client, texts)
                    await demo_training.show(console, client, data_dir)
                _print_next(console)


_NEXT: Final = """\
  export HEADRACE_USERNAME=demo HEADRACE_PASSWORD=$(cat .data/demo-password)
  .venv/bin/python -m app jobs submit "What a lovely day" "The support was rude and useless" --watch
  gunzip -c app/cli/demo_digits.csv.gz > digits.csv
  .venv/bin/python -m app jobs train --dataset digits.csv --target digit --model digits --watch
"""


def _print_next(console: Console) -> None:
    console.print("[bold]Now by hand:[/] `make run`, and a browser at http://localhost:8000/watch")
    console.print("(the user is demo, the password in .data/demo-password); or in another terminal\n")
    console.print(_NEXT, markup=False, highlight=False, soft_wrap=True)
    console.print("README.md has the same with curl; http://localhost:8000/docs has the whole API.")
