"""The guards of notifications: who is told, in which order, how often, and which addresses are reached."""

from typing import Final

from tests.mutants.mutant import Mutant

OUTBOX: Final = "app/jobs/outbox.py"
TAKING: Final = "app/notifications/taking.py"
RECORDING: Final = "app/notifications/recording.py"
DELIVERER: Final = "app/notifications/deliverer.py"
ADDRESSES: Final = "app/notifications/addresses.py"
SENDER: Final = "app/notifications/channels/sender.py"
SIGNATURES: Final = "app/notifications/signatures.py"

_FILTERS: Final = (
    ("kind", "        AND (s.kind IS NULL OR s.kind = j.kind)\n"),
    ("queue", "        AND (s.queue IS NULL OR s.queue = j.queue)\n"),
    ("job", "        AND (s.job_id IS NULL OR s.job_id = j.id)\n"),
    ("group", "        AND (s.group_id IS NULL OR s.group_id = j.group_id)\n"),
    ("schedule", "        AND (s.schedule_id IS NULL OR s.schedule_id = j.schedule_id)\n"),
    ("metadata", "        AND (s.metadata IS NULL OR j.metadata @> s.metadata)\n"),
    ("model", "        AND (s.model IS NULL OR s.model = {MODEL_NAME})\n"),
)


def _outbox(name: str, text: str, replacement: str, test: str) -> Mutant:
    return Mutant(
        f"notifications: {name}", OUTBOX, text, replacement, (f"tests/notifications/test_outbox.py::{test}",)
    )


def _deliverer(name: str, path: str, text: str, replacement: str, test: str) -> Mutant:
    return Mutant(
        f"notifications: {name}",
        path,
        text,
        replacement,
        (f"tests/notifications/test_deliverer.py::{test}",),
    )


def _address(name: str, path: str, text: str, replacement: str, test: str) -> Mutant:
    return Mutant(
        f"notifications: {name}", path, text, replacement, (f"tests/notifications/test_addresses.py::{test}",)
    )


def _webhook(name: str, path: str, text: str, replacement: str, test: str) -> Mutant:
    return Mutant(
        f"notifications: {name}",
        path,
        text,
        replacement,
        (f"tests/notifications/channels/test_webhook.py::{test}",),
    )


_MATCHES: Final = "test_each_filter_lets_through_what_matches_and_nothing_else"
_OWN: Final = "test_only_active_subscriptions_of_the_owner_get_anything"
_BAD_ADDRESS: Final = "test_a_name_with_an_address_that_is_not_public_is_never_connected_to"

