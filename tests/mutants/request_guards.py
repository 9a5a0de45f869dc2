"""The guards of requests and of sign-ins."""

from typing import Final

from tests.mutants.mutant import Mutant

PROTOCOL: Final = "app/http/protocol.py"
ROUTING: Final = "app/http/routing.py"
MIDDLEWARE: Final = "app/http/middleware.py"
COUNTING: Final = "app/http/value_counter.py"
ADDRESSES: Final = "app/http/addresses.py"
RATE_LIMITS: Final = "app/auth/rate_limits.py"
AUTH_SERVICE: Final = "app/auth/service.py"
TURNS: Final = "app/auth/concurrency_limit.py"
HEADERS: Final = "app/http/security_headers.py"
CORS: Final = "app/http/cors.py"
SPACE: Final = "app/jobs/searches/space.py"


def _lingering(test: str) -> str:
    return f"tests/http/test_lingering.py::{test}"


def _rate_limits(test: str) -> str:
    return f"tests/auth/test_rate_limits.py::{test}"


def _links(test: str) -> str:
    return f"tests/http/test_links.py::{test}"


def _headers(test: str) -> str:
    return f"tests/http/test_security_headers.py::{test}"


def _cors(test: str) -> str:
    return f"tests/http/test_cors.py::{test}"


def _docs(test: str) -> str:
    return f"tests/docs/test_routes.py::{test}"


def _schema(test: str) -> str:
    return f"tests/operations/test_schema_check.py::{test}"


