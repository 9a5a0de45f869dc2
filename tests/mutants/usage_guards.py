"""The guards of what attempts use: measured for each attempt, believed within bounds, and profiles too."""

from typing import Final

from tests.mutants.mutant import Mutant

_METER: Final = "tests/worker/children/test_attempt_meter.py"
_USAGE: Final = "tests/worker/children/test_usage.py"
_PROFILER: Final = "tests/worker/children/test_profiler.py"
_MEASURING: Final = "tests/worker/test_measuring.py"
_HTTP: Final = "tests/jobs/test_profiles.py"

_PROFILES_OF_OLD: Final = """
UNION
SELECT job_id FROM job_attempts WHERE job_id IN (SELECT id FROM whole) AND profile_key IS NOT NULL"""
_PROFILES_IN_USE: Final = """
UNION ALL
SELECT profile_key AS key FROM job_attempts WHERE job_id = ANY (:job_ids) AND profile_key IS NOT NULL"""

USAGE_GUARDS: Final = (
    Mutant(
        "usage: a child's report of memory is believed",
        "worker/children/attempt_meter.py",
        "memory_peak_bytes = min(max(memory_peak_bytes, 0), self._machine_bytes)",
        "pass",
        (f"{_METER}::test_a_child_cannot_claim_more_memory_than_the_machine_has",),
    ),
    Mutant(
        "usage: the peak is that of the largest attempt so far",
        "worker/children/usage.py",
        "            os.write(self._peak_reset, _RESET_PEAK)\n",
        "            pass\n",
        (f"{_USAGE}::test_each_attempt_in_a_child_has_a_peak_of_its_own",),
    ),
    Mutant(
        "usage: of a child that exits by itself while it is killed",
        "worker/run_next.py",
        "        await child.wait_exited()",
        "        pass",
        (
            "tests/worker/test_run_next.py::test_what_a_child_has_used_is_recorded_though_it_exited_with_garbage",
        ),
    ),
    Mutant(
        "usage: an attempt that does not start has the figures of the one before",
        "worker/children/pool.py",
        "        child.reset_measurements()\n",
        "",
        (f"{_USAGE}::test_an_attempt_that_does_not_start_is_not_charged_for_the_one_before",),
    ),
    Mutant(
        "usage: programs of a killed attempt are not counted",
        "worker/children/child_handle.py",
        "with_descendants=may_start_others",
        "with_descendants=False",
        (f"{_USAGE}::test_a_killed_attempt_has_the_time_of_a_program_that_still_ran",),
    ),
    Mutant(
        "profiles: asked for although they are off",
        "app/jobs/service.py",
        "if request.profile and not settings.profiling:",
        "if False:",
        (f"{_HTTP}::test_where_profiling_is_off_a_request_for_it_is_refused",),
    ),
    Mutant(
        "profiles: frames that are missing are read",
        "app/jobs/profiles/profile.py",
        "if any(index >= known for stack in profile.stacks for index in stack.frames):",
        "if known < 0:",
        (f"{_HTTP}::test_without_a_usable_file_there_is_no_profile",),
    ),
    Mutant(
        "profiles: a name breaks the line of its stack",
        "app/jobs/profiles/profile.py",
        """return " ".join(name.replace(";", ":").split())""",
        "return name",
        (f"{_HTTP}::test_as_text_each_stack_is_a_line_for_flame_graph_tools",),
    ),
    Mutant(
        "profiles: other users may read them",
        "app/jobs/profiles/service.py",
        "await jobs.get_own(connection, owner_id, job_id)",
        "await jobs.get_own(connection, None, job_id)",
        (f"{_HTTP}::test_other_users_do_not_see_a_profile",),
    ),
    Mutant(
        "profiles: any number of stacks",
        "worker/children/profiler.py",
        "if len(self._stacks) < self._max_stacks:",
        "if key:",
        (f"{_PROFILER}::test_stacks_beyond_the_limit_are_added_up",),
    ),
    Mutant(
        "profiles: any number of bytes",
        "worker/children/profiler.py",
        "        if size > self._free_bytes:\n            return False\n",
        "",
        (f"{_PROFILER}::test_a_profile_has_at_most_so_many_bytes_and_keeps_the_longest_stacks",),
    ),
    Mutant(
        "profiles: a child stores one unasked",
        "worker/measuring.py",
        "if not job.is_profiled or end.profile is None:",
        "if end.profile is None:",
        (f"{_MEASURING}::test_a_profile_that_nobody_asked_for_is_not_stored",),
    ),
    Mutant(
        "profiles: a file of any size is stored",
        "worker/files.py",
        "                    if len(content) > MAX_PROFILE_BYTES:\n",
        "                    if not content:\n",
        (f"{_MEASURING}::test_what_is_no_profile_is_left_alone_and_fails_nothing",),
    ),
    Mutant(
        "profiles: the files of old jobs stay",
        "app/jobs/commands.py",
        _PROFILES_OF_OLD,
        "",
        (
            "tests/maintenance/test_prune.py::test_a_dead_letter_that_goes_for_its_age_takes_its_profile_along",
        ),
    ),
    Mutant(
        "profiles: the files of expired results stay",
        "app/jobs/commands.py",
        "\nUNION SELECT job_id FROM profiles",
        "",
        ("tests/maintenance/test_prune.py::test_a_profile_goes_with_the_results",),
    ),
    Mutant(
        "profiles: swept although an attempt has them",
        "app/maintenance/queries.py",
        _PROFILES_IN_USE,
        "",
        ("tests/maintenance/test_sweep.py::test_what_somebody_refers_to_stays_and_the_rest_goes",),
    ),
)
