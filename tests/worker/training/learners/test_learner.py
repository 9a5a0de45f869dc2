"""The data of a training, above all for few rows."""

import numpy as np
import pytest
from scipy import sparse

from app.models.versions import Task
from worker.training.features import Matrix
from worker.training.learners.learner import EPOCH_ROWS, PASS_ROWS, TrainingData


def lessons_of(rows: Matrix, count: int) -> TrainingData:
    return TrainingData(Task.CLASSIFICATION, rows, np.arange(count) % 2, epochs=5, seed=1)


@pytest.mark.parametrize("count", [2, 3, 60, 100, 125, 126, 249, 250, 1000, 5000])
def test_an_epoch_is_as_many_steps_in_few_passes(count: int) -> None:
    training_data = lessons_of(np.arange(count).reshape(-1, 1), count)

    passes, rows = len(training_data.seeds_of_passes(1)), len(training_data.rows_of_pass)

    assert passes <= EPOCH_ROWS // (PASS_ROWS // 2)
    assert EPOCH_ROWS * 0.7 <= passes * rows <= EPOCH_ROWS or passes == 1


@pytest.mark.parametrize("is_sparse", [False, True])
def test_each_row_of_a_small_table_is_repeated_as_often_as_the_others(is_sparse: bool) -> None:
    table = np.arange(6.0).reshape(3, 2)
    training_data = lessons_of(sparse.csr_matrix(table) if is_sparse else table, 3)

    rows = training_data.rows_of_pass.toarray() if is_sparse else training_data.rows_of_pass
    truth = training_data.repeated(training_data.truth)

    assert len(rows) == len(truth) == PASS_ROWS // 3 * 3
    assert (rows == table[np.arange(len(rows)) % 3]).all()
    assert (truth == training_data.truth[np.arange(len(rows)) % 3]).all()


def test_a_table_that_is_large_enough_is_not_copied() -> None:
    table = np.zeros((PASS_ROWS, 2))

    assert lessons_of(table, PASS_ROWS).rows_of_pass is table
