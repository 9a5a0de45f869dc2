"""The guards of the audit log."""

from typing import Final

from tests.mutants.mutant import Mutant

COMMANDS: Final = "app/audit/commands.py"
REFUSALS: Final = "app/audit/refusals.py"
VERIFICATION: Final = "app/audit/verification.py"
MIGRATION: Final = "alembic/versions/0018_audit_log.py"


def _commands(test: str) -> str:
    return f"tests/audit/test_commands.py::{test}"


def _verification(test: str) -> str:
    return f"tests/audit/test_verification.py::{test}"


def _refusals(test: str) -> str:
    return f"tests/audit/test_refusals.py::{test}"


def _http(test: str) -> str:
    return f"tests/audit/test_http.py::{test}"


_UNCHANGED: Final = _commands("test_not_even_the_owner_of_the_tables_changes_an_entry")
_ONE_ENTRY: Final = _http("test_an_action_leaves_one_entry_without_secrets")

AUDIT_GUARDS: Final = (
    Mutant(
        "audit: two processes seal at once",
        COMMANDS,
        '"SELECT * FROM audit_chain FOR UPDATE"',
        '"SELECT * FROM audit_chain"',
        (_commands("test_writers_and_sealers_at_once_make_one_chain"),),
    ),
    Mutant(
        "audit: the username of an unknown account is stored",
        COMMANDS,
        "CASE WHEN u.id IS NULL THEN '{}' ELSE jsonb_build_object('username', u.username) END",
        "jsonb_build_object('username', coalesce(u.username, :username_key))",
        (_http("test_the_name_of_an_unknown_user_is_not_stored_that_of_a_known_one_is"), _ONE_ENTRY),
    ),
    Mutant(
        "audit: the triggers let an entry change while it is sealed",
        MIGRATION,
        "        IF sealed IS NOT DISTINCT FROM NEW THEN",
        "        IF true THEN",
        (_commands("test_sealing_changes_nothing_but_the_place_in_the_chain"),),
    ),
    Mutant(
        "audit: the triggers let a sealed entry change",
        MIGRATION,
        "IF TG_OP = 'UPDATE' AND OLD.seq IS NULL AND NEW.seq IS NOT NULL THEN",
        "IF TG_OP = 'UPDATE' THEN RETURN NEW; END IF; IF TG_OP = 'UPDATE' THEN",
        (_UNCHANGED,),
    ),
    Mutant(
        "audit: the triggers let entries be deleted",
        MIGRATION,
        "    IF TG_OP = 'DELETE' AND OLD.seq <= (SELECT pruned_seq FROM audit_chain) THEN",
        "    IF TG_OP = 'DELETE' THEN",
        (_UNCHANGED,),
    ),
    Mutant(
        "audit: the log can be truncated",
        MIGRATION,
        '        "CREATE TRIGGER audit_log_guard_truncate BEFORE TRUNCATE ON audit_log"\n'
        '        " FOR EACH STATEMENT EXECUTE FUNCTION headrace_guard_audit_log()",\n',
        "",
        (_UNCHANGED,),
    ),
    Mutant(
        "audit: young entries are pruned",
        MIGRATION,
        "WHERE seq <= NEW.pruned_seq AND at > now() - interval '1 day'",
        "WHERE seq <= NEW.pruned_seq AND at > now() + interval '1 day'",
        (_commands("test_nothing_younger_than_a_day_is_pruned_whatever_the_retention"),),
    ),
    Mutant(
        "audit: a writer chooses the time of an entry",
        MIGRATION,
        "        NEW.at := now();\n",
        "",
        (_commands("test_an_entry_has_the_time_of_its_transaction_whatever_the_writer_says"),),
    ),
    Mutant(
        "audit: nothing is pruned",
        "app/maintenance/prune.py",
        "        await audit.prune(connection, audit_retention, limit=AUDIT_ENTRIES_AT_ONCE)\n",
        "",
        (_commands("test_maintenance_prunes_after_the_retention"),),
    ),
    Mutant(
        "audit: the hash covers not the hash before",
        "app/audit/chain.py",
        "hashlib.sha256(prev_hash + canonical(seq, recorded))",
        "hashlib.sha256(canonical(seq, recorded))",
        (_verification("test_a_chain_that_is_computed_again_does_not_have_a_hash_that_was_kept"),),
    ),
    Mutant(
        "audit: the hash covers not the details",
        "app/audit/chain.py",
        "        recorded.details,\n",
        "",
        (_verification("test_a_changed_entry_is_named"),),
    ),
    Mutant(
        "audit: a gap is not noticed",
        VERIFICATION,
        "        if entry.seq != seq:",
        "        if False:",
        (_verification("test_a_removed_entry_is_named"),),
    ),
    Mutant(
        "audit: a wrong link is not noticed",
        VERIFICATION,
        "        if entry.prev_hash != last.hash:",
        "        if False:",
        (_verification("test_a_removed_entry_is_named_though_the_rest_moves_up"),),
    ),
    Mutant(
        "audit: a changed entry is not noticed",
        VERIFICATION,
        "        if entry.hash != hash_of(seq, entry.recorded, last.hash):",
        "        if False:",
        (_verification("test_a_changed_entry_is_named"),),
    ),
    Mutant(
        "audit: a missing end is not noticed",
        VERIFICATION,
        "    if last.seq < chain.last.seq:",
        "    if False:",
        (_verification("test_a_removed_entry_is_named"),),
    ),
    Mutant(
        "audit: entries beyond the end are not noticed",
        VERIFICATION,
        "        if seq > end:",
        "        if False:",
        (_verification("test_an_entry_outside_the_chain_is_named"),),
    ),
    Mutant(
        "audit: entries before the beginning are not noticed",
        VERIFICATION,
        "    if lowest is not None and lowest <= last.seq:",
        "    if False:",
        (_verification("test_an_entry_outside_the_chain_is_named"),),
    ),
    Mutant(
        "audit: a hash that was kept is not compared",
        VERIFICATION,
        "        if known is not None and known.seq == seq and known.hash != entry.hash:",
        "        if False:",
        (_verification("test_a_chain_that_is_computed_again_does_not_have_a_hash_that_was_kept"),),
    ),
    Mutant(
        "audit: every refusal leaves an entry",
        REFUSALS,
        "        if count is not None and now - count.since < self._period_seconds:",
        "        if False:",
        (_refusals("test_of_refusals_at_once_one_is_the_first"),),
    ),
    Mutant(
        "audit: every name leaves an entry",
        REFUSALS,
        "        if self._names[_of_network(subject)] >= self._max_names:",
        "        if False:",
        (_refusals("test_many_names_from_one_network_are_counted_together"),),
    ),
    Mutant(
        "audit: every network leaves an entry",
        REFUSALS,
        "        if subject not in self._counts and len(self._counts) >= self._max_counted:",
        "        if False:",
        (_refusals("test_many_networks_are_counted_together"),),
    ),
    Mutant(
        "audit: a throttled attempt asks a Postgres that is away each time",
        REFUSALS,
        "            if outcome is AuditOutcome.THROTTLED and isinstance(error, DatabaseUnavailable):",
        "            if False:",
        (_refusals("test_while_postgres_is_away_a_throttled_attempt_asks_it_once_a_period"),),
    ),
    Mutant(
        "audit: repetitions are forgotten while Postgres is away",
        REFUSALS,
        "            self._put_back(subject, repeats)\n",
        "",
        (_refusals("test_while_postgres_is_away_repetitions_are_kept"),),
    ),
    Mutant(
        "audit: repetitions of a refusal that cannot be recorded are forgotten",
        REFUSALS,
        "            self._put_back(subject, earlier + self._take(subject))",
        "            self._take(subject)",
        (_refusals("test_repetitions_of_a_refusal_that_cannot_be_recorded_are_kept"),),
    ),
    Mutant(
        "audit: a cancellation is committed without its entry",
        "app/jobs/service.py",
        "    if all(owner_id == by.user_id for owner_id in owners.values()):",
        "    if True:",
        (_ONE_ENTRY,),
    ),
    Mutant(
        "audit: everyone reads the log",
        "app/audit/routes.py",
        "from app.auth.deps import Administrator\n",
        "from app.auth.deps import AccountReader as Administrator\n",
        (_http("test_only_administrators_read_the_log"),),
    ),
    Mutant(
        "audit: a formula is exported",
        "app/audit/views.py",
        "[[csv_cells.cell(value) for value in entry(one).values()] for one in entries]",
        "[list(entry(one).values()) for one in entries]",
        (_http("test_an_export_has_every_entry_and_no_formula"),),
    ),
    Mutant(
        "audit: a refused sign-in leaves no entry",
        "app/auth/service.py",
        "            await self._refusals.record(\n",
        "            False and await self._refusals.record(\n",
        (_ONE_ENTRY,),
    ),
)
