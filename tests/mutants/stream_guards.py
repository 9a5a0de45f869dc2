"""The guards of streams that share their reads: each owner gets their own log and counts."""

from typing import Final

from tests.mutants.mutant import Mutant

_ROUNDS: Final = "tests/streams/test_rounds.py::"
_PULSE: Final = "tests/streams/test_pulse.py::"
_DATABASE: Final = "tests/streams/test_stream_database.py::"

STREAM_GUARDS: Final = (
    Mutant(
        "streams: a round reads the log of all",
        "app/streams/owner_log.py",
        "    WHERE e.owner_id = asked.owner_id\n        AND (e.xact_id",
        "    WHERE (e.xact_id",
        (f"{_ROUNDS}test_each_reader_gets_the_page_of_its_owner_from_one_statement",),
    ),
    Mutant(
        "streams: each log of a round may fill a page",
        "app/streams/owner_log.py",
        "max_bytes=max_bytes // max(len(asked), 1),",
        "max_bytes=max_bytes * 1_000_000,",
        (f"{_ROUNDS}test_a_page_is_smaller_when_many_are_read_but_never_empty",),
    ),
    Mutant(
        "streams: reads after the end wait for ever",
        "app/streams/rounds.py",
        "            self._is_closed = True\n",
        "",
        (f"{_ROUNDS}test_a_read_that_waits_when_the_process_ends_is_closed",),
    ),
    Mutant(
        "streams: hints of a job wait for those of owners",
        "app/streams/hub.py",
        "await self._has_job_followers.wait()",
        "await asyncio.Event().wait()",
        (
            "tests/streams/test_hub.py"
            "::test_a_wait_ends_with_the_job_also_if_it_begins_while_the_hub_gathers_hints",
        ),
    ),
    Mutant(
        "streams: all that open use Postgres at once",
        "app/streams/stream_database.py",
        "asyncio.Semaphore(at_once)",
        "asyncio.Semaphore(at_once * 1_000_000)",
        (f"{_DATABASE}test_all_streams_read_and_a_request_finds_a_connection",),
    ),
    Mutant(
        "streams: one that fails leaves no room",
        "app/streams/stream_database.py",
        "        try:\n            yield\n        finally:\n            self._free.release()\n",
        "        yield\n        self._free.release()\n",
        (f"{_DATABASE}test_one_that_fails_or_leaves_makes_room",),
    ),
    Mutant(
        "streams: logs are read by all at once",
        "app/streams/hub.py",
        "        async with self.stream_database.connection() as connection:\n"
        "            return await queries",
        "        async with self._database.connection() as connection:\n            return await queries",
        (f"{_DATABASE}test_a_follower_waits_for_others",),
    ),
    Mutant(
        "streams: a socket that opens outlasts the shutdown",
        "app/streams/socket.py",
        "await self.unless_ended(self._prepare(first))",
        "await self._prepare(first)",
        (f"{_DATABASE}test_a_socket_that_waits_for_its_job_is_closed_when_the_server_stops",),
    ),
    Mutant(
        "streams: those that wait outlast the shutdown",
        "app/streams/hub.py",
        "        self.stream_database.close()\n",
        "",
        (f"{_DATABASE}test_a_follower_that_waits_for_others_ends_with_the_process",),
    ),
    Mutant(
        "streams: an unknown event counts nothing",
        "app/streams/pulse.py",
        "event.type not in _UNCOUNTED",
        "event.type in set(EventType) - _UNCOUNTED",
        (f"{_PULSE}test_an_event_that_leaves_a_job_in_its_status_counts_nothing",),
    ),
    Mutant(
        "streams: counts of all jobs",
        "app/jobs/queries.py",
        "WHERE j.owner_id = o.id AND j.status = s.status AND",
        "WHERE j.status = s.status AND",
        (f"{_PULSE}test_owners_that_are_due_are_counted_together_and_each_gets_their_own",),
    ),
)
