"""Tables with many columns, and how much memory it takes to convert them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.datasets.conversion.faults import NO_LIMIT
from app.datasets.conversion.messages import Task
from app.datasets.values import Format

ROOT = Path(__file__).parents[2]
_BLOCK_ROWS = 1000

# Runs the conversion, and adds how much memory it took at most, in KiB, to what it says. Not by `getrusage`:
# its maximum outlives the exec, and is that of the process of the tests.
_MEASURED = """
import re, sys
from app.core.sandbox import readable
from app.datasets.conversion import task
status = open("/proc/self/status")
said = task.run(sys.argv[1].encode(), readable.installed())
print(said.decode(), re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1], sep="\\n")
"""


def images(rows: int, columns: int) -> Iterator[np.ndarray[Any, Any]]:
    """Pixels like those of written digits: mostly 0, else up to 255; the same ones each time."""
    random = np.random.default_rng(7)
    for first in range(0, rows, _BLOCK_ROWS):
        count = min(_BLOCK_ROWS, rows - first)
        pixels = random.integers(0, 256, (count, columns))
        pixels[random.random((count, columns)) < 0.8] = 0
        yield pixels


def write(path: Path, file_format: Format, rows: int, columns: int) -> None:
    """Write such a table."""
    names = [f"pixel{place}" for place in range(columns)]
    if file_format is Format.PARQUET:
        schema = pa.schema([(name, pa.int64()) for name in names])
        with pq.ParquetWriter(path, schema) as writer:
            for pixels in images(rows, columns):
                writer.write_table(pa.table(list(pixels.T), schema=schema))
        return
    with path.open("w") as file:
        if file_format is Format.CSV:
            file.write(",".join(names) + "\n")
        for pixels in images(rows, columns):
            for row in pixels.tolist():
                if file_format is Format.CSV:
                    file.write(",".join(map(str, row)) + "\n")
                else:
                    file.write(json.dumps(dict(zip(names, row, strict=True))) + "\n")


def convert(path: Path, file_format: Format, target: Path) -> tuple[dict[str, Any], float]:
    """What the conversion says of a file, and how many MiB it took at most."""
    task = msgspec.json.encode(Task(str(path), str(target), file_format, NO_LIMIT, NO_LIMIT, 1000)).decode()
    environment = {
        **{name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ},
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "PYTHONPATH": str(ROOT),
    }
    converted = subprocess.run(
        [sys.executable, "-c", _MEASURED, task], env=environment, capture_output=True, text=True, check=False
    )
    assert converted.returncode == 0, converted.stderr[-2000:]
    answer, kibibytes = converted.stdout.strip().rsplit("\n", 1)
    return json.loads(answer), int(kibibytes) / 1024
