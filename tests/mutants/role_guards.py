"""The guards of roles, users, sessions, invitations and password resets."""

from typing import Final

from tests.mutants.mutant import Mutant

PERMISSIONS: Final = "app/auth/permissions.py"
QUERIES: Final = "app/auth/queries.py"
COMMANDS: Final = "app/auth/commands.py"
AUTH_ROUTES: Final = "app/auth/routes.py"
DEPS: Final = "app/auth/deps.py"
USERS: Final = "app/auth/users/commands.py"
SESSIONS: Final = "app/auth/sessions/commands.py"
RESETS: Final = "app/auth/password_resets/commands.py"
SOCKET: Final = "app/streams/socket.py"
STREAM_ROUTES: Final = "app/streams/routes.py"
ADMISSION: Final = "app/streams/admission.py"
DEAD_LETTERS: Final = "app/jobs/dead_letters/routes.py"
REMOVAL: Final = "app/maintenance/user_removal.py"

_MATRIX: Final = "tests/auth/test_permissions.py::test_each_operation_answers_each_caller_as_documented"


def _roles(test: str) -> str:
    return f"tests/auth/test_roles.py::{test}"


def _users(test: str) -> str:
    return f"tests/auth/users/test_http.py::{test}"


def _sessions(test: str) -> str:
    return f"tests/auth/sessions/test_http.py::{test}"


def _resets(test: str) -> str:
    return f"tests/auth/password_resets/test_http.py::{test}"


def _invitations(test: str) -> str:
    return f"tests/auth/invitations/test_http.py::{test}"


def _removal(test: str) -> str:
    return f"tests/maintenance/test_user_removal.py::{test}"


