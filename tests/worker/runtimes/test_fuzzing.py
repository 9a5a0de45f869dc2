"""A random sample of the fuzzing campaign, and proof that the fuzzer detects crashes."""

import copy
import os
import signal
from typing import Any

import numpy as np
import pytest
import skops.io

from tests.fuzz import campaign, guard
from tests.fuzz.arena import Arena, Report
from tests.worker.runtimes.sklearn.inspection import corpus

pytestmark = pytest.mark.filterwarnings("ignore")

SEED = 20
MUTANTS_OF_EACH = 3


@pytest.mark.parametrize("kind", ["sklearn", "onnx"])
def test_no_accepted_mutant_crashes_a_child(kind: str) -> None:
    report = Report()
    with Arena() as arena:
        for target in campaign.targets():
            if target.kind == kind:
                arena.run(kind, target.label, target.rows, target.mutants(SEED, MUTANTS_OF_EACH), report)

    assert report.findings == []
    assert report.counts["refused"] > 50
    assert report.counts["accepted"] > 50


def test_the_same_seed_draws_the_same_mutants() -> None:
    target = next(campaign.targets())

    drawn = [[(name, len(make())) for name, make in target.mutants(seed, 20)] for seed in (1, 1, 2)]

    assert drawn[0] == drawn[1] != drawn[2]


def a_column_behind_the_row() -> Any:
    model, _ = corpus.fitted("tree")
    model = copy.deepcopy(model)
    _, args, state = model.tree_.__reduce__()
    nodes = state["nodes"].copy()
    nodes["feature"][nodes["feature"] >= 0] = 100_000
    model.tree_ = type(model.tree_)(*args)
    model.tree_.__setstate__({**state, "nodes": nodes})
    return model


def test_the_fuzzer_detects_what_an_unchecked_model_does() -> None:
    # Only reads beyond the rows are sure to crash. Other invalid accesses may go unnoticed;
    # test_attacks.py has models for those.
    content = skops.io.dumps(a_column_behind_the_row())
    rows = corpus.ROWS[:4].tolist()
    report = Report()

    with Arena(is_checked=False) as arena:
        arena.run("sklearn", "tampered", rows, [("as it is", lambda: content)], report)

    assert len(report.findings) == 1


def test_reading_beyond_guarded_rows_is_a_crash() -> None:
    child = os.fork()
    if child == 0:
        rows = guard.guarded(np.ones((3, 4)))
        behind = np.lib.stride_tricks.as_strided(rows, shape=(3, 5))
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        os._exit(int(behind.sum()) % 2)

    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == -signal.SIGSEGV