REQUEST_GUARDS: Final = (
    Mutant(
        "request: no lingering close",
        PROTOCOL,
        "        if self.cycle.more_body and not self.cycle.disconnected:",
        "        if False:",
        (_lingering("test_a_raw_socket_reads_it_after_all_is_sent"),),
    ),
    Mutant(
        "request: a head of any size",
        PROTOCOL,
        "        if self._head_bytes > self.max_head_bytes:",
        "        if False:",
        (_lingering("test_a_head_that_is_too_large_is_a_431"),),
    ),
    Mutant(
        "request: a head at any time",
        PROTOCOL,
        "            self._refuse(RequestTimeout(seconds=int(self.head_seconds)))",
        "            pass",
        (_lingering("test_a_head_that_does_not_come_is_a_408"),),
    ),
    Mutant(
        "request: any number of connections",
        "app/http/connection_limits.py",
        "self._of_network[network] >= self._limit_per_address",
        "False",
        (_lingering("test_one_address_may_not_hold_all_connections"),),
    ),
    Mutant(
        "request: a body at any pace",
        MIDDLEWARE,
        "asyncio.timeout(allowed - self._waited_seconds)",
        "asyncio.timeout(None)",
        (_lingering("test_a_body_that_dribbles_is_a_408"),),
    ),
    Mutant(
        "request: a cancellation of the server's is an error",
        MIDDLEWARE,
        "task.cancelling() > 0 and self._is_stopping()",
        "False",
        ("tests/http/test_shutdown.py::test_what_a_library_makes_of_the_cancellation_is_no_error_either",),
    ),
    Mutant(
        "request: the body before the token",
        ROUTING,
        "owner = await check.before_body(request)",
        "pass",
        ("tests/http/test_routing.py::test_a_bad_token_is_refused_before_the_body_is_read",),
    ),
    Mutant(
        "request: any number of values",
        ROUTING,
        "if counter.values > MAX_VALUES:",
        "if False:",
        ("tests/http/test_routing.py::test_more_values_than_are_allowed_are_refused_before_they_are_parsed",),
    ),
    Mutant(
        "request: a string of any length",
        "app/http/json_structure.py",
        " > MAX_STRING_BYTES:",
        " > len(text):",
        ("tests/http/test_parsing.py::test_a_value_that_would_hold_others_up_is_refused",),
    ),
    Mutant(
        "request: a value that lies deep, of any size",
        "app/http/parsing.py",
        "if len(self._open) > MAX_DEPTH and end - last.start > MAX_INDIVISIBLE_BYTES:",
        "if False:",
        ("tests/http/test_parsing.py::test_a_value_that_would_hold_others_up_is_refused",),
    ),
    Mutant(
        "request: work on a large body holds the event loop",
        ROUTING,
        "with offloading(size > parsing.PIECE_BYTES):",
        "with offloading(False):",
        (
            "tests/http/test_routing.py::test_the_work_on_a_body_that_is_parsed_in_pieces_leaves_the_event_loop",
        ),
    ),
    Mutant(
        "request: strings are not told from what is outside",
        COUNTING,
        "self._is_in_string = not self._is_in_string",
        "pass",
        ("tests/http/test_value_counter.py::test_it_does_not_matter_how_a_text_is_cut",),
    ),
    Mutant(
        "sign-in: anybody's X-Forwarded-For",
        ADDRESSES,
        "    if trusted and is_trusted(host, trusted):",
        "    if True:",
        (_rate_limits("test_a_forged_address_is_no_new_network"),),
    ),
    Mutant(
        "sign-in: any number of guesses",
        AUTH_SERVICE,
        "await self._rate_limits.check(connection, rules, network)",
        "pass",
        (_rate_limits("test_the_sixth_guess_is_refused_and_so_is_the_right_password"),),
    ),
    Mutant(
        "sign-in: guesses at the same time",
        RATE_LIMITS,
        "            if counted[rule.subject] > rule.allowed:",
        "            if False:",
        (_rate_limits("test_guesses_at_the_same_time_are_no_more_guesses"),),
    ),
    Mutant(
        "sign-in: an account is locked for all",
        RATE_LIMITS,
        "    WHERE attempts.network = :network AND",
        "    WHERE :network::text IS NOT NULL AND",
        (_rate_limits("test_strangers_cannot_lock_an_account"),),
    ),
    Mutant(
        "sign-in: first come, first served",
        TURNS,
        "                self._queues.move_to_end(network)",
        "                pass",
        ("tests/auth/test_concurrency_limit.py::test_a_flood_from_one_network_does_not_delay_another",),
    ),
    Mutant(
        "prefix: a link without it",
        "app/http/links.py",
        "    return _prefix.get() + path",
        "    return path",
        (_links("test_links_keep_the_prefix_under_which_they_were_asked_for"),),
    ),
    Mutant(
        "prefix: a proxy that removes it changes the links",
        "app/http/prefixes.py",
        'prefix = self._root_path + (VERSIONED_PREFIX if is_versioned else "")',
        'prefix = VERSIONED_PREFIX if is_versioned else ""',
        (_links("test_a_proxy_may_have_removed_its_prefix"),),
    ),
    Mutant(
        "prefix: a longer name is taken for it",
        "app/http/prefixes.py",
        'path == prefix or path.startswith(prefix + "/")',
        "path.startswith(prefix)",
        (_links("test_a_prefix_alone_is_the_front_page"),),
    ),
    Mutant(
        "headers: only on success",
        HEADERS,
        "                headers += missing_headers(headers)",
        '                headers += missing_headers(headers) if message["status"] < 400 else []',
        (_headers("test_every_response_has_them_also_errors"),),
    ),
    Mutant(
        "headers: answers to users are stored",
        HEADERS,
        '        missing.append(_REVALIDATED if b"etag" in names else _NOT_STORED)',
        "        pass",
        (_headers("test_an_answer_to_a_user_is_not_stored"),),
    ),
    Mutant(
        "headers: a route's own policy is doubled",
        HEADERS,
        "[header for header in _ALWAYS if header[0] not in names]",
        "[*_ALWAYS]",
        (_headers("test_a_route_that_sets_its_own_header_keeps_it"),),
    ),
    Mutant(
        "headers: anybody's X-Forwarded-Proto",
        HEADERS,
        "if client is None or not is_trusted(client[0], self._trusted_proxies):",
        "if client is None:",
        (_headers("test_hsts_is_sent_over_https_only_as_a_trusted_proxy_says"),),
    ),
    Mutant(
        "headers: the server's own refusals have none",
        PROTOCOL,
        "[*response.raw_headers, *missing_headers(response.raw_headers)]",
        "response.raw_headers",
        (_headers("test_a_refusal_of_the_server_itself_has_them_too"),),
    ),
    Mutant(
        "cors: any origin",
        CORS,
        "is_listed = origin in self._origins",
        "is_listed = origin is not None",
        (_cors("test_another_origin_gets_no_cors_header_on_any_route"),),
    ),
    Mutant(
        "cors: a cache gives it to another origin",
        CORS,
        '                answer.add_vary_header("Origin")',
        "                pass",
        (_cors("test_another_origin_gets_no_cors_header_on_any_route"),),
    ),
    Mutant(
        "cors: a preflight request names any header",
        CORS,
        "if _HEADER_NAMES.fullmatch(wanted):",
        "if wanted:",
        (_cors("test_a_preflight_request_cannot_smuggle_a_header"),),
    ),
    Mutant(
        "cors: a wildcard",
        "app/core/config.py",
        "    if not _ORIGIN.fullmatch(value) or not _has_valid_port(value):",
        "    if False:",
        (_cors("test_a_wildcard_or_what_is_no_origin_is_refused_at_the_start"),),
    ),
    Mutant(
        "docs: open in production",
        "app/core/config.py",
        "DocsAccess.OFF if self.is_production else DocsAccess.OPEN",
        "DocsAccess.OPEN",
        (_docs("test_without_documentation_nothing_of_it_is_there"),),
    ),
    Mutant(
        "docs: the document without a token",
        "app/docs/routes.py",
        "is_open = access is DocsAccess.OPEN",
        "is_open = True",
        (_docs("test_signed_in_means_that_the_document_needs_a_token"),),
    ),
    Mutant(
        "schema: an outdated one is an internal error",
        "app/core/database.py",
        "    except _OUTDATED as error:\n        raise SchemaOutdated from error\n",
        "",
        (_schema("test_every_route_that_needs_the_database_says_what_to_do"),),
    ),
    Mutant(
        "schema: an outdated one is an internal error of a session",
        "app/core/database.py",
        "        if isinstance(cause, _OUTDATED):",
        "        if False:",
        ("tests/core/test_database.py::test_an_outdated_schema_is_noticed_by_sessions_and_connections",),
    ),
    Mutant(
        "schema: ready without a migration",
        "app/operations/routes.py",
        "    if await schema.check():",
        "    if False:",
        (_schema("test_every_route_that_needs_the_database_says_what_to_do"),),
    ),
    Mutant(
        "search: numbers of any size",
        SPACE,
        "if isinstance(value, int) and not -(2**63) <= value < 2**63:",
        "if False:",
        ("tests/jobs/test_searches.py::test_a_range_that_no_number_can_be_drawn_from_is_refused",),
    ),
    Mutant(
        "documentation: applications share one document",
        "app/docs/routes.py",
        "documents.setdefault(request.app, ",
        "documents.setdefault(type(request.app), ",
        ("tests/docs/test_routes.py::test_applications_that_share_the_routes_have_documents_of_their_own",),
    ),
)
