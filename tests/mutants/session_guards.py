"""The guards of browser sessions and of the token endpoint."""

from typing import Final

from tests.mutants.mutant import Mutant

COMMANDS: Final = "app/auth/commands.py"
ROUTES: Final = "app/auth/browser_sessions/routes.py"
COOKIE: Final = "app/auth/browser_sessions/cookie.py"
ORIGINS: Final = "app/http/origins.py"
SESSIONS: Final = "app/auth/sessions/commands.py"
MEMBERS: Final = "app/auth/oauth/problem_members.py"


def _browser(test: str) -> str:
    return f"tests/auth/browser_sessions/test_http.py::{test}"


def _origins(test: str) -> str:
    return f"tests/http/test_origins.py::{test}"


def _oauth(test: str) -> str:
    return f"tests/auth/oauth/test_http.py::{test}"


_FOREIGN: Final = _browser("test_pages_of_other_origins_are_refused_before_anything_is_read_or_changed")
_HIDDEN: Final = _browser("test_no_script_and_no_other_site_gets_at_the_cookie")
_SECURE: Final = _browser("test_in_production_the_cookie_is_for_https_and_this_host_only")
_DEADLOCK: Final = (
    "tests/auth/sessions/test_commands.py"
    "::test_a_session_that_is_refreshed_is_ended_after_the_refresh_without_a_deadlock"
)

SESSION_GUARDS: Final = (
    Mutant(
        "browser session: pages of other origins use it",
        ROUTES,
        "        if not origins.is_allowed(request.headers, settings.allowed_origins):",
        "        if False:",
        (_FOREIGN,),
    ),
    Mutant(
        "browser session: the origin is checked after the body",
        ROUTES,
        "        await self(request)\n",
        "",
        (_FOREIGN,),
    ),
    Mutant(
        "origin: one that is missing is ours",
        ORIGINS,
        '        return headers.get("sec-fetch-site", "none") in _OWN_SITES',
        "        return True",
        (_origins("test_pages_of_other_origins_are_not"),),
    ),
    Mutant(
        "origin: any part of the host is ours",
        ORIGINS,
        'host == headers.get("host")',
        'host in headers.get("host", "")',
        (_origins("test_pages_of_other_origins_are_not"),),
    ),
    Mutant(
        "origin: the opaque one is ours",
        ORIGINS,
        'return host != "" and host',
        "return host",
        (_origins("test_without_a_host_no_origin_is_ours"),),
    ),
    Mutant(
        "browser session: a cookie may always be sent again",
        COMMANDS,
        "(col(RefreshToken.used_at) > func.now() - REUSE_GRACE)",
        "col(RefreshToken.used_at).is_not(None)",
        (_browser("test_after_ten_seconds_a_second_use_ends_the_session"),),
    ),
    Mutant(
        "browser session: each use prolongs the grace",
        COMMANDS,
        "func.coalesce(col(RefreshToken.used_at), func.now())",
        "func.now()",
        (_browser("test_further_uses_do_not_prolong_the_grace"),),
    ),
    Mutant(
        "browser session: other tabs are signed out",
        COMMANDS,
        "            col(RefreshToken.used_at).is_(None) | is_in_grace,",
        "            col(RefreshToken.used_at).is_(None),",
        (_browser("test_another_tab_may_send_the_same_cookie_again"),),
    ),
    Mutant(
        "refresh: a program may use a token again",
        COMMANDS,
        "    is_in_grace = col(RefreshToken.in_cookie) & (",
        "    is_in_grace = (",
        (_browser("test_a_token_of_a_program_has_no_grace"),),
    ),
    Mutant(
        "browser session: its token is good without a cookie, and others in one",
        COMMANDS,
        "            col(RefreshToken.in_cookie) == in_cookie,\n",
        "",
        (
            _browser("test_a_program_that_sends_the_token_of_a_cookie_ends_the_session"),
            _browser("test_a_cookie_with_the_token_of_a_program_is_none"),
        ),
    ),
    Mutant(
        "browser session: goes on when its token has got out",
        COMMANDS,
        " | (col(RefreshToken.in_cookie) != in_cookie)",
        "",
        (_browser("test_a_program_that_sends_the_token_of_a_cookie_ends_the_session"),),
    ),
    Mutant(
        "browser session: scripts read the cookie",
        COOKIE,
        "httponly=True",
        "httponly=False",
        (_HIDDEN,),
    ),
    Mutant(
        "browser session: links of other sites send the cookie",
        COOKIE,
        'samesite="strict"',
        'samesite="lax"',
        (_HIDDEN,),
    ),
    Mutant(
        "browser session: the cookie goes out without https",
        COOKIE,
        "secure=self.is_secure",
        "secure=False",
        (_SECURE,),
    ),
    Mutant(
        "browser session: another subdomain sets the cookie",
        COOKIE,
        "SECURE_NAME if self.is_secure else PLAIN_NAME",
        "PLAIN_NAME",
        (_SECURE,),
    ),
    Mutant(
        "browser session: the cookie outlives the session",
        ROUTES,
        "raise NoSession(cookie.deletion()) from None",
        "raise NoSession from None",
        (_browser("test_every_session_that_is_over_gets_the_same_answer"),),
    ),
    Mutant(
        "browser session: signing out only deletes the cookie",
        "app/auth/service.py",
        "            if found is not None and found.session_id is not None:",
        "            if False:",
        (_browser("test_signing_out_ends_this_session_only"),),
    ),
    Mutant(
        "browser session: a cookie signs a program out",
        "app/auth/sessions/queries.py",
        "WHERE token_hash = :token_hash AND in_cookie",
        "WHERE token_hash = :token_hash",
        (_browser("test_the_token_of_a_program_is_not_signed_out_by_a_cookie"),),
    ),
    Mutant(
        "session: its end and a refresh wait for each other",
        SESSIONS,
        "    WHERE id = :session_id AND user_id = :user_id AND ended_at IS NULL\n"
        "        AND (SELECT count(*) FROM revoked) >= 0\n",
        "    WHERE id = :session_id AND user_id = :user_id AND ended_at IS NULL\n",
        (_DEADLOCK,),
    ),
    Mutant(
        "session: the end of all and a refresh wait for each other",
        SESSIONS,
        "    WHERE user_id = :user_id AND ended_at IS NULL AND id IS DISTINCT FROM :kept_id::uuid\n"
        "        AND (SELECT count(*) FROM revoked) >= 0\n",
        "    WHERE user_id = :user_id AND ended_at IS NULL AND id IS DISTINCT FROM :kept_id::uuid\n",
        (_DEADLOCK,),
    ),
    Mutant(
        "token: errors without the members of OAuth 2",
        MEMBERS,
        "                return _with_members(problems.error_response(request.scope, error))",
        "                raise error",
        (_oauth("test_an_error_names_what_went_wrong_as_oauth_2_does"),),
    ),
    Mutant(
        "token: a description has any characters",
        MEMBERS,
        """_NOT_PERMITTED.sub("'", description)""",
        "description",
        (_oauth("test_no_description_repeats_what_a_header_must_not_hold"),),
    ),
    Mutant(
        "session: pruning waits for requests",
        SESSIONS,
        " FOR UPDATE SKIP LOCKED",
        "",
        ("tests/auth/sessions/test_commands.py::test_pruning_waits_for_no_request",),
    ),
)
