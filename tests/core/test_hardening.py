"""What a child can learn of its worker: nothing that is secret."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.worker.children import attempts

CANARY = "canary-8d1f"
SECRETS = ("DATABASE_URL", "redis_url", "SECRET_KEY", "Previous_Secret_Key")


async def test_no_child_sees_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, CANARY)
    monkeypatch.setenv("HARMLESS", "seen")

    async with attempts.pool() as children, attempts.take(children) as child:
        told = (await attempts.run(child, attempts.start("tell_environment"))).result
        started_with = [
            Path(f"/proc/{pid}/environ").read_bytes().decode() for pid in (child.pid, told["parent"])
        ]

    assert told["environment"]["HARMLESS"] == "seen"
    assert CANARY not in str(told["environment"])
    assert all(CANARY not in environment for environment in started_with)


_HARDENED = """
import ctypes, os
from app.core import hardening
hardening.drop_secrets()
hardening.make_undumpable()
PR_GET_DUMPABLE = 3
print(sorted(os.environ), ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0))
"""


def test_a_hardened_worker_has_no_secrets_and_is_closed_to_its_user() -> None:
    environment = dict.fromkeys(SECRETS, CANARY) | {"HARMLESS": "kept"}

    hardened = subprocess.run(
        [sys.executable, "-c", _HARDENED], env=environment, check=True, capture_output=True, text=True
    )

    names, dumpable = hardened.stdout.strip().rsplit(maxsplit=1)
    assert "HARMLESS" in names
    assert not any(name in names for name in SECRETS)
    assert dumpable == "0"
