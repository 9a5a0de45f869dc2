"""A client that is generated from the OpenAPI document works on a running system."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.client.running import Running, User

pytestmark = pytest.mark.timeout(180)  # the system starts, and a client is written

STORY = Path(__file__).with_name("generated_story.py")


@pytest.fixture(scope="module")
def generated(system: Running, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the package `headrace_api`."""
    folder = tmp_path_factory.mktemp("generated")
    document = folder / "openapi.json"
    document.write_bytes(httpx.get(f"{system.url}/openapi.json", trust_env=False).content)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate"),
            *("--path", str(document), "--meta", "none", "--output-path", str(folder / "headrace_api")),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        # It puts what it writes in order with ruff.
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    warnings = [line for line in done.stdout.splitlines() if line.startswith(("WARNING", "ERROR"))]
    # It has no way to send a file as it is; it sends a form instead.
    assert set(warnings) <= {
        "WARNING parsing POST /datasets within datasets.",
        "WARNING parsing POST /models/{name}/versions within models.",
    }, done.stdout
    return folder


def test_it_submits_retries_follows_and_reads(system: Running, ada: User, generated: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(STORY), system.url, ada.name, ada.password],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(generated), "NO_PROXY": "*"},
    )
    assert done.returncode == 0, done.stderr

    assert json.loads(done.stdout) == {
        "submitted": [202, 200, True],
        "groups": [202, 200, True],
        "trained": [202, 200, True],
        "status": "completed",
        "followed": [200, 4, True],
        "ended": 204,
        "labels": ["positive", "negative"],
        "listed": True,
        "problems": ["job_not_found", "invalid_token", "validation_error"],
    }
