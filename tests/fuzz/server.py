"""`python -m tests.fuzz.server`: loads mutants and predicts with them, each batch in a process of its own.

Reads lines `{"kind", "rows", "files"}` and answers with a line of outcomes, one for each file. Freed memory
is filled with a pattern (MALLOC_PERTURB_, and NumPy's own small blocks), another one in each server. If the
predictions of two servers differ, they were made of memory that is neither the model's nor the rows'.
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
    """Answer until the input ends."""
    for name in FILE_RUNTIMES:
        file_runtime(name)
    if sys.argv[1:] == ["unchecked"]:
        _load_anything()
    for line in sys.stdin:
        asked = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):  # a mutant may have its model say what it does
            outcomes = _outcomes(asked)
        print(json.dumps(outcomes), flush=True)


def _load_anything() -> None:
    def load(path: Path) -> Any:
        return skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))

    inspection.load = load


def _outcomes(asked: dict[str, Any]) -> list[Any]:
    outcomes: list[Any] = []
    while len(outcomes) < len(asked["files"]):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _serve(asked, len(outcomes), writer)
        os.close(writer)
        with os.fdopen(reader) as lines:
            outcomes += [json.loads(line) for line in lines if line.endswith("\n")]
        _, status = os.waitpid(child, 0)
        if len(outcomes) < len(asked["files"]):
            # The child died of this one.
            code = os.waitstatus_to_exitcode(status)
            said = "slow" if code == -signal.SIGALRM else "crashed"
            outcomes.append([said, f"{signal.Signals(-code).name}" if code < 0 else f"exit {code}"])
    return outcomes


def _serve(asked: dict[str, Any], first: int, writer: int) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    warnings.simplefilter("ignore")
    try:
        for path in asked["files"][first:]:
            signal.alarm(SECONDS)
            outcome = _outcome(asked["kind"], Path(path), asked["rows"])
            signal.alarm(0)
            os.write(writer, (json.dumps(outcome) + "\n").encode())
    finally:
        os._exit(0)


def _outcome(kind: str, path: Path, rows: list[Any]) -> list[Any]:
    runtime = file_runtime(kind)
    assert runtime is not None
    try:
        # What an upload does, and then each child that predicts.
        if sys.argv[1:] != ["unchecked"]:
            runtime.inspect(path)
        model = runtime.load(ModelReference(name="m", version=1, runtime=kind), path)
    except (BrokenModel, UnsafeModel) as error:
        return ["refused", error.code]
    except MemoryError:
        return ["refused", "memory"]
    except Exception as error:
        return ["escaped", f"{type(error).__name__}: {error}"[:200]]
    _dirty()
    with guard.rows_before_a_guard():
        try:
            said = [str(one) if isinstance(one, RowError) else one for one in model.predict(rows)]
        except JobError as error:
            return ["accepted", error.code]
        except MemoryError:
            return ["accepted", "memory"]
        except Exception as error:
            return ["escaped", f"{type(error).__name__}: {error}"[:200]]
    return ["accepted", json.dumps(said, default=str)]


def _dirty() -> None:
    """Fill the small blocks that NumPy keeps for itself, and freed memory of some sizes, with the pattern."""
    for size in (*range(8, 1100, 8), 4096, 16384, 65536):
        blocks = [np.full(size, PATTERN, dtype=np.uint8) for _ in range(4)]
        del blocks


if __name__ == "__main__":
    main()
