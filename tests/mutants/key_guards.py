"""The guards of API keys."""

from typing import Final

from tests.mutants.mutant import Mutant

COMMANDS: Final = "app/auth/api_keys/commands.py"
FORMAT: Final = "app/auth/api_keys/key_format.py"
KEY_QUERIES: Final = "app/auth/api_keys/queries.py"
KEY_ROUTES: Final = "app/auth/api_keys/routes.py"
IDENTITIES: Final = "app/auth/identities.py"
QUERIES: Final = "app/auth/queries.py"
USERS: Final = "app/auth/users/commands.py"

_MAKES_ADMIN: Final = "test_a_key_with_the_scope_admin_makes_users_but_no_administrator"


def _http(test: str) -> str:
    return f"tests/auth/api_keys/test_http.py::{test}"


def _commands(test: str) -> str:
    return f"tests/auth/api_keys/test_commands.py::{test}"


def _identities(test: str) -> str:
    return f"tests/auth/test_identities.py::{test}"


KEY_GUARDS: Final = (
    Mutant(
        "API key: its scopes do not count",
        IDENTITIES,
        "key_id=key_id, scopes=key.scopes)",
        "key_id=key_id, scopes=None)",
        (_http("test_a_key_creates_a_job_and_reads_it_with_the_scope_for_it"),),
    ),
    Mutant(
        "API key: does not expire",
        KEY_QUERIES,
        "WHERE k.id = :key_id AND (k.expires_at IS NULL OR k.expires_at > now())",
        "WHERE k.id = :key_id",
        (_http("test_a_key_expires"),),
    ),
    Mutant(
        "API key: does not expire while it is cached",
        IDENTITIES,
        "        return expires_at is None or expires_at >= time.time()",
        "        return True",
        (_identities("test_a_remembered_key_still_expires"),),
    ),
    Mutant(
        "API key: is cached for long after its revocation",
        IDENTITIES,
        "        lifetime_seconds: float = LIFETIME_SECONDS",
        "        lifetime_seconds: float = 3600.0",
        (_http("test_a_key_is_created_shown_once_used_and_revoked"),),
    ),
    Mutant(
        "API key: streams outlive its revocation",
        QUERIES,
        "    AND (held.key_id IS NULL OR EXISTS (",
        "    AND (held.key_id IS NOT NULL OR held.key_id IS NULL OR EXISTS (",
        (_http("test_streams_end_with_the_key_that_opened_them"),),
    ),
    Mutant(
        "API key: streams outlive its expiry",
        QUERIES,
        "        AND (k.expires_at IS NULL OR k.expires_at > now())",
        "",
        (_http("test_streams_end_with_the_key_that_opened_them"),),
    ),
    Mutant(
        "API key: is stored as it is",
        FORMAT,
        "    return hash_opaque_token(text)",
        "    return text.encode()",
        (_http("test_no_row_of_the_database_holds_a_key"),),
    ),
    Mutant(
        "API key: any secret opens it",
        IDENTITIES,
        " or not key_format.is_key(text, key.key_hash)",
        "",
        (_identities("test_the_secret_of_another_key_is_rejected"),),
    ),
    Mutant(
        "API key: a mistyped one reaches the database",
        FORMAT,
        "    if found is None or _checksum(text[:-CHECKSUM_LENGTH]) != text[-CHECKSUM_LENGTH:]:",
        "    if found is None:",
        ("tests/auth/api_keys/test_key_format.py::test_no_change_of_one_character_is_a_key",),
    ),
    Mutant(
        "API key: of an inactive user",
        KEY_QUERIES,
        "JOIN users u ON u.id = k.user_id AND u.is_active",
        "JOIN users u ON u.id = k.user_id",
        (_identities("test_a_key_of_an_inactive_user_is_rejected"),),
    ),
    Mutant(
        "API key: works again when its owner is enabled",
        USERS,
        "        await sessions.end_all(connection, user_id)\n"
        "        await api_keys.revoke_all(connection, user_id)\n",
        "        await sessions.end_all(connection, user_id)\n",
        (_http("test_a_key_of_a_disabled_owner_does_not_work_when_the_account_is_enabled_again"),),
    ),
    Mutant(
        "API key: more at once than the limit",
        COMMANDS,
        "WHERE id = :user_id FOR NO KEY UPDATE",
        "WHERE id = :user_id",
        (_commands("test_of_fifty_creations_at_once_as_many_succeed_as_the_limit_allows"),),
    ),
    Mutant(
        "API key: grants what its owner lacks",
        COMMANDS,
        "        if not all(current.allows(permission) for permission in SCOPE_PERMISSIONS[scope]):",
        "        if False:",
        (_commands("test_an_owner_grants_no_scope_that_their_role_does_not_include"),),
    ),
    Mutant(
        "API key: grants what its owner has lost",
        COMMANDS,
        "    current = await identities.renew(connection, caller)",
        "    current = caller",
        (_commands("test_the_role_at_the_time_of_creation_counts"),),
    ),
    Mutant(
        "API key: creates another one",
        COMMANDS,
        "    current.ensure(Permission.ACCOUNT)\n",
        "",
        (_commands("test_a_key_creates_no_key"),),
    ),
    Mutant(
        "API key: lives as long as requested",
        KEY_ROUTES,
        "    if longest and wanted is not None and wanted > longest:",
        "    if False:",
        (_http("test_a_setting_limits_the_lifetime"),),
    ),
    Mutant(
        "API key: lives for ever by default, whatever the limit",
        KEY_ROUTES,
        "    seconds = wanted or longest",
        "    seconds = wanted",
        (_http("test_a_setting_limits_the_lifetime"),),
    ),
    Mutant(
        "API key: one of another user is revoked",
        COMMANDS,
        "AND (:user_id::uuid IS NULL OR user_id = :user_id) RETURNING id",
        "AND (:user_id::uuid IS NULL OR true) RETURNING id",
        (_http("test_each_user_sees_and_revokes_their_own_keys_and_an_administrator_all"),),
    ),
    Mutant(
        "API key: those of another user are listed",
        KEY_ROUTES,
        "            user.ensure(Permission.CREDENTIALS)\n",
        "",
        (_http("test_each_user_sees_and_revokes_their_own_keys_and_an_administrator_all"),),
    ),
    Mutant(
        "API key: resets passwords and ends sessions",
        "app/auth/deps.py",
        "CredentialsAdministrator = Annotated[Identity, require(Permission.CREDENTIALS)]",
        "CredentialsAdministrator = Annotated[Identity, require(Permission.ADMIN)]",
        (_http("test_no_key_manages_keys_passwords_or_sessions"),),
    ),
    *(
        Mutant(
            f"API key: makes an administrator with {path}",
            path,
            f"        {caller}.ensure(Permission.CREDENTIALS)\n",
            "        pass\n",
            (_http(_MAKES_ADMIN),),
        )
        for path, caller in (
            ("app/auth/routes.py", "creator"),
            ("app/auth/users/routes.py", "user"),
            ("app/auth/invitations/routes.py", "user"),
        )
    ),
    Mutant(
        "API key: each use is written",
        "app/auth/api_keys/usage.py",
        "            AND coalesce(last_used_at < now() - make_interval(secs => :precision), true)\n",
        "            AND :precision::float8 IS NOT NULL\n",
        ("tests/auth/api_keys/test_usage.py::test_within_a_minute_nothing_is_written_again",),
    ),
    Mutant(
        "API key: unknown ones displace the callers in the cache",
        IDENTITIES,
        "        cache = self._rejected if known.identity is None else self._accepted",
        "        cache = self._accepted",
        (_identities("test_a_flood_of_unknown_keys_displaces_no_caller"),),
    ),
    Mutant(
        "API key: concurrent requests all ask",
        IDENTITIES,
        "        lock = self._locks.setdefault(token, asyncio.Lock())",
        "        lock = asyncio.Lock()",
        (_identities("test_many_requests_at_once_ask_once"),),
    ),
    Mutant(
        "API key: is logged with the path",
        "app/core/logging.py",
        '            event[name] = _API_KEY.sub("[hidden]", value)',
        "            pass",
        (_http("test_no_log_and_no_other_response_holds_a_key"),),
    ),
    Mutant(
        "log: characters that control a terminal",
        "app/core/logging.py",
        "    return text if text.isascii() and text.isprintable() else json.dumps(event, **options)",
        "    return text",
        ("tests/core/test_logging.py::test_in_production_a_record_is_printable_ascii_and_means_the_value",),
    ),
    Mutant(
        "API key: expired ones are kept for ever",
        COMMANDS,
        "WHERE expires_at < now() - :kept::interval",
        "WHERE false AND :kept::interval IS NOT NULL",
        (_commands("test_a_key_is_deleted_a_month_after_it_has_expired"),),
    ),
    Mutant(
        "API key: revoked in any order",
        COMMANDS,
        "WHERE user_id = :user_id ORDER BY id FOR UPDATE)",
        "WHERE user_id = :user_id ORDER BY id DESC FOR UPDATE)",
        (_commands("test_keys_that_are_revoked_while_they_are_used_are_locked_in_the_same_order"),),
    ),
)
