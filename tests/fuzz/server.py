"""`python -m tests.fuzz.server`: load mutants and predict with them, each batch in its own process.

Reads lines `{"kind", "rows", "files"}` from stdin and answers each with a line of outcomes, one per file.
Freed memory is filled with a pattern that differs between the servers (MALLOC_PERTURB_, and NumPy's cache of
small blocks). If the predictions of two servers differ, they depend on memory outside the model and the rows.
"""

import contextlib
import json
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import skops.io

from app.jobs.params import ModelReference
from tests.fuzz import guard
from worker.context import JobError, RowError
from worker.runtimes import FILE_RUNTIMES, file_runtime
from worker.runtimes.runtime import BrokenModel, UnsafeModel
from worker.runtimes.sklearn import inspection

SECONDS: Final = 20
PATTERN: Final = int(os.environ.get("MALLOC_PERTURB_", "85"))


def main() -> None:
    """Serve requests until stdin ends."""
    for name in FILE_RUNTIMES:
        file_runtime(name)
    if sys.argv[1:] == ["unchecked"]:
        _disable_inspection()
    for line in sys.stdin:
        request = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):  # a mutant may enable its model's verbose output
            outcomes = _outcomes(request)
        print(json.dumps(outcomes), flush=True)


def _disable_inspection() -> None:
    def load(path: Path) -> Any:
        return skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))

    inspection.load = load


def _outcomes(request: dict[str, Any]) -> list[Any]:
    outcomes: list[Any] = []
    while len(outcomes) < len(request["files"]):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _serve(request, len(outcomes), writer)
        os.close(writer)
        with os.fdopen(reader) as lines:
            outcomes += [json.loads(line) for line in lines if line.endswith("\n")]
        _, status = os.waitpid(child, 0)
        if len(outcomes) < len(request["files"]):
            # The next file has killed the child.
            code = os.waitstatus_to_exitcode(status)
            kind = "slow" if code == -signal.SIGALRM else "crashed"
            outcomes.append([kind, f"{signal.Signals(-code).name}" if code < 0 else f"exit {code}"])
    return outcomes


def _serve(request: dict[str, Any], first: int, writer: int) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    warnings.simplefilter("ignore")
    try:
        for path in request["files"][first:]:
            signal.alarm(SECONDS)
            outcome = _outcome(request["kind"], Path(path), request["rows"])
            signal.alarm(0)
            os.write(writer, (json.dumps(outcome) + "\n").encode())
    finally:
        os._exit(0)


def _outcome(kind: str, path: Path, rows: list[Any]) -> list[Any]:
    runtime = file_runtime(kind)
    assert runtime is not None
    try:
        # First as for an upload, then as in a child that predicts.
        if sys.argv[1:] != ["unchecked"]:
            runtime.inspect(path)
        model = runtime.load(ModelReference(name="m", version=1, runtime=kind), path)
    except (BrokenModel, UnsafeModel) as error:
        return ["refused", error.code]
    except MemoryError:
        return ["refused", "memory"]
    except Exception as error:
        return ["escaped", f"{type(error).__name__}: {error}"[:200]]
    _fill_free_memory()
    with guard.rows_before_a_guard():
        try:
            predictions = [str(one) if isinstance(one, RowError) else one for one in model.predict(rows)]
        except JobError as error:
            return ["accepted", error.code]
        except MemoryError:
            return ["accepted", "memory"]
        except Exception as error:
            return ["escaped", f"{type(error).__name__}: {error}"[:200]]
    return ["accepted", json.dumps(predictions, default=str)]


def _fill_free_memory() -> None:
    """Fill NumPy's cached small blocks and freed memory of several sizes with the pattern."""
    for size in (*range(8, 1100, 8), 4096, 16384, 65536):
        blocks = [np.full(size, PATTERN, dtype=np.uint8) for _ in range(4)]
        del blocks


if __name__ == "__main__":
    main()
