"""What `headrace preprocess` does."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from app.cli.errors import UsageError
from app.cli.jobs.connection import account, client_errors, connect
from app.cli.jobs.options import ServerOptions
from app.cli.jobs.submitted import print_submitted, watch_jobs
from app.client.options import JobOptions

STDIN: Final = "-"


@client_errors()
def preprocess(
    server: ServerOptions,
    *,
    dataset: str,
    steps: str,
    name: str | None,
    options: Mapping[str, Any],
    watch: bool,
    as_json: bool,
) -> None:
    """Submit a preprocess job; print it, and watch it if asked to."""
    wanted = read_steps(steps)
    user = account(server)
    with connect(user) as client:
        job = client.preprocess(dataset, wanted, name=name, **cast("JobOptions", dict(options)))
    print_submitted(job, None, as_json=as_json)
    if watch:
        watch_jobs(user, [job.id], as_json=as_json)


def read_steps(path: str) -> list[dict[str, Any]]:
    """Read the list of steps in a file, or on stdin. Raises UsageError."""
    try:
        text = sys.stdin.read() if path == STDIN else Path(path).read_text(encoding="utf-8")
        found = json.loads(text)
    except OSError as error:
        raise UsageError(f"STEPS: cannot read {path}: {error.strerror}.") from None
    except ValueError as error:
        raise UsageError(f"STEPS: {path} is not JSON: {error}.") from None
    if not isinstance(found, list) or not all(isinstance(step, dict) for step in found):
        raise UsageError(f"STEPS: {path} must hold a JSON list of objects.")
    return found
