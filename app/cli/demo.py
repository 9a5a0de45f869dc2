"""`headrace demo`: the whole system, two real jobs, and commands to try next."""

import secrets
import tempfile
from pathlib import Path
from typing import Final

from rich.console import Console

from app.cli import demo_dashboard, demo_prediction, demo_training, system
from app.cli.listening import listen
from app.cli.output import print_json
from app.client import AsyncHeadrace


async def run(*, texts: int, as_json: bool, keep: bool = False) -> None:
    """Start everything on free ports, predict `texts` texts, train and use a model, and stop everything.

    With `keep`, start another job before the end, and stop at Ctrl+C.
    """
    console = Console(quiet=as_json)
    with tempfile.TemporaryDirectory(prefix="headrace-demo-") as folder, listen("127.0.0.1", 0) as listener:
        data_dir = Path(folder)
        data_dir.chmod(0o711)  # as root, Postgres runs as another user, who needs access to the folder
        with (data_dir / "processes.log").open("wb") as logs:
            console.print("[bold]Headrace[/] starts: Postgres, Valkey, the API and a worker …")
            # A new user for each demo: with DATABASE_URL set, the database may have the one of `make run`.
            username = f"demo-{secrets.token_hex(4)}"
            async with system.running(data_dir, listener=listener, username=username, logs=logs) as running:
                console.print(f"It is at {running.url}\n")
                async with AsyncHeadrace(
                    running.url, username=running.username, password=running.password
                ) as client:
                    prediction = await demo_prediction.show(console, client, texts)
                    training = await demo_training.show(console, client, data_dir)
                    if as_json:
                        print_json({"prediction": prediction, "training": training})
                    if keep:
                        await demo_dashboard.show(console, client, running, data_dir, as_json=as_json)
                _print_next(console)


_NEXT: Final = """\
  export HEADRACE_USERNAME=demo HEADRACE_PASSWORD=$(cat .data/demo-password)
  .venv/bin/headrace jobs submit "What a lovely day" "The support was rude and useless" --watch
  gunzip -c app/cli/demo_digits.csv.gz > digits.csv
  .venv/bin/headrace jobs train --dataset digits.csv --target digit --model digits --watch
"""


def _print_next(console: Console) -> None:
    console.print(
        "[bold]Try it yourself:[/] `make run`, then open http://localhost:8000/dashboard/ in a browser"
    )
    console.print("(the user is demo, the password is in .data/demo-password); or in another terminal\n")
    console.print(_NEXT, markup=False, highlight=False, soft_wrap=True)
    console.print("README.md does the same with curl; http://localhost:8000/docs documents the whole API.")
