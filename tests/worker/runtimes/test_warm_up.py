"""The warm-up runs a model of each runtime in the fork server, and leaves no model in its children."""

import json
import subprocess
import sys

import pytest

from app.core import hardening
from worker import context, plugins
from worker.runtimes import RUNTIMES, cache, warm_up

_FORK_SERVER = """
import pkgutil
import psutil
from worker import plugins

threads = psutil.Process().num_threads
*modules, warm_up = map(pkgutil.resolve_name, plugins.HEAVY)
before = threads()
warm_up()
print(threads() - before)
"""


def test_each_runtime_is_warmed_up_without_keeping_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    run: list[str] = []
    predict = warm_up._predict

    def noting(name: str, *arguments: object) -> None:
        run.append(name)
        predict(name, *arguments)  # type: ignore[arg-type]  # passed on unchanged

    monkeypatch.setattr(warm_up, "_predict", noting)
    kept, hashes = dict(cache.CHILD_CACHE._loaded), context._sha256.cache_info().currsize

    warm_up.warm_up()

    assert set(run) == set(RUNTIMES)
    assert dict(cache.CHILD_CACHE._loaded) == kept
    assert context._sha256.cache_info().currsize == hashes


def test_no_thread_is_left_that_a_fork_would_not_copy() -> None:
    process = subprocess.run(
        [sys.executable, "-c", _FORK_SERVER],
        env=hardening.clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(process.stdout) == 0


def test_the_last_preload_is_the_warm_up() -> None:
    assert plugins.HEAVY[-1] == f"{warm_up.__name__}:{warm_up.warm_up.__name__}"
