"""Guards of the logs of jobs."""

from typing import Final

from tests.mutants.mutant import Mutant

_COMMANDS: Final = "app/jobs/logs/commands.py"
_LINES: Final = "app/jobs/logs/lines.py"
_QUERIES: Final = "app/jobs/logs/queries.py"
_ROUTES: Final = "app/jobs/logs/routes.py"
_WRITER: Final = "worker/handler_log.py"
_CONVERSATION: Final = "worker/conversation.py"
_FENCE: Final = "WHERE id = :job_id AND attempt = :attempt AND status = 'running' FOR SHARE"


def _command(name: str) -> tuple[str, ...]:
    return (f"tests/jobs/logs/test_commands.py::{name}",)


def _route(name: str) -> tuple[str, ...]:
    return (f"tests/jobs/logs/test_routes.py::{name}",)


def _writer(name: str) -> tuple[str, ...]:
    return (f"tests/worker/test_handler_log.py::{name}",)


LOG_GUARDS: Final = (
    Mutant(
        "logs: a lost attempt writes",
        _COMMANDS,
        _FENCE,
        "WHERE id = :job_id AND status = 'running' AND :attempt > 0 FOR SHARE",
        _command("test_an_attempt_that_was_lost_writes_nothing_beside_its_successor"),
    ),
    Mutant(
        "logs: an ended attempt writes",
        _COMMANDS,
        _FENCE,
        "WHERE id = :job_id AND attempt = :attempt FOR SHARE",
        _command("test_an_attempt_that_has_ended_writes_nothing"),
    ),
    Mutant(
        "logs: an attempt may end while its lines are written",
        _COMMANDS,
        _FENCE,
        "WHERE id = :job_id AND attempt = :attempt AND status = 'running'",
        _command("test_a_line_that_comes_while_its_attempt_ends_is_not_stored"),
    ),
    Mutant(
        "logs: lines are numbered anew in each attempt",
        _COMMANDS,
        "SELECT last_line FROM job_logs WHERE job_id = :job_id ORDER BY attempt DESC, part DESC LIMIT 1",
        "SELECT last_line FROM job_logs WHERE job_id = :job_id AND attempt = :attempt"
        " ORDER BY attempt DESC, part DESC LIMIT 1",
        _command("test_the_lines_of_all_attempts_are_numbered_in_one_order"),
    ),
    Mutant(
        "logs: a log has no end",
        _COMMANDS,
        "(p.lines >= :max_lines OR p.bytes >= :max_bytes)",
        "(p.lines >= :max_lines AND p.bytes >= :max_bytes)",
        _command("test_the_oldest_parts_go_when_newer_ones_hold_enough_lines"),
    ),
    Mutant(
        "logs: a text controls the terminal",
        _LINES,
        '_CONTROL_CHARACTERS.sub("\\N{REPLACEMENT CHARACTER}", text)',
        "text",
        _command("test_a_text_is_cut_and_cannot_control_a_terminal"),
    ),
    Mutant(
        "logs: a text has any length",
        _LINES,
        "text = text[:MAX_TEXT_CHARACTERS]",
        "text = str(text)",
        _command("test_a_text_is_cut_and_cannot_control_a_terminal"),
    ),
    Mutant(
        "logs: a filter holds up its reader",
        _QUERIES,
        'max(wanted.after, min(rows[0]["newest"], wanted.before - 1))',
        "lines[-1].number if lines else wanted.after",
        _route("test_filters_choose_lines_and_do_not_hold_up_a_reader"),
    ),
    Mutant(
        "logs: anybody reads them",
        _ROUTES,
        "service.get_own(connection, user.reach, job_id)",
        "service.get_own(connection, None, job_id)",
        _route("test_a_log_is_its_owners_alone_and_ends_with_the_results"),
    ),
    Mutant(
        "logs: they outlive the results",
        "app/jobs/commands.py",
        "DELETE FROM job_logs l USING expired e WHERE l.job_id = e.id",
        "DELETE FROM job_logs l USING expired e WHERE l.job_id = e.id AND false",
        ("tests/maintenance/test_prune.py::test_expired_results_go_and_the_job_with_its_events_stays",),
    ),
    Mutant(
        "logs: a flood fills the worker",
        _WRITER,
        "while len(self._waiting) > self._max_lines or self._waiting_characters > self._max_bytes:",
        "while len(self._waiting) > self._max_lines:",
        _writer("test_a_flood_keeps_its_last_lines_and_their_numbers"),
    ),
    Mutant(
        "logs: a flood is written without a pause",
        _WRITER,
        "max(FLUSH_SECONDS, flushed / BYTES_PER_SECOND)",
        "FLUSH_SECONDS",
        _writer("test_an_attempt_that_writes_much_is_written_less_often"),
    ),
    Mutant(
        "logs: attempts with few lines are never cut",
        _WRITER,
        "(0, 0) if attempt == 1 else (lines.MAX_PART_LINES, 0)",
        "(0, 0)",
        _writer("test_each_later_attempt_cuts_the_log_when_it_begins"),
    ),
    Mutant(
        "logs: lines whose reply was lost are sent as new ones",
        _WRITER,
        "part := self._part or self._take_part()",
        "part := self._take_part()",
        _writer("test_lines_whose_way_was_cut_are_stored_once"),
    ),
    Mutant(
        "logs: an attempt fails for its log",
        _WRITER,
        "except (asyncpg.PostgresError, SchemaOutdated) as error:",
        "except SchemaOutdated as error:",
        _writer("test_lines_that_postgres_refuses_do_not_hold_up_the_attempt"),
    ),
    Mutant(
        "logs: the last lines of an attempt are lost",
        _CONVERSATION,
        "                await self._handler_log.flush_at_end()\n                self._lease",
        "                self._lease",
        ("tests/worker/test_conversation.py::test_the_lines_of_an_attempt_are_stored_before_it_ends",),
    ),
    Mutant(
        "logs: the last lines of a killed child are lost",
        _CONVERSATION,
        "            await self._handler_log.flush_at_end()\n            raise",
        "            raise",
        ("tests/worker/test_conversation.py::test_the_lines_of_a_child_that_died_are_stored",),
    ),
)
