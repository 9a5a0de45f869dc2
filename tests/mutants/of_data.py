"""Guards of what is read: by its column, as it was written, and never in silence."""

from typing import Final

from tests.mutants.mutant import Mutant


def _by_column(test: str) -> tuple[str, ...]:
    return (f"tests/cases/test_by_column.py::{test}",)


def _as_written(test: str) -> tuple[str, ...]:
    return (f"tests/cases/test_as_written.py::{test}",)


def _doubts(test: str) -> tuple[str, ...]:
    return (f"tests/cases/test_doubts.py::{test}",)


def _columnar(test: str) -> tuple[str, ...]:
    return (f"tests/worker/test_columnar.py::{test}",)


def _inbox(test: str) -> tuple[str, ...]:
    return (f"tests/worker/children/test_inbox.py::{test}",)


def _parts(test: str) -> tuple[str, ...]:
    return (f"tests/worker/runtimes/sklearn/test_column_parts.py::{test}",)


def _split(test: str) -> tuple[str, ...]:
    return (f"tests/worker/training/test_split.py::{test}",)


MUTANTS: Final = (
    Mutant(
        "split: the earliest rows are held out",
        "worker/training/split.py",
        "            ranks = len(keys) - 1 - codes\n",
        "            ranks = codes\n",
        _split("test_the_latest_rows_are_held_out_and_rows_of_one_time_stay_together"),
    ),
    Mutant(
        "split: a group is cut in two",
        "worker/training/split.py",
        "np.flatnonzero(np.diff(ranks[order])) + 1",
        "np.arange(1, len(by_row))",
        _split("test_the_rows_of_a_group_stay_together"),
    ),
    Mutant(
        "split: a class has no training row",
        "worker/training/split.py",
        "            taken = min(round(owed), len(of_class) - 1)",
        "            taken = min(round(owed), len(of_class))",
        _split("test_every_class_can_be_learnt_and_something_is_measured"),
    ),
    Mutant(
        "split: a class that no training row has",
        "worker/training/split.py",
        "        if len(unknown):",
        "        if False:",
        _split("test_a_split_that_leaves_nothing_to_learn_or_to_measure_is_refused"),
    ),
    Mutant(
        "split: metrics are measured on the rows that choose",
        "worker/training/trainer.py",
        "            return Unseen(model, main.test)",
        "            return Unseen(model, main.validation)",
        (
            "tests/worker/training/test_trainer.py::test_classifier_metrics_equal_those_of_its_file_on_the_test_rows",
        ),
    ),
    Mutant(
        "rows: several that a model raises for fail a job that has worked",
        "worker/predictions.py",
        "        if _are_all_errors(outputs) and not has_worked:",
        "        if _are_all_errors(outputs) and not (has_worked and len(rows) == 1):",
        ("tests/worker/handlers/test_batch_predict.py::test_rows_get_errors_if_the_model_has_worked_before",),
    ),
    Mutant(
        "rows: several without JSON fail a job that has worked",
        "worker/predictions.py",
        "        if _are_all_errors(checked) and not has_worked:",
        "        if _are_all_errors(checked) and not (has_worked and len(outputs) == 1):",
        ("tests/worker/handlers/test_batch_predict.py::test_rows_get_errors_if_the_model_has_worked_before",),
    ),
    Mutant(
        "rows: a batch of digits is numbers",
        "worker/runtimes/sklearn/columns.py",
        "    may_be_floats = parsers is None or all("
        "parser.is_number or parser is ANY for parser in parsers)\n"
        "    if may_be_floats and not any(isinstance(value, str) for row in rows for value in row):",
        "    if True:",
        _by_column("test_01_a_category_of_digits_is_a_category_in_any_batch"),
    ),
    Mutant(
        "rows: a category is the value as it is shown",
        "worker/columnar.py",
        "values = reading.values_as_written(field, pa.chunked_array([encoded.dictionary]))",
        "values = reading.typed(field, pa.chunked_array([encoded.dictionary])).to_pylist()",
        _by_column("test_05_a_category_is_the_cell_exactly_as_written"),
    ),
    Mutant(
        "rows: times are rounded before they are days",
        "worker/columnar.py",
        "        if (np.abs(floats) >= _MAX_EXACT).any():\n            return None\n",
        "        pass\n",
        _columnar("test_times_that_a_double_cannot_hold_are_left_to_the_parser"),
    ),
    Mutant(
        "rows: only the first row of a refused value has its error",
        "worker/distinct.py",
        "for row, place in enumerate(self.places.tolist()) if place in refused}",
        "for row, place in enumerate(self.places.tolist()[:1]) if place in refused}",
        ("tests/worker/test_distinct.py::test_every_row_of_a_refused_value_has_its_error",),
    ),
    Mutant(
        "rows: a part of numbers gets NaN for what is no number",
        "worker/runtimes/sklearn/column_parts.py",
        "part.takes_floats and parsed.are_numbers(part.indices) for part",
        "part.takes_floats for part",
        _parts("test_objects_in_a_column_of_numbers_reach_their_part"),
    ),
    Mutant(
        "rows: the weights of parts are left out",
        "worker/runtimes/sklearn/column_parts.py",
        "    if whole.transformer_weights is not None:\n        return None\n",
        "",
        _parts("test_other_selections_are_left_to_the_transformer"),
    ),
    Mutant(
        "inbox: what was left unread is never read",
        "worker/children/inbox.py",
        "            if self._unread_bytes <= MAX_UNREAD_BYTES:\n                self._resume_reading()\n",
        "            pass\n",
        _inbox("test_what_is_left_unread_wakes_the_worker_afterwards"),
    ),
    Mutant(
        "inbox: a child that floods is read after a pause",
        "worker/children/inbox.py",
        "            if self._unread_bytes <= MAX_UNREAD_BYTES:\n                self._resume_reading()\n",
        "            self._resume_reading()\n",
        _inbox("test_a_child_that_sends_faster_than_the_worker_reads_is_blocked"),
    ),
    Mutant(
        "inbox: a write to a child that died loses what it sent",
        "worker/children/inbox.py",
        "            self._read_the_rest()\n",
        "            pass\n",
        _inbox("test_what_a_child_sent_before_it_died_is_read_although_a_message_to_it_is_written_first"),
    ),
    Mutant(
        "inbox: a poll does not wait for the loop",
        "worker/children/inbox.py",
        "_TURNS_TO_READ: Final = 2",
        "_TURNS_TO_READ: Final = 0",
        _inbox("test_what_is_left_unread_is_read_in_one_piece_afterwards"),
    ),
    Mutant(
        "rows: pandas stays absent after a prediction",
        "worker/runtimes/sklearn/absent.py",
        "        sys.meta_path.remove(_Absent)",
        "        pass",
        ("tests/worker/runtimes/sklearn/test_absent.py::test_imports_are_as_before_afterwards",),
    ),
    Mutant(
        "rows: a text is the value as it is shown",
        "worker/rows.py",
        "list(map(as_text, rows.column_as_written(name))) if is_text else rows.column(name)",
        "rows.column(name)",
        _by_column("test_11_a_column_of_digits_is_text_for_a_text_model"),
    ),
    Mutant(
        "csv: two cells may be the same number",
        "app/datasets/canonical_text.py",
        "if other != text and value != 0:",
        "if False:",
        _as_written("test_12_values_that_a_number_would_change_stay_text"),
    ),
    Mutant(
        "csv: a plus is lost",
        "app/datasets/conversion/numbers.py",
        "if (cells.first == _PLUS).any() or _has_zeros(cells):",
        "if _has_zeros(cells):",
        _as_written("test_12_sibling_a_plus_is_kept_among_any_number_of_cells"),
    ),
    Mutant(
        "csv: quotes as Arrow takes them",
        "app/datasets/conversion/quotes.py",
        "changes = quotes if self._is_plain(read, quotes) else self._walk(read, quotes, line_ends)",
        "changes = quotes",
        _as_written("test_14_the_reported_file_is_refused"),
    ),
    Mutant(
        "results: a number is a formula",
        "app/core/csv_cells.py",
        "if _FORMULA.match(value) and not _PLAIN_NUMBER.fullmatch(value):",
        "if _FORMULA.match(value):",
        _as_written("test_16_a_number_is_not_a_formula"),
    ),
    Mutant(
        "evaluation: labels as they are written",
        "worker/evaluation.py",
        "truth = self._matcher.match(truth)",
        "pass",
        _as_written("test_18_true_and_True_are_one_class"),
    ),
    Mutant(
        "training: one row of each class",
        "worker/training/target.py",
        "if len(classes) == len(rows):",
        "if False:",
        _doubts("test_06_classes_of_one_row_each_are_refused"),
    ),
    Mutant(
        "training: a value beyond all bounds",
        "worker/training/columns.py",
        "floats[~(np.abs(floats) <= cells.MAX_NUMBER)] = np.nan",
        "floats[~np.isfinite(floats)] = np.nan",
        _doubts("test_an_excessive_value_counts_as_missing_with_a_warning"),
    ),
    Mutant(
        "training: the index of pandas is learnt from",
        "worker/training/columns.py",
        "if not is_requested and _ROW_INDEX.fullmatch(name):",
        "if False:",
        _doubts("test_09_siblings"),
    ),
)
