"""Each guard of the starter is missed by a test: the tests of this folder run on a tree without it."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.mutants.__main__ import copy
from tests.mutants.mutant import ROOT, Mutant

SECONDS: Final = 240
_STARTER: Final = "worker/engines/ray/starter.py"

MUTANTS: Final = (
    Mutant(
        "ray: a cluster without authentication is used",
        _STARTER,
        "if _is_authenticated(ping, None):",
        "if False:",
        ("tests/ray/test_outages.py::test_a_cluster_that_asks_for_no_token_is_refused_in_one_line",),
    ),
    Mutant(
        "ray: a cluster with another version is used",
        _STARTER,
        "    if ours != theirs:",
        "    if False:",
        ("tests/ray/test_starter.py::test_another_version_of_ray_is_refused_in_one_line",),
    ),
    Mutant(
        "ray: pickles of the cluster are loaded",
        _STARTER,
        "    refuse_pickles()\n",
        "",
        ("tests/ray/test_starter.py::test_the_client_reads_no_pickle_of_the_cluster",),
    ),
    Mutant(
        "ray: a signal for the worker ends the starter",
        _STARTER,
        "    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS_FOR_THE_WORKER)\n",
        "",
        ("tests/ray/test_starter.py::test_signals_for_the_worker_do_not_end_the_starter",),
    ),
    Mutant(
        "ray: the starter starts with the token in its environment",
        "worker/engines/ray/starting.py",
        "    return {**kept, **_STARTER_ENVIRONMENT}",
        "    import os\n\n    return {**os.environ, **_STARTER_ENVIRONMENT}",
        ("tests/ray/test_starter.py::test_the_starter_holds_no_secret_that_another_process_could_read",),
    ),
    Mutant(
        "ray: a slot without GPUs sees those of its node",
        "worker/engines/ray/actor.py",
        "        if not gpus:",
        "        if False:",
        ("tests/ray/test_engine.py::test_a_slot_without_gpus_sees_none",),
    ),
)


@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_test_notices_that_a_guard_is_gone(mutant: Mutant, tmp_path: Path) -> None:
    root = copy(ROOT, tmp_path / "tree")
    mutant.apply(root)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "ray", "-p", "no:cacheprovider", *mutant.tests],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )

    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert any(f"FAILED {test}" in done.stdout for test in mutant.tests), done.stdout
