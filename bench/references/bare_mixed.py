"""Bare loop with Arrow, NumPy and scikit-learn over a table of numbers, categories and texts.

`python -m bench.references.bare_mixed TABLE MODEL OUTPUT COLUMN...` reads the same Parquet file as the job in
batches, gives the columns to the pipeline in this order, and writes a line of JSON for each row: what the job
stores, encoded with the library that the job uses. Computes the features once for labels and scores. Prints
the seconds from opening the table to the last line.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # one processor computes, as in a child of a worker

import sys
import time
import warnings
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import skops.io

from bench.mixed_table import BATCH_SIZE, ID


def run(table: str, model_path: str, output: str, columns: list[str]) -> float:
    """Return the elapsed seconds, excluding the time to load libraries and the model."""
    pa.set_cpu_count(1)
    warnings.simplefilter("ignore")  # about categories that no training row has
    model = skops.io.load(model_path, trusted=skops.io.get_untrusted_types(file=model_path))
    classes = model.classes_
    names = classes.tolist()
    encoder = msgspec.json.Encoder()
    first = next(pq.ParquetFile(table).iter_batches(2, columns=columns, use_threads=False))
    model.predict_proba(_array(first, columns))
    began = time.perf_counter()
    rows = 0
    with Path(output).open("wb") as file:
        for batch in pq.ParquetFile(table).iter_batches(BATCH_SIZE, use_threads=False):
            scores = model.predict_proba(_array(batch, columns))
            labels = classes[scores.argmax(axis=1)].tolist()
            lines = [
                {
                    "id": row_id,
                    "prediction": {
                        "label": label,
                        "score": max(row),
                        "scores": dict(zip(names, row, strict=True)),
                    },
                }
                for row_id, label, row in zip(
                    batch.column(ID).to_pylist(), labels, scores.tolist(), strict=True
                )
            ]
            file.write(encoder.encode_lines(lines))
            rows += len(lines)
    seconds = time.perf_counter() - began
    assert rows == pq.read_metadata(table).num_rows
    return seconds


def _array(batch: pa.RecordBatch, columns: list[str]) -> npt.NDArray[Any]:
    """Return the columns as one array, with NaN for a missing number and None for a missing category."""
    array = np.empty((len(batch), len(columns)), dtype=object)
    for place, name in enumerate(columns):
        array[:, place] = batch.column(name).to_numpy(zero_copy_only=False)
    return array


if __name__ == "__main__":
    print(run(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
