"""The guards of kept connections, of what travels together on them, and of rounds that processes share."""

from typing import Final

from tests.mutants.mutant import Mutant

DATABASE: Final = "app/core/database.py"
HINTS: Final = "app/core/hints.py"
REDIS: Final = "app/core/redis.py"
PACE: Final = "app/maintenance/pace.py"
LOOP: Final = "app/maintenance/loop.py"


def _database(test: str) -> str:
    return f"tests/core/test_database.py::{test}"


def _pace(test: str) -> str:
    return f"tests/maintenance/test_pace.py::{test}"


def _redis(test: str) -> str:
    return f"tests/core/test_redis.py::{test}"


def _hints(test: str) -> str:
    return f"tests/core/test_hints.py::{test}"


PICKUP_GUARDS: Final = (
    Mutant(
        "pace: each process by itself",
        PACE,
        "        return replies[0] is not None",
        "        return True",
        (_pace("test_one_process_begins_a_round_in_each_interval"),),
    ),
    Mutant(
        "pace: no rounds while Redis is away",
        PACE,
        """            self._availability.failed(error, Operation.PUBLISH)
            return True""",
        """            self._availability.failed(error, Operation.PUBLISH)
            return False""",
        (_pace("test_while_redis_is_away_each_process_begins_its_rounds"),),
    ),
    Mutant(
        "pace: asked after a failure too",
        LOOP,
        "may_begin = self._is_failing or await self.may_begin()",
        "may_begin = await self.may_begin()",
        ("tests/maintenance/test_loop.py::test_after_a_failure_each_process_tries_by_itself",),
    ),
    Mutant(
        "pace: not of the roll-up",
        "app/maintenance/maintenance.py",
        """                may_begin=pace("roll_up", ROLL_UP_SECONDS),
""",
        "",
        ("tests/maintenance/test_loop.py::test_many_processes_share_the_rounds_of_a_frequent_duty",),
    ),
    Mutant(
        "kept connections: a task waits beside them",
        DATABASE,
        "if self._waiting or self._is_closing",
        "if self._is_closing",
        (_database("test_a_task_that_waits_gets_the_connection_that_is_free_next"),),
    ),
    Mutant(
        "kept connections: an open transaction is kept",
        DATABASE,
        " or connection.is_in_transaction():",
        ":",
        (_database("test_one_that_ends_its_use_in_a_transaction_goes_back_to_the_pool"),),
    ),
    Mutant(
        "kept connections: one that broke is used again",
        DATABASE,
        "            if _is_open(connection):\n                return connection\n",
        "            return connection\n",
        (_database("test_one_that_broke_while_it_was_kept_is_replaced"),),
    ),
    Mutant(
        "kept connections: any number is kept",
        DATABASE,
        "        if len(self._kept) > MAX_KEPT:\n",
        "        if False:\n",
        (_database("test_so_many_are_kept_and_the_others_go_back_to_the_pool"),),
    ),
    Mutant(
        "kept connections: one idles for ever",
        DATABASE,
        "            self._kept.rotate(-1)\n",
        "            pass\n",
        (_database("test_the_connection_that_was_used_last_is_used_next_unless_another_was_idle_for_long"),),
    ),
    Mutant(
        "dedicated connection: a Redis that does not answer is waited for",
        REDIS,
        "            async with asyncio.timeout(SOCKET_SECONDS):\n                await connection.send",
        "            if True:\n                await connection.send",
        (_redis("test_a_redis_that_does_not_answer_is_given_up"),),
    ),
    Mutant(
        "dedicated connection: one that Redis has closed fails the next commands",
        REDIS,
        "            except RedisConnectionError:\n                pass\n",
        "            except RedisConnectionError:\n                raise\n",
        (_redis("test_commands_are_sent_again_if_redis_has_closed_the_connection"),),
    ),
    Mutant(
        "hints: what is on its way is cut off at the end of the process",
        HINTS,
        "        async with self._flushing:\n",
        "        if True:\n",
        (_hints("test_a_flush_waits_for_what_is_on_its_way"),),
    ),
    Mutant(
        "hints: a request that Redis refuses counts as hints that were dropped",
        HINTS,
        "first_error(replies[: len(hints)])",
        "first_error(replies)",
        (_hints("test_a_request_that_redis_refuses_fails_no_hint"),),
    ),
    Mutant(
        "hints: one that Redis refuses is not counted",
        HINTS,
        "first_error(replies[: len(hints)])",
        "None",
        (_hints("test_a_hint_that_redis_refuses_fails_no_request"),),
    ),
    Mutant(
        "hints: a request that was given up ends the sender",
        HINTS,
        "        if not self.replies.done():\n            self.replies.set_result(own)\n",
        "        self.replies.set_result(own)\n",
        (_hints("test_a_request_that_was_given_up_takes_no_reply_of_another"),),
    ),
    Mutant(
        "hints: a new job's token waits for its response",
        "app/jobs/unit_of_work.py",
        "    await hints.let_wakes_leave()\n",
        "",
        ("tests/jobs/test_unit_of_work.py::test_the_token_of_a_new_job_leaves_before_its_caller_goes_on",),
    ),
)
