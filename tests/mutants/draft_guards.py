"""The guards of what comes before a job: dry runs, restored requests, and jobs in the place of others."""

from typing import Final

from tests.mutants.mutant import Mutant

_DRY_RUNS: Final = "tests/jobs/dry_runs/test_service.py"
_RESUBMISSIONS: Final = "tests/jobs/resubmissions/test_routes.py"
_DRY_RUN: Final = "app/jobs/dry_runs/service.py"

DRAFT_GUARDS: Final = (
    Mutant(
        "draft: a job takes the place of another user's job",
        "app/jobs/service.py",
        "        await get_submitted(connection, owner_id, request.resubmitted_from)",
        "        await get_submitted(connection, None, request.resubmitted_from)",
        (f"{_RESUBMISSIONS}::test_only_a_job_of_the_same_owner_can_be_replaced",),
    ),
    Mutant(
        "draft: a job of a group takes the place of any job",
        "app/jobs/groups/service.py",
        "        await service.ensure_own_source(connection, owner_id, request)\n",
        "",
        (f"{_RESUBMISSIONS}::test_in_bulk_too",),
    ),
    Mutant(
        "draft: a schedule submits each job in the place of one",
        "app/schedules/templates.py",
        "    if request.resubmitted_from is not None:",
        "    if False:",
        (f"{_RESUBMISSIONS}::test_a_schedule_cannot_replace_a_job",),
    ),
    Mutant(
        "draft: the request of another user is shown",
        "app/jobs/resubmissions/routes.py",
        "job = await jobs.get_submitted(connection, user.reach, job_id)",
        "job = await jobs.get_submitted(connection, None, job_id)",
        (f"{_RESUBMISSIONS}::test_the_request_of_another_user_is_not_shown",),
    ),
    Mutant(
        "draft: a request without its rows is restored when they are gone",
        "app/jobs/resubmissions/service.py",
        "    if restored.rows_member is not None and not stored.has_rows:",
        "    if False:",
        (f"{_RESUBMISSIONS}::test_rows_that_were_deleted_do_not_come_back",),
    ),
    Mutant(
        "draft: a dry run creates the job",
        "app/jobs/creation.py",
        "        if dry_run:",
        "        if False:",
        (f"{_DRY_RUNS}::test_a_valid_request_is_answered_and_leaves_nothing",),
    ),
    Mutant(
        "draft: a dry run has no quota of jobs",
        _DRY_RUN,
        "        if room.jobs < len(requests):",
        "        if False:",
        (f"{_DRY_RUNS}::test_without_room_for_a_job_it_is_refused",),
    ),
    Mutant(
        "draft: a dry run has no quota of bytes",
        _DRY_RUN,
        "        if room.bytes_left is not None and size > room.bytes_left[0]:",
        "        if False:",
        (f"{_DRY_RUNS}::test_without_room_for_its_rows_it_is_refused",),
    ),
    Mutant(
        "draft: a dry run takes a source of any owner",
        _DRY_RUN,
        "        await service.ensure_own_source(connection, owner_id, request)\n",
        "",
        (f"{_RESUBMISSIONS}::test_only_a_job_of_the_same_owner_can_be_replaced",),
    ),
)
