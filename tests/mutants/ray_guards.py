"""The guards of the Ray engine before it starts Ray. `tests/ray/test_mutants.py` has those that need Ray."""

from typing import Final

from tests.mutants.mutant import Mutant

_STARTING: Final = "worker/engines/ray/starting.py"
_TESTS: Final = "tests/worker/engines/ray/test_starting.py"

RAY_GUARDS: Final = (
    Mutant(
        "ray: a worker starts without a token",
        _STARTING,
        'raise ConfigurationError("ENGINE=ray needs RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH")',
        "read_token = str",
        (f"{_TESTS}::test_a_worker_without_a_cluster_or_its_token_does_not_start",),
    ),
    Mutant(
        "ray: a worker starts without token authentication",
        _STARTING,
        'if settings.ray_auth_mode != "token":',
        "if False:",
        (f"{_TESTS}::test_a_worker_without_a_cluster_or_its_token_does_not_start",),
    ),
    Mutant(
        "ray: an empty file is a token",
        _STARTING,
        "    if not token:",
        "    if False:",
        (f"{_TESTS}::test_a_file_without_a_token_is_refused",),
    ),
    Mutant(
        "ray: a host is started while the cluster is away",
        _STARTING,
        '            raise HostStartFailed("the Ray cluster is not connected")',
        "            return",
        (f"{_TESTS}::test_no_host_starts_while_the_cluster_is_not_connected",),
    ),
    Mutant(
        "ray: the worker keeps the token in its environment",
        "app/core/hardening.py",
        '        "RAY_AUTH_TOKEN",\n',
        "",
        ("tests/core/test_hardening.py::test_a_hardened_worker_has_no_secrets_and_is_closed_to_its_user",),
    ),
    Mutant(
        "ray: jobs that wait for hosts are counted as a decimal",
        "app/jobs/queues/queries.py",
        "SELECT coalesce(sum(due.jobs), 0)::bigint FROM unnest",
        "SELECT coalesce(sum(due.jobs), 0) FROM unnest",
        (
            "tests/jobs/queues/test_queries.py"
            "::test_jobs_that_a_worker_could_claim_are_counted_up_to_a_limit_in_each_queue",
        ),
    ),
)
