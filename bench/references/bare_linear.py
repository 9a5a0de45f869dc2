"""Bare loop with Arrow, NumPy and scikit-learn: one table, one model, one process.

`python -m bench.references.bare_linear TABLE MODEL` reads the same Parquet file as the job in batches and
computes for each row the prediction that the job stores, as an object ready for JSON. Discards the
predictions. Prints the seconds from opening the table to its last row.
"""

import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import skops.io

from bench.linear_rows import BATCH_SIZE, COLUMNS


def run(table: str, model_path: str) -> float:
    """Return the elapsed seconds, excluding the time to load libraries and the model."""
    pa.set_cpu_count(1)
    model = skops.io.load(model_path)
    model.predict(np.zeros((1, len(COLUMNS))))
    classes = model.classes_.tolist()
    began = time.perf_counter()
    rows = 0
    for batch in pq.ParquetFile(table).iter_batches(BATCH_SIZE, use_threads=False):
        matrix = np.column_stack([batch.column(name).to_numpy() for name in COLUMNS])
        labels = model.predict(matrix).tolist()
        scores = model.predict_proba(matrix).tolist()
        ids = batch.column("id").to_pylist()
        predictions = [
            {
                "id": row_id,
                "prediction": {
                    "label": label,
                    "score": max(row),
                    "scores": dict(zip(classes, row, strict=True)),
                },
            }
            for row_id, label, row in zip(ids, labels, scores, strict=True)
        ]
        rows += len(predictions)
    seconds = time.perf_counter() - began
    assert rows == pq.read_metadata(table).num_rows
    return seconds


if __name__ == "__main__":
    print(run(sys.argv[1], sys.argv[2]))
