"""A conversion is a process of its own: what it imports is paid for with each upload."""

import subprocess
import sys
from pathlib import Path

from tests.support.processes import ROOT

_CONVERT = """
import sys
from pathlib import Path
from app.datasets.conversion.from_csv import convert
from app.datasets.options import AS_FOUND
convert(Path(sys.argv[1]), Path(sys.argv[2]), AS_FOUND)
print("numpy.ma" in sys.modules)
"""


def test_decimals_are_compared_without_masked_arrays(tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    odd = ["0.1", "12345678.123456789", "0.00001", "1e-05", "-0.0", "0.12345678901234567"]
    source.write_text("x\n" + "".join(f"{cell}\n" for cell in odd))

    said = subprocess.run(
        [sys.executable, "-c", _CONVERT, str(source), str(tmp_path / "rows.parquet")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout.strip() == "False"