NOTIFICATION_GUARDS: Final = (
    *(_outbox(f"the filter by {name} is ignored", line, "", _MATCHES) for name, line in _FILTERS),
    _outbox(
        "users are told of the jobs of others",
        "s.owner_id = j.owner_id AND s.status = 'active'",
        "s.status = 'active'",
        _OWN,
    ),
    _outbox("disabled subscriptions are told", " AND s.status = 'active'", "", _OWN),
    _outbox(
        "every type is told",
        "        AND 'job.' || e.type = ANY (s.events)\n",
        "",
        "test_a_subscription_gets_the_types_that_it_names",
    ),
    _outbox(
        "progress is told",
        "    WHERE e.type <> 'progress'  -- no subscription may name it\n",
        "",
        "test_progress_and_creation_are_not_told",
    ),
    _deliverer(
        "the events of a job overtake each other",
        TAKING,
        "AND earlier.seq < d.seq AND",
        "AND false AND",
        "test_the_events_of_a_job_are_delivered_in_order",
    ),
    _deliverer(
        "a replay waits for its job",
        TAKING,
        "d.replay_of IS NOT NULL OR ",
        "",
        "test_a_replay_does_not_wait_for_its_job",
    ),
    _deliverer(
        "no subscription is held",
        TAKING,
        "CASE WHEN s.held_until > c.at THEN 'epoch' ELSE c.at END",
        "c.at",
        "test_a_subscription_that_keeps_failing_is_held_and_probed_with_one_delivery_at_a_time",
    ),
    _deliverer(
        "an address that is not confirmed gets events",
        TAKING,
        "            AND (NOT s.is_unconfirmed OR d.type = '{NotificationType.SUBSCRIPTION_CONFIRM}')\n",
        "",
        "test_a_subscription_that_is_not_confirmed_gets_nothing_but_the_request_for_it",
    ),
    _deliverer(
        "accounts that are not active are served",
        TAKING,
        " AND u.is_active AND u.deleted_at IS NULL",
        "",
        "test_nothing_is_delivered_for_an_account_that_is_not_active",
    ),
    _deliverer(
        "the first subscription always comes first",
        TAKING,
        "ORDER BY s.id <= :after::uuid, s.id",
        "ORDER BY :after::uuid, s.id",
        "test_when_all_places_are_taken_subscriptions_take_turns",
    ),
    _deliverer(
        "a result is recorded after its lease",
        RECORDING,
        " AND d.tries = r.tries",
        "",
        "test_a_result_of_a_try_whose_lease_is_over_changes_nothing",
    ),
    _deliverer(
        "a try that was not made counts",
        RECORDING,
        "tries = d.tries - (r.verdict = 'put_back')::int",
        "tries = d.tries",
        "test_what_is_in_flight_when_the_process_stops_is_put_back",
    ),
    _deliverer(
        "a test counts as a failure",
        RECORDING,
        " AND c.type <> 'ping'",
        "",
        "test_a_test_reaches_a_subscription_that_is_held_is_tried_once_and_counts_no_failure",
    ),
    _deliverer(
        "a gathered message counts many times",
        RECORDING,
        "count(DISTINCT c.position)",
        "count(c.position)",
        "test_a_gathered_message_that_fails_counts_as_one_failure",
    ),
    _deliverer(
        "a success does not end a row of failures",
        RECORDING,
        "(CASE WHEN p.has_success THEN 0 ELSE s.failures END + p.failures)",
        "(s.failures + p.failures)",
        "test_the_tenth_try_may_still_succeed",
    ),
    _deliverer(
        "a receiver that does not answer gets all places",
        DELIVERER,
        "return self._sizes.get(subscription_id, 1) - self.in_flight[subscription_id]",
        "return self._most - self.in_flight[subscription_id]",
        "test_receivers_that_never_answer_delay_no_other",
    ),
    _deliverer(
        "a channel that is away is tried again at once",
        DELIVERER,
        "if not limit or monotonic() < self._away_until[name]:",
        "if not limit:",
        "test_a_channel_that_is_away_costs_no_try_and_is_left_alone",
    ),
    _webhook(
        "a replaced secret signs for ever",
        DELIVERER,
        "                if secret.is_live(first.taken_at)\n",
        "",
        "test_while_a_rotation_overlaps_both_secrets_verify_and_then_only_the_new_one",
    ),
    _webhook(
        "a process takes what it cannot open",
        TAKING,
        "        AND (s.sealed_with IS NULL OR s.sealed_with = ANY (:key_names::text[]))\n",
        "",
        "test_a_process_without_the_key_leaves_the_delivery_to_another",
    ),
    _webhook(
        "the time is not signed",
        SIGNATURES,
        'content = f"{message_id}.{timestamp}.".encode() + body',
        'content = f"{message_id}.".encode() + body',
        "test_a_job_that_ends_is_posted_signed_and_described",
    ),
    _webhook(
        "answers are read to their end",
        SENDER,
        "        if len(body) == MAX_RESPONSE_BYTES:\n            break\n",
        "",
        "test_an_answer_is_read_to_a_limit_and_not_decoded",
    ),
    _address(
        "one good address is enough",
        ADDRESSES,
        "if not all(map(accepts, found)):",
        "if not any(map(accepts, found)):",
        _BAD_ADDRESS,
    ),
    _address(
        "the name is connected to, not the checked address",
        SENDER,
        "tried = found[:ADDRESSES_TRIED]",
        "tried = [host]",
        "test_a_public_address_is_connected_to_as_it_was_checked",
    ),
    _address(
        "only what Python calls global is refused",
        ADDRESSES,
        "        and not _in(address, _NEVER_PUBLIC)\n",
        "",
        _BAD_ADDRESS,
    ),
    _address(
        "an allowed network may be link-local",
        ADDRESSES,
        " and not _in(address, _LINK_LOCAL) and _in(address, self._networks)",
        " and _in(address, self._networks)",
        "test_link_local_is_never_reached_even_where_a_network_would_allow_it",
    ),
    _address(
        "plain HTTP reaches public addresses",
        SENDER,
        "pool = self._public if url.fault is None else self._internal",
        "pool = self._public",
        "test_a_form_for_allowed_networks_leads_to_nothing_else",
    ),
    Mutant(
        "notifications: a job does not name its schedule",
        "app/notifications/bodies.py",
        '"schedule_id": row["schedule_id"],',
        '"schedule_id": None,',
        (
            "tests/notifications/test_bodies.py"
            "::test_a_job_of_a_schedule_names_the_schedule_and_has_the_members_of_the_example",
        ),
    ),
    Mutant(
        "notifications: a user is removed before jobs stop writing deliveries",
        "app/maintenance/user_removal.py",
        "        if await queries.has_unfinished_jobs(connection, user_id):\n            return\n"
        "        await notifications.delete_of_owner",
        "        await notifications.delete_of_owner",
        ("tests/notifications/test_pruning.py::test_a_deleted_user_keeps_subscriptions_until_no_job_runs",),
    ),
)
