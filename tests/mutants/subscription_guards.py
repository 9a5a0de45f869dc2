"""The guards of subscriptions over HTTP: whose they are, how many, and what a link in a message proves."""

from typing import Final

from tests.mutants.mutant import Mutant

QUERIES: Final = "app/notifications/queries.py"
COMMANDS: Final = "app/notifications/commands.py"
SERVICE: Final = "app/notifications/service.py"
LINKS: Final = "app/notifications/links.py"
PERMISSIONS: Final = "app/auth/permissions.py"
CONFIG: Final = "app/core/config.py"

_THEIRS: Final = "test_what_is_another_users_does_not_exist"


def _http(name: str, path: str, text: str, replacement: str, test: str) -> Mutant:
    return Mutant(
        f"subscriptions: {name}", path, text, replacement, (f"tests/notifications/test_http.py::{test}",)
    )


def _page(name: str, path: str, text: str, replacement: str, test: str) -> Mutant:
    return Mutant(
        f"subscriptions: {name}", path, text, replacement, (f"tests/notifications/test_pages.py::{test}",)
    )


def _link(name: str, text: str, replacement: str, test: str) -> Mutant:
    return Mutant(
        f"subscriptions: {name}", LINKS, text, replacement, (f"tests/notifications/test_links.py::{test}",)
    )


SUBSCRIPTION_GUARDS: Final = (
    _http(
        "one of another user is read",
        QUERIES,
        '"SELECT * FROM subscriptions WHERE id = :subscription_id AND owner_id = :owner_id"',
        '"SELECT * FROM subscriptions WHERE id = :subscription_id AND :owner_id::uuid IS NOT NULL"',
        _THEIRS,
    ),
    _http(
        "a delivery of another user is read",
        QUERIES,
        "s.id = d.subscription_id AND s.owner_id = :owner_id",
        "s.id = d.subscription_id AND :owner_id::uuid IS NOT NULL",
        _THEIRS,
    ),
    _http(
        "all users' deliveries are listed",
        QUERIES,
        "WHERE s.owner_id = :owner_id {of_one}",
        "WHERE :owner_id::uuid IS NOT NULL {of_one}",
        _THEIRS,
    ),
    _http(
        "the quota is checked without a lock",
        COMMANDS,
        "own = await quotas.lock(connection, owner_id)",
        "own = await quotas.get(connection, owner_id)",
        "test_of_many_at_once_exactly_as_many_are_created_as_a_user_may_have",
    ),
    _http(
        "the previous secret never expires",
        COMMANDS,
        "return SealedSecret(sealing.seal(sealing.open(secret.sealed)), expires_at)",
        "return SealedSecret(sealing.seal(sealing.open(secret.sealed)))",
        "test_of_three_secrets_the_oldest_no_longer_signs",
    ),
    _http(
        "what is pending is replayed",
        COMMANDS,
        "    if delivery.status is DeliveryStatus.PENDING:\n        raise DeliveryPending\n",
        "",
        "test_what_is_pending_is_not_replayed",
    ),
    _http(
        "what was replayed is replayed again",
        COMMANDS,
        "        AND NOT EXISTS (SELECT FROM deliveries replay WHERE replay.replay_of = d.id)\n",
        "",
        "test_what_failed_is_replayed_in_its_order_and_once",
    ),
    _http(
        "each test is a new delivery",
        COMMANDS,
        "    if pending is not None:\n        return pending\n",
        "",
        "test_a_test_that_nothing_delivers_is_pending_and_a_second_one_is_the_same",
    ),
    _http(
        "the audit log has the new target",
        SERVICE,
        '{"changed": sorted(given)}',
        '{"changed": [str(after.target)]}',
        "test_changes_are_recorded_without_urls_and_secrets",
    ),
    _page(
        "an address is asked without end",
        COMMANDS,
        "    if noted is None:\n        raise TooManyConfirmations(limit=MAX_CONFIRMATIONS)\n",
        "",
        "test_an_address_is_asked_three_times_a_day_whoever_asks",
    ),
    _page(
        "a new address is not confirmed",
        COMMANDS,
        "    if needs_confirmation and fingerprint(after.target)"
        " != fingerprint(before.subscription.target):\n"
        "        changed = await _with_new_target(connection, changed, before.now)\n",
        "",
        "test_a_new_address_is_confirmed_anew_and_gets_nothing_that_was_waiting",
    ),
    _page(
        "a new address gets what waited for the old one",
        COMMANDS,
        "    await _DROP_PENDING.execute(connection, subscription_id=changed.id)\n",
        "",
        "test_a_new_address_is_confirmed_anew_and_gets_nothing_that_was_waiting",
    ),
    _page(
        "another user's confirmation counts",
        COMMANDS,
        "    WHERE owner_id = :owner_id AND channel = :channel\n",
        "    WHERE :owner_id::uuid IS NOT NULL AND channel = :channel\n",
        "test_a_confirmed_address_is_not_asked_again_by_its_owner",
    ),
    _page(
        "the owner enables what the recipient does not want",
        COMMANDS,
        "        if needs_confirmation and changed.confirmed_at is None:\n"
        "            raise AddressNotConfirmed\n",
        "",
        "test_a_mail_program_unsubscribes_with_one_post",
    ),
    _link(
        "a link is good for any target",
        'head + fingerprint(target), "sha256"',
        'head, "sha256"',
        "test_a_link_is_good_for_its_purpose_and_target_only",
    ),
    _link(
        "a link is good for any purpose",
        'sealing.signing_keys(f"links to {purpose}")',
        'sealing.signing_keys("links")',
        "test_a_link_is_good_for_its_purpose_and_target_only",
    ),
    _link(
        "a link never expires",
        "        if token.expires_at is not None and token.expires_at <= now:\n            return False\n",
        "",
        "test_a_link_to_confirm_is_good_for_48_hours",
    ),
    Mutant(
        "subscriptions: a key that creates jobs has events sent",
        PERMISSIONS,
        "Scope.JOBS_WRITE: frozenset({Permission.ACCOUNT_READ, Permission.JOBS_WRITE}),",
        "Scope.JOBS_WRITE: frozenset(\n"
        "        {Permission.ACCOUNT_READ, Permission.JOBS_WRITE, Permission.NOTIFICATIONS_WRITE}\n"
        "    ),",
        ("tests/contracts/test_permissions.py::test_only_one_scope_has_events_sent_out",),
    ),
    Mutant(
        "subscriptions: webhooks may be allowed to reach link-local addresses",
        CONFIG,
        "            if _overlaps(network, _NEVER_REACHED):\n",
        "            if False:\n",
        ("tests/core/test_config.py::test_webhooks_never_reach_link_local_addresses",),
    ),
)
