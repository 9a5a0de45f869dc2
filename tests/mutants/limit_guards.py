"""The guards of request rates, and of the quotas of single users."""

from typing import Final

from tests.mutants.mutant import Mutant

RATES: Final = "app/http/rate_limits.py"
CALLERS: Final = "app/auth/callers.py"
SERVICE: Final = "app/quotas/service.py"

_RUNNING: Final = (
    "tests/jobs/test_limits.py::test_the_number_of_running_jobs_that_is_set_for_a_user_applies_to_that_user"
)
_RUNNING_NOW: Final = (
    "tests/jobs/test_limits.py::"
    "test_a_number_that_is_set_applies_to_the_next_claim_of_a_worker_that_knew_of_none"
)
_GUESSING: Final = (
    "tests/auth/test_guessing.py::test_of_thousands_of_guesses_five_are_checked_and_nobody_else_is_locked_out"
)


def _rates(test: str) -> str:
    return f"tests/http/test_rate_limits.py::{test}"


def _quotas(test: str) -> str:
    return f"tests/quotas/test_http.py::{test}"


LIMIT_GUARDS: Final = (
    Mutant(
        "rates: requests are not counted",
        "app/http/rate_limit_middleware.py",
        "await state.request_rates.admit(scope, await self._find_user(scope))",
        "await self._find_user(scope)",
        (_rates("test_the_sixty_first_request_is_refused"),),
    ),
    Mutant(
        "rates: probes are counted",
        "app/http/problems.py",
        'UNLIMITED: Final = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})',
        "UNLIMITED: Final = frozenset[str]()",
        (_rates("test_probes_and_metrics_always_get_an_answer"),),
    ),
    Mutant(
        "rates: the files of the dashboard are counted",
        "app/http/rate_limit_middleware.py",
        " or path.startswith(self._assets)",
        "",
        (_rates("test_the_files_of_the_dashboard_are_not_counted"),),
    ),
    Mutant(
        "rates: nothing is counted while Redis is away",
        RATES,
        "        if window.served >= policy.limit:",
        "        if False:",
        (
            _rates("test_without_redis_each_process_holds_the_limit_alone"),
            _rates("test_a_process_alone_lets_no_more_pass_than_the_limit_in_all"),
        ),
    ),
    Mutant(
        "rates: requests at once pass together",
        RATES,
        "window.served += 1  # before anything is awaited",
        "pass  # before anything is awaited",
        (_rates("test_without_redis_each_process_holds_the_limit_alone"),),
    ),
    Mutant(
        "rates: each process counts alone",
        RATES,
        "            if now < self._retry_at:",
        "            if True:",
        (_rates("test_processes_share_the_limit"),),
    ),
    Mutant(
        "rates: after an outage of Redis each process counts alone",
        RATES,
        "self._retry_at = self._clock() + RETRY_SECONDS",
        "self._retry_at = math.inf",
        (_rates("test_a_process_goes_on_counting_when_redis_goes_away_and_when_it_is_back"),),
    ),
    Mutant(
        "rates: a lease is granted whole",
        RATES,
        "granted = min(requests, max(0, item.amount - (count - requests)))",
        "granted = requests if count - requests < item.amount else 0",
        (_rates("test_a_high_limit_asks_redis_for_many_requests_at_once"),),
    ),
    Mutant(
        "rates: a count lasts for ever",
        RATES,
        "pipe.set(key, 0, ex=item.get_expiry(), nx=True)",
        "pipe.set(key, 0, nx=True)",
        (_rates("test_a_redis_user_who_may_run_no_scripts_is_enough"),),
    ),
    Mutant(
        "rates: X-Forwarded-For is believed",
        RATES,
        "client = client_network(scope, self._trusted) if user_id is None else str(user_id)",
        'client = str(dict(scope["headers"]).get(b"x-forwarded-for")) if user_id is None else str(user_id)',
        (_rates("test_a_forged_address_is_no_new_client"),),
    ),
    Mutant(
        "rates: a user shares the limit of the network",
        CALLERS,
        "    return None if identity is None else identity.id",
        "    return None",
        (_rates("test_a_user_has_one_limit_wherever_the_requests_come_from_and_nobody_else_shares_it"),),
    ),
    Mutant(
        "rates: those who were active last are forgotten",
        RATES,
        "            self._windows.move_to_end(key)\n",
        "",
        (_rates("test_the_clients_that_were_idle_longest_are_forgotten_first"),),
    ),
    Mutant(
        "rates: any number of clients is remembered",
        RATES,
        "            if len(self._windows) >= self._max_remembered:",
        "            if False:",
        (_rates("test_the_clients_that_were_idle_longest_are_forgotten_first"),),
    ),
    Mutant(
        "quota: jobs beyond what is set for the user",
        "app/jobs/quota.py",
        "limit = self._limit if own is None or own.max_active_jobs is None else own.max_active_jobs",
        "limit = self._limit",
        (_quotas("test_of_fifty_at_once_exactly_as_many_pass_as_are_set_for_the_user"),),
    ),
    Mutant(
        "quota: the count is compared with the default",
        "app/jobs/quota.py",
        "return is_recent and count.active + SLACK < count.limit",
        "return is_recent and count.active + SLACK < self._limit",
        (_quotas("test_near_a_low_quota_every_job_is_counted_however_high_the_default_is"),),
    ),
    Mutant(
        "quota: bytes beyond what is set for the user",
        SERVICE,
        "self._defaults.stored if own.max_stored_bytes is None else own.max_stored_bytes",
        "self._defaults.stored",
        (_quotas("test_a_quota_of_stored_bytes_is_exact"),),
    ),
    Mutant(
        "quota: any bytes of models",
        SERVICE,
        "if limits.models and after.models > limits.models and after.models > before.models:",
        "if False:",
        (_quotas("test_models_have_a_quota_of_their_own"),),
    ),
    Mutant(
        "quota: an upload of a model is not held to its quota",
        SERVICE,
        "limits = all_limits if for_model else _Limits(all_limits.stored, 0)",
        "limits = _Limits(all_limits.stored, 0)",
        (_quotas("test_an_upload_of_a_model_that_does_not_fit_is_refused_while_it_arrives"),),
    ),
    Mutant(
        "quota: streams beyond what is set for the user",
        "app/streams/admission.py",
        "self._own_limits.get(user_id, self._per_user)",
        "self._per_user",
        (_quotas("test_a_quota_of_streams_applies_to_the_next_stream"),),
    ),
    Mutant(
        "quota: running jobs beyond what is set for the user",
        "app/jobs/turns.py",
        "nullif(coalesce(q.max_running_jobs, :max_running::int), 0)",
        "nullif(:max_running::int, 0)",
        (_RUNNING,),
    ),
    Mutant(
        "quota: a worker does not look for running limits of single users",
        "worker/claimer.py",
        "        if not found and not self._is_limited and not self._is_closed:",
        "        if False:",
        (_RUNNING,),
    ),
    Mutant(
        "quota: a worker claims in turn without limits although one is set",
        "app/jobs/turns.py",
        '{"" if is_limited else f"AND {UNLIMITED}"}',
        "",
        (_RUNNING_NOW,),
    ),
    Mutant(
        "quota: a worker claims in order without limits although one is set",
        "app/jobs/turns.py",
        "AND {others if is_limited else UNLIMITED}",
        "AND {others if is_limited else 'true'}",
        (_RUNNING_NOW,),
    ),
    Mutant(
        "quota: operators set quotas",
        "app/quotas/routes.py",
        "    user_id: UUID,\n    body: QuotasChange,\n    user: Administrator,",
        "    user_id: UUID,\n    body: QuotasChange,\n    user: AccountReader,",
        (_quotas("test_only_administrators_set_quotas_and_of_users_who_exist"),),
    ),
    Mutant(
        "limits: an operator is held to those of users",
        "app/jobs/limits.py",
        "    if user.sees_everything:",
        "    if user.is_admin:",
        ("tests/jobs/test_limits.py::test_an_operator_may_ask_for_more_too",),
    ),
    Mutant(
        "guessing: any number of guesses",
        "app/auth/rate_limits.py",
        "            if counted[rule.subject] > rule.allowed:",
        "            if False:",
        (_GUESSING,),
    ),
)
