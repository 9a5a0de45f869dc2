"""The worker's own process."""

import subprocess
import sys

from tests.support.processes import ROOT

_IMPORTED = """
import sys, worker.main
of_children = {"fastapi", "numpy", "onnxruntime", "pyarrow", "scipy", "sklearn", "uvicorn"}
print(*sorted(of_children & sys.modules.keys()))
"""


def test_a_worker_imports_nothing_that_only_its_children_need() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTED], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == []
