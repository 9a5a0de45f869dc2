"""Upload, train and predict on the code paths of jobs, within one process."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import skops.io

from app.core.files import StoredFile
from app.datasets.conversion.columns import describe
from app.datasets.conversion.task import convert
from app.datasets.options import AS_FOUND, ReadOptions
from app.datasets.reading import RowReader
from app.datasets.values import Dataset, Format
from app.jobs.kinds import inputs
from app.jobs.params import ModelReference, RowShape, TrainModelParams
from app.models.versions import ModelVersion, Signature
from worker import predictions, rows
from worker.children import encoding
from worker.evaluation import Evaluation
from worker.runtimes.onnx.runtime import OnnxRuntime
from worker.runtimes.runtime import FileRuntime, Model
from worker.runtimes.sklearn.runtime import SklearnRuntime
from worker.training import table
from worker.training.trainer import Training

FILES = Path(__file__).parent / "files"
FORMATS = {".csv": Format.CSV, ".jsonl": Format.JSONL, ".parquet": Format.PARQUET}


@dataclass(frozen=True)
class Uploaded:
    """A dataset and the file of its rows."""

    dataset: Dataset
    path: Path
    options: ReadOptions

    @property
    def types(self) -> dict[str, str]:
        """The type of each column by name."""
        return {column.name: column.type for column in self.dataset.columns}

    def preview(self, count: int = 100) -> list[dict[str, Any]]:
        """Return the first rows, as in a preview."""
        with RowReader(self.path) as reader:
            return reader.rows(0, count)


@dataclass(frozen=True)
class Loaded:
    """A model version and its loaded model."""

    version: ModelVersion
    model: Model


@dataclass(frozen=True)
class Trained(Loaded):
    """A trained model with the result and the file of its training."""

    result: dict[str, Any]
    path: Path

    @property
    def warnings(self) -> str:
        """All warnings in one text."""
        return "\n".join(self.result["warnings"])

    def by_hand(self) -> Any:
        """Load the plain pipeline, as a data scientist would."""
        return skops.io.load(self.path, trusted=skops.io.get_untrusted_types(file=self.path))


class Workbench:
    """Creates datasets and models in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def case(self, name: str, **options: Any) -> Uploaded:
        """Upload one of the files beside this module."""
        path = FILES / name
        return self.upload(path.read_bytes(), FORMATS[path.suffix], **options)

    def upload(self, content: bytes, file_format: Format = Format.CSV, **options: Any) -> Uploaded:
        """Upload a dataset of these bytes. Raises Fault."""
        source, target = self._path("content"), self._path("rows.parquet")
        source.write_bytes(content)
        schema, used = convert(source, target, file_format, msgspec.convert(options, ReadOptions))
        with RowReader(target) as reader:
            count = len(reader)
        file = StoredFile("datasets/rows.parquet", target.stat().st_size, "0" * 64)
        columns = tuple(describe(schema))
        dataset = Dataset(
            id=UUID(int=1),
            name="rows",
            format=file_format,
            bytes=file.bytes,
            sha256="0" * 64,
            rows=count,
            columns=columns,
            options=AS_FOUND,
            file=file,
            created_at=datetime(2026, 1, 31, tzinfo=UTC),
        )
        return Uploaded(dataset, target, used)

    def train(self, data: Uploaded | list[dict[str, Any]], target: str, **params: Any) -> Trained:
        """Train a model on a dataset or on inline rows. Raises JobError."""
        if isinstance(data, Uploaded):
            with RowReader(data.path) as reader:
                train_table = table.to_arrow(reader.table(0, len(reader)))
        else:
            train_table = table.to_arrow(data)
        training = Training(train_table, TrainModelParams(target=target, **params))
        while not training.is_finished:
            training.advance()
        path = self._path("model.skops")
        result = training.finish(path)
        signature = msgspec.convert(result["signature"], Signature)
        version = ModelVersion(
            "model", 1, "sklearn", columns=signature.columns, classes=signature.classes, task=signature.task
        )
        model = SklearnRuntime().load(ModelReference("model", 1, "sklearn"), path)
        return Trained(version, model, result, path)

    def upload_sklearn(self, estimator: Any) -> Loaded:
        """Upload a scikit-learn model."""
        path = self._path("model.skops")
        skops.io.dump(estimator, path)
        return self._loaded(SklearnRuntime(), "sklearn", path)

    def upload_onnx(self, content: bytes) -> Loaded:
        """Upload an ONNX model."""
        path = self._path("model.onnx")
        path.write_bytes(content)
        return self._loaded(OnnxRuntime(), "onnx", path)

    def _loaded(self, runtime: FileRuntime, name: str, path: Path) -> Loaded:
        signature = runtime.inspect(path)
        version = ModelVersion(
            "model", 1, name, columns=signature.columns, classes=signature.classes, task=signature.task
        )
        return Loaded(version, runtime.load(ModelReference("model", 1, name), path))

    def _path(self, name: str) -> Path:
        self._count += 1
        return self._folder / f"{self._count}-{name}"


def predict_dataset(
    loaded: Loaded, data: Uploaded, *, batch_size: int = 1000, **options: str
) -> list[dict[str, Any]]:
    """Return the result of a batch prediction over a dataset by row. Raises the errors of the submission."""
    shape = inputs.shape_of_dataset(loaded.version, data.dataset, **options)
    with RowReader(data.path) as reader:
        found = rows.DatasetRows(reader, rows.needed_columns(shape, ()))
        return _predicted(loaded, found, shape, batch_size)


def predict_instances(
    loaded: Loaded, instances: Sequence[Any], *, batch_size: int = 100
) -> list[dict[str, Any]]:
    """Return the result of a prediction over inline instances."""
    sent = json.loads(json.dumps(instances))
    shape = inputs.shape_of_instances(loaded.version, sent)
    return _predicted(loaded, rows.InlineRows(sent), shape, batch_size)


def predict_texts(loaded: Loaded, texts: list[str]) -> list[dict[str, Any]]:
    """Return the result of a prediction over texts."""
    return _predicted(loaded, rows.InlineRows(list(texts)), inputs.shape_of_texts(loaded.version), 100)


def evaluate(loaded: Loaded, data: Uploaded, target: str) -> dict[str, Any]:
    """Return the result of an evaluation over a dataset."""
    shape = inputs.shape_of_dataset(loaded.version, data.dataset, target=target)
    evaluation = Evaluation(classes=loaded.version.classes)
    with RowReader(data.path) as reader:
        batch = rows.DatasetRows(reader, rows.needed_columns(shape, (target,))).read(0, len(reader))
        outputs = predictions.predict(loaded.model, rows.model_inputs(batch, shape), has_worked=True)
        for row, (output, truth) in enumerate(
            zip(outputs, rows.column_as_written(batch, target), strict=True)
        ):
            evaluation.compare(row, output, truth)
    return evaluation.result()


def _predicted(loaded: Loaded, found: rows.Rows, shape: RowShape, batch_size: int) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for first in range(0, len(found), batch_size):
        batch = found.read(first, batch_size)
        outputs = predictions.predict(
            loaded.model, rows.model_inputs(batch, shape), has_worked=True, may_be_structs=True
        )
        encoded = encoding.json_lines(outputs, 0, ids=rows.row_ids(batch, shape))
        lines += [json.loads(line) for line in encoded.splitlines()]
    return lines
