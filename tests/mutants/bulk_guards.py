"""The guards of bulk actions and of the filters that select their jobs."""

from typing import Final

from tests.mutants.mutant import Mutant

SERVICE: Final = "app/jobs/bulk_actions/service.py"
ROUTES: Final = "app/jobs/bulk_actions/routes.py"
SELECTING: Final = "app/jobs/selecting.py"


def _bulk(test: str) -> tuple[str, ...]:
    return (f"tests/jobs/bulk_actions/test_routes.py::{test}",)


def _filters(test: str) -> tuple[str, ...]:
    return (f"tests/jobs/test_filters.py::{test}",)


BULK_GUARDS: Final = (
    Mutant(
        "filter: jobs of any version of a model",
        SELECTING,
        "None if wanted.model_version is None else str(wanted.model_version)",
        "None",
        _filters("test_jobs_of_a_dataset_or_of_one_version_of_a_model"),
    ),
    Mutant(
        "filter: a bulk action on jobs of any dataset",
        "app/jobs/bulk_actions/schemas.py",
        "            dataset_id=self.dataset_id,\n",
        "",
        _filters("test_bulk_actions_take_the_same_filters"),
    ),
    Mutant(
        "filter: a job keeps an alias",
        "app/jobs/filters.py",
        "    if parts is None:",
        "    if parts is None and reference is None:",
        _filters("test_jobs_of_a_dataset_or_of_one_version_of_a_model"),
    ),
    Mutant(
        "bulk: changes jobs of others",
        SERVICE,
        "        elif owner_id not in (None, candidate.owner_id):",
        "        elif False:",
        _bulk("test_named_jobs_are_cancelled_and_those_that_have_ended_are_skipped"),
    ),
    Mutant(
        "bulk: changes jobs in any status",
        SERVICE,
        "if status in ELIGIBLE[action])",
        ")",
        _bulk("test_a_preview_equals_the_outcome_and_later_jobs_are_left_alone"),
    ),
    Mutant(
        "bulk: does not record in the audit log",
        SERVICE,
        "service.recording(unit, by, Action.JOB_CANCELLED, owners)",
        "service.recording(unit, by, Action.JOB_CANCELLED, {})",
        _bulk("test_an_operator_acts_on_the_jobs_of_another_user_and_the_audit_log_says_so"),
    ),
    Mutant(
        "bulk: cancels jobs with any number of shards in one transaction",
        SERVICE,
        "        size += 1 + candidate.shards\n",
        "        size += 1\n",
        _bulk("test_an_operator_cancels_jobs_with_many_shards_in_one_transaction_each"),
    ),
    Mutant(
        "bulk: admits one job for many",
        SERVICE,
        "quota.admit_retries(owner_id, job_ids, from_start=from_start)",
        "quota.admit(owner_id)",
        _bulk("test_retries_keep_to_the_quota_of_the_owner"),
    ),
    Mutant(
        "bulk: ends after the first page",
        ROUTES,
        "    is_last = len(candidates) < body.limit\n",
        "    is_last = True\n",
        _bulk("test_a_preview_equals_the_outcome_and_later_jobs_are_left_alone"),
    ),
    Mutant(
        "filter: jobs created later match",
        SELECTING,
        "column.created_at < wanted.created_before",
        "column.created_at != wanted.created_before",
        _bulk("test_a_preview_equals_the_outcome_and_later_jobs_are_left_alone"),
    ),
    Mutant(
        "filter: wildcards in a prefix",
        SELECTING,
        "name.startswith(wanted.prefix, autoescape=True)",
        "name.startswith(wanted.prefix)",
        _filters("test_jobs_are_found_by_the_beginning_of_their_id_or_of_their_models_name"),
    ),
)