ROLE_GUARDS: Final = (
    Mutant(
        "role: a route asks for no permission",
        DEPS,
        "        identity.ensure(self.permission)\n",
        "",
        (_MATRIX,),
    ),
    Mutant(
        "role: a viewer writes",
        PERMISSIONS,
        "    Role.VIEWER: _VIEWER,",
        "    Role.VIEWER: _USER,",
        (
            "tests/contracts/test_permissions.py"
            "::test_a_viewer_has_no_permission_that_changes_jobs_models_or_datasets",
        ),
    ),
    Mutant(
        "role: an API key has all rights of its owner",
        PERMISSIONS,
        "    return ROLE_PERMISSIONS[role] & frozenset[Permission]().union(*granted)",
        "    return ROLE_PERMISSIONS[role]",
        ("tests/contracts/test_permissions.py::test_an_api_key_without_scopes_permits_nothing",),
    ),
    Mutant(
        "role: an API key has rights that its owner lacks",
        PERMISSIONS,
        "    return ROLE_PERMISSIONS[role] & frozenset[Permission]().union(*granted)",
        "    return frozenset[Permission]().union(*granted)",
        (
            "tests/contracts/test_permissions.py"
            "::test_an_api_key_permits_no_more_than_its_owner_and_its_scopes",
        ),
    ),
    Mutant(
        "role: every user reaches the jobs of all",
        "app/auth/identities.py",
        "        return None if self.sees_everything else self.id",
        "        return None",
        (_MATRIX,),
    ),
    Mutant(
        "role: every user lists the jobs of all",
        "app/auth/owners.py",
        "    caller.ensure(Permission.OPERATE)\n",
        "",
        (_roles("test_a_user_names_no_owner"),),
    ),
    Mutant(
        "role: all dead letters are those of everyone",
        DEAD_LETTERS,
        "    if owner is None and selection.job_ids:",
        "    if owner is None:",
        (_roles("test_all_dead_letters_are_the_operators_own_unless_an_owner_is_named"),),
    ),
    Mutant(
        "role: a filter of dead letters selects those of everyone",
        "app/core/sql.py",
        'make(f"{column} = :owner_id AND")',
        'make(":owner_id::uuid IS NOT NULL AND")',
        (
            "tests/jobs/dead_letters/test_filters.py"
            "::test_many_letters_are_handled_by_filter_in_slices_and_what_fails_later_is_left_alone",
        ),
    ),
    Mutant(
        "dead letters: one whose input was deleted is retried with the others",
        "app/jobs/dead_letters/queries.py",
        '_RETRYABLE: Final = f"(j.pruned_at IS NULL AND {HAS_ITS_INPUTS})"',
        '_RETRYABLE: Final = "(j.pruned_at IS NULL)"',
        (
            "tests/jobs/dead_letters/test_filters.py"
            "::test_a_letter_whose_dataset_is_gone_is_counted_as_not_retryable_and_skipped",
        ),
    ),
    Mutant(
        "dead letters: a bulk action takes what fails later",
        "app/jobs/dead_letters/queries.py",
        "    AND (:failed_before::timestamptz IS NULL OR j.finished_at < :failed_before)",
        "    AND (:failed_before::timestamptz IS NULL OR :failed_before IS NOT NULL)",
        (
            "tests/jobs/dead_letters/test_filters.py"
            "::test_many_letters_are_handled_by_filter_in_slices_and_what_fails_later_is_left_alone",
        ),
    ),
    Mutant(
        "role: a retry counts towards the quota of the operator",
        "app/jobs/routes.py",
        "    if user.sees_everything:  # the quota is that of the job's owner",
        "    if False:",
        (_roles("test_an_operator_cancels_and_retries_the_job_of_a_user"),),
    ),
    Mutant(
        "role: everyone sees tracebacks",
        "app/jobs/views.py",
        "    if with_traceback:",
        "    if True:",
        (_roles("test_only_an_administrator_sees_the_traceback_of_an_attempt"),),
    ),
    Mutant(
        "role: a socket cancels for a viewer",
        SOCKET,
        "            identity.ensure(Permission.JOBS_WRITE)\n",
        "",
        (_roles("test_a_viewer_follows_jobs_but_does_not_cancel_them_over_a_socket"),),
    ),
    Mutant(
        "role: a socket cancels with a former role",
        SOCKET,
        "identity = await identities.renew(unit.connection, self._user.identity)",
        "identity = self._user.identity",
        (_roles("test_an_open_socket_cancels_nothing_once_its_user_is_a_viewer"),),
    ),
    Mutant(
        "role: a socket subscribes with a former role",
        SOCKET,
        "identity = await identities.renew(connection, self._user.identity)",
        "identity = self._user.identity",
        (_roles("test_an_open_socket_subscribes_to_no_foreign_job_once_its_user_is_no_operator"),),
    ),
    Mutant(
        "role: the stream of a foreign job outlives the role",
        STREAM_ROUTES,
        "    if job.owner_id != user.id:\n        user.require(Permission.OPERATE)\n",
        "",
        (_roles("test_the_stream_of_a_foreign_job_ends_once_its_reader_is_no_operator"),),
    ),
    Mutant(
        "role: the socket of a foreign job outlives the role",
        SOCKET,
        "        if job.owner_id != self._user.id:\n            self._user.require(Permission.OPERATE)\n",
        "",
        (_roles("test_the_stream_of_a_foreign_job_ends_once_its_reader_is_no_operator"),),
    ),
    Mutant(
        "role: an open stream is not rechecked for its permission",
        ADMISSION,
        "        return self.needs <= permissions_of(role, self.identity.scopes)",
        "        return True",
        (_roles("test_the_stream_of_a_foreign_job_ends_once_its_reader_is_no_operator"),),
    ),
    Mutant(
        "stream: a recheck ends what was opened meanwhile",
        ADMISSION,
        "        for stream in streams:",
        "        for stream in tuple(self._open):",
        ("tests/streams/test_admission.py::test_a_stream_that_is_opened_during_a_recheck_stays_open",),
    ),
    Mutant(
        "stream: a ticket outlives the session",
        "app/streams/tickets.py",
        "    AND {CREDENTIAL_IS_VALID}",
        "    AND u.id = held.user_id AND u.is_active",
        (_sessions("test_streams_end_with_the_session_that_opened_them"),),
    ),
    Mutant(
        "session: access tokens outlive it",
        QUERIES,
        " AND s.user_id = u.id AND s.ended_at IS NULL",
        " AND s.user_id = u.id",
        (_sessions("test_an_ended_session_takes_its_tokens_with_it_within_a_second"),),
    ),
    Mutant(
        "session: a second use of a refresh token leaves the access tokens",
        COMMANDS,
        ".where(col(SignInSession.id).in_(family), col(SignInSession.ended_at).is_(None))",
        ".where(col(SignInSession.id).in_(family), col(SignInSession.ended_at).is_not(None))",
        (_sessions("test_a_second_use_of_a_refresh_token_ends_the_access_tokens_too"),),
    ),
    Mutant(
        "session: one of another user is ended",
        SESSIONS,
        "WHERE id = :session_id AND user_id = :user_id AND ended_at IS NULL",
        "WHERE id = :session_id AND :user_id::uuid IS NOT NULL AND ended_at IS NULL",
        (_sessions("test_a_session_of_another_user_is_unknown"),),
    ),
    Mutant(
        "session: begins with a password that has changed",
        COMMANDS,
        "            tables.User.password_hash == user.password_hash,\n",
        "",
        (_sessions("test_a_sign_in_that_began_before_the_password_was_changed_opens_no_session"),),
    ),
    Mutant(
        "user: the last administrator goes",
        USERS,
        "    if admins == {user_id} and not stays_admin:",
        "    if False:",
        (_users("test_the_last_administrator_is_not_demoted_disabled_or_deleted"),),
    ),
    Mutant(
        "user: two administrators demote each other",
        USERS,
        "ORDER BY id FOR NO KEY UPDATE",
        "ORDER BY id",
        (_users("test_of_administrators_who_are_demoted_at_once_one_stays"),),
    ),
    Mutant(
        "user: anyone chooses a role",
        AUTH_ROUTES,
        "    if role is not None:",
        "    if False:",
        (_users("test_nobody_else_chooses_a_role"),),
    ),
    Mutant(
        "user: a disabled one stays signed in",
        USERS,
        "    if is_active is False:",
        "    if False:",
        (_users("test_a_disabled_user_is_signed_out_and_stays_so_when_enabled_again"),),
    ),
    Mutant(
        "user: the name of a deleted one is given out",
        COMMANDS,
        "    if await session.get(RetiredUsername, usernames.retired_key(accepted)) is not None:",
        "    if False:",
        (_users("test_a_deleted_user_is_gone_at_once_and_the_name_is_not_given_out_again"),),
    ),
    Mutant(
        "password: changed without the current one",
        "app/auth/password_resets/routes.py",
        "if not await turn.check(body.current_password.get_secret_value(), account.password_hash):",
        "if False:",
        (_resets("test_wrong_current_passwords_count_as_failed_sign_ins"),),
    ),
    Mutant(
        "password: the other sessions stay",
        RESETS,
        "    await sessions.end_all(connection, user_id, kept_id=session_id)\n",
        "",
        (_resets("test_a_changed_password_ends_the_other_sessions"),),
    ),
    Mutant(
        "password: changed twice with the same current one",
        RESETS,
        "AND password_hash = :earlier_hash",
        "AND :earlier_hash::text IS NOT NULL",
        (_resets("test_of_two_changes_at_once_one_is_refused"),),
    ),
    Mutant(
        "reset: a token that has expired",
        RESETS,
        "r.token_hash = :token_hash AND r.expires_at > now() AND u.deleted_at",
        "r.token_hash = :token_hash AND u.deleted_at",
        ("tests/auth/password_resets/test_commands.py::test_an_expired_token_sets_no_password",),
    ),
    Mutant(
        "reset: the token is locked before the user",
        RESETS,
        "    FOR NO KEY UPDATE OF u\n",
        "",
        (
            "tests/auth/password_resets/test_commands.py"
            "::test_a_token_that_is_spent_during_another_change_ends_without_a_deadlock",
        ),
    ),
    Mutant(
        "reset: the sessions stay",
        RESETS,
        "    await sessions.end_all(connection, user_id)\n",
        "",
        (_resets("test_a_reset_token_sets_a_password_once_and_ends_all_sessions"),),
    ),
    Mutant(
        "invitation: one that has expired",
        COMMANDS,
        "            col(Invitation.expires_at) > func.now(),\n",
        "",
        ("tests/auth/invitations/test_commands.py::test_an_expired_invitation_creates_no_account",),
    ),
    Mutant(
        "registration: no invitation needed",
        AUTH_ROUTES,
        "            raise InvitationNeeded",
        "            return",
        (_invitations("test_an_invitation_creates_one_account_with_its_role"),),
    ),
    Mutant(
        "registration: never closed",
        AUTH_ROUTES,
        "            raise RegistrationClosed",
        "            return",
        (_invitations("test_a_closed_registration_takes_no_invitation"),),
    ),
    Mutant(
        "removal: the inputs of a running job go",
        REMOVAL,
        "        if await queries.has_unfinished_jobs(connection, user_id):",
        "        if False:",
        (_removal("test_a_running_job_is_cancelled_and_its_inputs_stay_until_it_has_ended"),),
    ),
    Mutant(
        "removal: a user goes while requests may still insert",
        "app/maintenance/commands.py",
        "WHERE u.id = :user_id AND u.deleted_at < now() - interval '1 minute'",
        "WHERE u.id = :user_id AND u.deleted_at < now() + interval '1 minute'",
        (_removal("test_a_user_who_was_deleted_just_now_stays_for_a_minute"),),
    ),
)
