"""Guards of results: their input rows, their filters and their summaries."""

from typing import Final

from tests.mutants.mutant import Mutant

_INPUTS: Final = "app/jobs/exports/inputs.py"


def _test(name: str) -> tuple[str, ...]:
    return (f"tests/jobs/exports/test_inputs.py::{name}",)


def _filters(name: str) -> tuple[str, ...]:
    return (f"tests/jobs/result_filters/test_scanning.py::{name}",)


def _summary(name: str) -> tuple[str, ...]:
    return (f"tests/jobs/result_summaries/test_routes.py::{name}",)


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
        "left_out = skipped - piece.first_in_batch if piece.index == first else 0",
        "left_out = 0",
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
        "results: a filter of labels matches any",
        "app/jobs/result_filters/row_filter.py",
        "if self.label is not None and row.label != self.label:",
        "if False:",
        _filters("test_only_rows_that_match_every_filter_are_returned"),
    ),
    Mutant(
        "results: a bound of scores matches rows without a score",
        "app/jobs/result_filters/row_filter.py",
        "((number := row.number) is not None and number < self.below)",
        "(row.number or 0) < self.below",
        _filters("test_predictions_of_other_shapes_are_searched_by_what_they_have"),
    ),
    Mutant(
        "results: a request searches all rows",
        "app/jobs/result_filters/scanning.py",
        "            if left_rows <= 0 or left_bytes <= 0:",
        "            if False:",
        _filters("test_a_request_searches_a_bounded_number_of_rows"),
    ),
    Mutant(
        "results: a search goes beyond its last row",
        "app/jobs/result_filters/scanning.py",
        "piece = _first_rows(whole, left_rows)",
        "piece = whole",
        _filters("test_a_request_searches_a_bounded_number_of_rows"),
    ),
    Mutant(
        "results: a download leaves the filters out",
        "app/jobs/exports/responses.py",
        "return rows if row_filter.is_empty else scanning.matching(rows, row_filter)",
        "return rows",
        _filters("test_a_download_has_the_rows_that_match_with_their_numbers_and_the_columns_of_all"),
    ),
    Mutant(
        "results: filtered rows are numbered anew",
        "app/jobs/results.py",
        "chosen=[self.numbers[place] for place in places],",
        "chosen=None,",
        _filters("test_a_download_has_the_rows_that_match_with_their_numbers_and_the_columns_of_all"),
    ),
    Mutant(
        "results: a filtered table resumes the whole one",
        "app/jobs/exports/responses.py",
        "{with_input}{row_filter.tag}",
        "{with_input}",
        _filters("test_a_filtered_table_has_a_name_and_an_etag_of_its_own"),
    ),
    Mutant(
        "audit: a ticket of an operator opens the log",
        "app/auth/download_tickets/deps.py",
        "AuditDownloader = Annotated[Identity, _require(Permission.ADMIN)]",
        "AuditDownloader = Annotated[Identity, _require(Permission.OPERATE)]",
        ("tests/audit/test_http.py::test_a_ticket_downloads_the_log_once_and_for_administrators_only",),
    ),
    Mutant(
        "summary: of jobs of others",
        "app/jobs/result_summaries/routes.py",
        "job = await jobs.get_own(connection, user.reach, job_id)",
        "job = await jobs.get_own(connection, None, job_id)",
        _summary("test_a_summary_is_its_owners_alone_and_of_results_that_are_complete"),
    ),
    Mutant(
        "summary: of a job that runs",
        "app/jobs/result_summaries/service.py",
        "    if not job.has_ended:",
        "    if False:",
        _summary("test_a_summary_is_its_owners_alone_and_of_results_that_are_complete"),
    ),
    Mutant(
        "summary: kept for other results",
        "app/jobs/result_summaries/queries.py",
        "WHERE job_id = :job_id AND attempt = :attempt AND done = :done",
        "WHERE job_id = :job_id AND :attempt::int > 0 AND :done::int >= 0",
        _summary("test_a_summary_is_computed_once_and_again_after_a_retry"),
    ),
    Mutant(
        "summary: kept of results that were deleted meanwhile",
        "app/jobs/result_summaries/commands.py",
        " AND done = :done AND pruned_at IS NULL FOR SHARE",
        " AND :done::int >= 0 FOR SHARE",
        _summary("test_results_that_are_deleted_while_they_are_counted_leave_no_summary"),
    ),
    Mutant(
        "summary: it outlives the results",
        "app/jobs/commands.py",
        "DELETE FROM job_result_summaries s USING expired e WHERE s.job_id = e.id",
        "DELETE FROM job_result_summaries s USING expired e WHERE s.job_id = e.id AND false",
        ("tests/maintenance/test_prune.py::test_expired_results_go_and_the_job_with_its_events_stays",),
    ),
    Mutant(
        "summary: any number of labels",
        "app/jobs/result_summaries/service.py",
        "len(self._labels) < self._max_labels and len(label) <= MAX_LABEL_LENGTH",
        "True",
        _summary("test_labels_without_room_are_counted_together"),
    ),
    Mutant(
        "results: one etag with and without the input",
        "app/jobs/exports/responses.py",
        'with_input = "" if job_input is None else "-input"',
        'with_input = ""',
        _test("test_a_table_with_the_input_has_another_etag"),
    ),
)
