"""The guards of requests that are served without FastAPI, and of those that share a statement."""

from typing import Final

from tests.mutants.mutant import Mutant

DIRECT: Final = "app/http/direct.py"
GROUPING: Final = "app/core/grouping.py"
CREATOR: Final = "app/jobs/creator.py"
SERVICE: Final = "app/jobs/service.py"


def _direct(test: str) -> str:
    return f"tests/http/test_direct.py::{test}"


def _grouping(test: str) -> str:
    return f"tests/core/test_grouping.py::{test}"


def _creator(test: str) -> str:
    return f"tests/jobs/test_creator.py::{test}"


def _quota(test: str) -> str:
    return f"tests/jobs/test_quota.py::{test}"


_SAME: Final = _direct("test_every_request_gets_the_response_of_fastapi")
_SAME_FOR_ALL: Final = _direct("test_every_caller_gets_the_response_of_fastapi")
_REFERENCES: Final = _creator("test_what_a_request_refers_to_is_checked")

DIRECT_GUARDS: Final = (
    Mutant(
        "direct: invalid parameters",
        DIRECT,
        "if errors or query is None or headers is None:",
        "if False:",
        (_SAME,),
    ),
    Mutant(
        "direct: an invalid body",
        DIRECT,
        "return None if errors else {**arguments, field.name: body}",
        "return {**arguments, field.name: body}",
        (_SAME,),
    ),
    Mutant(
        "direct: a body of any size",
        DIRECT,
        "0 < declared_bytes(request.scope) <= SMALL_BODY_BYTES",
        "0 < declared_bytes(request.scope)",
        (_SAME,),
    ),
    Mutant(
        "direct: a body of any media type",
        DIRECT,
        'if not is_small or request.headers.get("content-type") != _JSON:',
        "if not is_small:",
        (_SAME,),
    ),
    Mutant(
        "direct: an unreadable body is an internal error",
        DIRECT,
        "_UNREADABLE: Final = (ValueError, RecursionError, ClientDisconnect)",
        "_UNREADABLE: Final = (ClientDisconnect,)",
        (_SAME,),
    ),
    Mutant(
        "direct: the body before the token",
        DIRECT,
        "            await check.before_body(request)",
        "            pass",
        (_direct("test_a_bad_token_is_refused_before_a_small_body_is_read"),),
    ),
    Mutant(
        "direct: dependencies are not called",
        DIRECT,
        "for name, call in self._dependencies:",
        "for name, call in self._dependencies[1:]:",
        (_direct("test_a_process_that_stops_refuses_new_jobs"), _SAME_FOR_ALL),
    ),
    Mutant(
        "direct: any dependency",
        DIRECT,
        "if not is_async or _taken(dependant) not in _REQUEST_ALONE:",
        "if False:",
        (_direct("test_an_endpoint_that_needs_fastapi_cannot_have_a_direct_route"),),
    ),
    Mutant(
        "direct: requests share a mutable default",
        DIRECT,
        "if not is_shareable or field.field_info.validate_default:",
        "if False:",
        (_direct("test_an_endpoint_that_needs_fastapi_cannot_have_a_direct_route"),),
    ),
    Mutant(
        "direct: a shortcut for every method",
        "app/http/shortcuts.py",
        'scope["method"] != "GET"',
        "False",
        ("tests/http/test_shortcuts.py::test_other_requests_are_left_to_the_other_routes",),
    ),
    Mutant(
        "direct: a shortcut for every path",
        "app/http/shortcuts.py",
        '_ID: Final = r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"',
        '_ID: Final = r"([^/]+)"',
        ("tests/http/test_shortcuts.py::test_other_requests_are_left_to_the_other_routes",),
    ),
    Mutant(
        "grouping: what may have been done is repeated",
        GROUPING,
        "if len(group) == 1 or isinstance(error, AppError):",
        "if len(group) == 1:",
        (_grouping("test_what_may_have_been_done_is_not_repeated"),),
    ),
    Mutant(
        "grouping: one error for all",
        GROUPING,
        "if len(group) == 1 or isinstance(error, AppError):",
        "if True:",
        (
            _grouping("test_an_error_is_that_of_the_one_who_caused_it"),
            _creator("test_a_job_that_postgres_rejects_fails_no_other"),
        ),
    ),
    Mutant(
        "grouping: work for callers that have gone",
        GROUPING,
        "self._waiting[: self._max_at_once] if not one.answer.done()]",
        "self._waiting[: self._max_at_once]]",
        (_grouping("test_a_caller_that_has_gone_is_left_out_and_holds_nobody_up"),),
    ),
    Mutant(
        "grouping: callers wait for ever at the end",
        GROUPING,
        "                one.fail(ShuttingDown())",
        "                pass",
        (_grouping("test_those_who_wait_at_the_end_are_told"),),
    ),
    Mutant(
        "grouping: any number at once",
        GROUPING,
        "for one in self._waiting[: self._max_at_once]",
        "for one in self._waiting",
        (_grouping("test_those_who_come_meanwhile_run_together_and_get_their_own_results"),),
    ),
    Mutant(
        "creator: near the quota as far below it",
        CREATOR,
        "is_free = quota.is_free(owner_id)",
        "is_free = True",
        (_creator("test_near_the_quota_each_job_is_counted_and_created_alone"),),
    ),
    Mutant(
        "quota: many requests count again at once",
        "app/jobs/quota.py",
        "        count.is_being_renewed = True\n",
        "",
        (_quota("test_one_request_counts_again_before_the_count_is_old_and_the_others_go_on"),),
    ),
    Mutant(
        "quota: no request counts again early",
        "app/jobs/quota.py",
        "        count.is_being_renewed = True\n        return False",
        "        return True",
        (_quota("test_one_request_counts_again_before_the_count_is_old_and_the_others_go_on"),),
    ),
    Mutant(
        "creator: small jobs wait for large ones",
        CREATOR,
        'if len(new.rows or b"") > MAX_SHARED_BYTES:',
        "if False:",
        (_creator("test_one_with_many_rows_has_a_statement_of_its_own"),),
    ),
    Mutant(
        "creator: the job that is resubmitted is not checked",
        SERVICE,
        " or request.resubmitted_from is not None:",
        ":",
        (_REFERENCES,),
    ),
    Mutant(
        "creator: models are not looked up",
        SERVICE,
        "if references.datasets or len(built_in) < len(references.models)",
        "if references.datasets",
        (_REFERENCES,),
    ),
    Mutant(
        "creator: a job forgets its submission",
        CREATOR,
        "                new = replace(new, trace_context=send.trace_context)",
        "                pass",
        ("tests/monitoring/test_traces.py::test_jobs_that_share_a_statement_keep_their_own_submissions",),
    ),
    Mutant(
        "reader: the job of another user",
        "app/jobs/reader.py",
        "service.ensure_own(owner_id, job_id, await self._read(job_id))",
        "service.ensure_own(None, job_id, await self._read(job_id))",
        ("tests/jobs/test_reader.py::test_each_of_many_readers_gets_the_job_that_it_asked_for",),
    ),
)
