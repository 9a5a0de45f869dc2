"""Guards of the input rows that are shown with results."""

from typing import Final

from tests.mutants.mutant import Mutant

_INPUTS: Final = "app/jobs/exports/inputs.py"


def _test(name: str) -> tuple[str, ...]:
    return (f"tests/jobs/exports/test_inputs.py::{name}",)


RESULT_GUARDS: Final = (
    Mutant(
        "results: any kind has input rows",
        _INPUTS,
        "if kind is None or not kind.outputs_rows:",
        "if kind is None:",
        _test("test_results_that_belong_to_no_row_have_no_input"),
    ),
    Mutant(
        "results: the input of the first rows",
        _INPUTS,
        "reader.table(piece.first_row, len(piece.lines))",
        "reader.table(0, len(piece.lines))",
        _test("test_the_rows_of_a_dataset_come_as_written"),
    ),
    Mutant(
        "results: a page repeats the rows of its batch",
        "app/jobs/results.py",
        "skipped = row - piece.first_in_batch if piece.index == index else 0",
        "skipped = 0",
        _test("test_a_page_that_starts_within_a_batch_has_the_input_of_its_own_rows"),
    ),
    Mutant(
        "results: cells as they are shown",
        "app/datasets/reading.py",
        "    return _to_list(table.column(index))\n",
        "    return values(table, index)\n",
        _test("test_the_rows_of_a_dataset_come_as_written"),
    ),
    Mutant(
        "results: one etag with and without the input",
        "app/jobs/exports/responses.py",
        'with_input = "" if job_input is None else "-input"',
        'with_input = ""',
        _test("test_a_table_with_the_input_has_another_etag"),
    ),
)
