"""Tampering with the audit log shows, and where."""

import hashlib
import json

import pytest

from app.audit import commands, verification
from app.audit.actions import Action, ObjectType
from app.audit.chain import timestamp
from app.audit.values import Actor, Entry, Link
from app.audit.verification import Verification, verify
from app.core.database import Database
from tests.audit.tampering import Tampering, entries

ENTRIES = 9


@pytest.fixture
async def log(database: Database) -> Database:
    """A database with a sealed log."""
    for number in range(ENTRIES):
        async with database.transaction() as connection:
            entry = Entry(Action.ROLE_CHANGED, ObjectType.USER, str(number), details={"to": "admin"})
            await commands.record(connection, Actor(network="192.0.2.1"), entry)
        await commands.seal_all(database)
    return database


def broken(found: Verification) -> tuple[int | None, str | None]:
    return found.broken_seq, found.reason


async def test_an_empty_log_is_intact(database: Database) -> None:
    found = await verify(database)

    assert (found.is_intact, found.entries, found.last.seq) == (True, 0, 0)


@pytest.mark.parametrize("at_once", [1, 4, 1000])
async def test_a_log_is_intact_in_any_number_of_batches(log: Database, at_once: int) -> None:
    found = await verify(log, at_once=at_once)

    assert (found.is_intact, found.entries, found.last.seq) == (True, ENTRIES, ENTRIES)


@pytest.mark.parametrize(
    "change",
    [
        "actor_name = 'mallory'",
        "actor_id = gen_random_uuid()",
        "session_id = gen_random_uuid()",
        "key_id = gen_random_uuid()",
        "network = NULL",
        "request_id = 'other'",
        "at = at + interval '1 microsecond'",
        "action = 'user.created'",
        "object_type = 'job'",
        "object_id = '99'",
        "outcome = 'failed'",
        'details = \'{"to": "user"}\'',
    ],
)
async def test_a_changed_entry_is_named(log: Database, tampering: Tampering, change: str) -> None:
    await tampering.run(f"UPDATE audit_log SET {change} WHERE seq = 4")

    found = await verify(log, at_once=3)

    assert broken(found) == (4, verification.CHANGED)
    assert found.last.seq == 3


@pytest.mark.parametrize("seq", [1, 5, ENTRIES])
async def test_a_removed_entry_is_named(log: Database, tampering: Tampering, seq: int) -> None:
    await tampering.run("DELETE FROM audit_log WHERE seq = $1", seq)

    assert broken(await verify(log, at_once=3)) == (seq, verification.MISSING)


async def test_a_removed_entry_is_named_though_the_rest_moves_up(log: Database, tampering: Tampering) -> None:
    await tampering.run("DELETE FROM audit_log WHERE seq = 5")
    for seq in range(6, ENTRIES + 1):
        await tampering.run("UPDATE audit_log SET seq = seq - 1 WHERE seq = $1", seq)

    assert broken(await verify(log)) == (5, verification.UNLINKED)


async def test_an_inserted_entry_is_named(log: Database, tampering: Tampering) -> None:
    for seq in range(ENTRIES, 4, -1):
        await tampering.run("UPDATE audit_log SET seq = seq + 1 WHERE seq = $1", seq)
    await tampering.run(
        """INSERT INTO audit_log (seq, prev_hash, hash, action, outcome)
        SELECT 5, hash, sha256('made up'), 'user.created', 'succeeded' FROM audit_log WHERE seq = 4"""
    )

    assert broken(await verify(log)) == (5, verification.CHANGED)


@pytest.mark.parametrize("seq", [-3, 0, ENTRIES + 1])
async def test_an_entry_outside_the_chain_is_named(log: Database, tampering: Tampering, seq: int) -> None:
    await tampering.run(
        """INSERT INTO audit_log (seq, prev_hash, hash, action, outcome)
        SELECT $1, last_hash, sha256('made up'), 'user.created', 'succeeded' FROM audit_chain""",
        seq,
    )

    assert broken(await verify(log)) == (seq, verification.OUTSIDE)


async def test_a_log_without_its_ends_is_not_intact(log: Database, tampering: Tampering) -> None:
    await tampering.run("DELETE FROM audit_chain")

    assert broken(await verify(log)) == (1, verification.OUTSIDE)


async def test_two_entries_that_change_places_are_named(log: Database, tampering: Tampering) -> None:
    await tampering.run("UPDATE audit_log SET seq = 5 - seq + 99 WHERE seq IN (2, 3)")
    await tampering.run("UPDATE audit_log SET seq = seq - 99 WHERE seq > 99")

    assert broken(await verify(log)) == (2, verification.UNLINKED)


async def forge(log: Database, tampering: Tampering) -> None:
    """Change an entry, and compute the chain again from there on, as docs/security.md describes it."""
    await tampering.run("UPDATE audit_log SET actor_name = 'mallory' WHERE seq = 4")
    prev_hash = b""
    for row in await entries(log):
        if row["seq"] < 4:
            prev_hash = row["hash"]
            continue
        fields = [row["seq"], timestamp(row["at"]), *(row[name] for name in NAMES), row["details"]]
        text = json.dumps(fields, separators=(",", ":"), sort_keys=True)
        forged = hashlib.sha256(prev_hash + text.encode()).digest()
        await tampering.run(
            "UPDATE audit_log SET prev_hash = $2, hash = $3 WHERE seq = $1", row["seq"], prev_hash, forged
        )
        prev_hash = forged
    await tampering.run("UPDATE audit_chain SET last_hash = $1", prev_hash)


NAMES = (
    *("actor_id", "actor_name", "session_id", "key_id", "network", "request_id"),
    *("action", "object_type", "object_id", "outcome"),
)


async def test_a_chain_that_is_computed_again_does_not_have_a_hash_that_was_kept(
    log: Database, tampering: Tampering
) -> None:
    before = await verify(log)
    await forge(log, tampering)

    assert (await verify(log)).is_intact
    assert broken(await verify(log, before.last)) == (ENTRIES, verification.OTHER)


async def test_a_chain_that_is_cut_does_not_reach_an_entry_that_was_kept(
    log: Database, tampering: Tampering
) -> None:
    before = await verify(log)
    await tampering.run("DELETE FROM audit_log WHERE seq > 6")
    await tampering.run(
        "UPDATE audit_chain SET last_seq = 6, last_hash = (SELECT hash FROM audit_log WHERE seq = 6)"
    )

    assert (await verify(log)).is_intact
    assert broken(await verify(log, before.last)) == (ENTRIES, verification.CUT)


async def test_a_chain_that_ends_with_another_hash_is_not_intact(log: Database, tampering: Tampering) -> None:
    await tampering.run("UPDATE audit_chain SET last_hash = sha256('made up')")

    assert broken(await verify(log)) == (ENTRIES, verification.ANOTHER_END)


async def test_an_entry_that_was_kept_and_is_pruned_cannot_be_compared(
    log: Database, tampering: Tampering
) -> None:
    first, *_ = await entries(log)
    await tampering.run("DELETE FROM audit_log WHERE seq <= 2")
    await tampering.run(
        "UPDATE audit_chain SET pruned_seq = 2, pruned_hash = (SELECT prev_hash FROM audit_log WHERE seq = 3)"
    )

    assert (await verify(log)).is_intact
    assert broken(await verify(log, Link(1, first["hash"]))) == (1, verification.PRUNED)
    assert broken(await verify(log, Link(2, bytes(32)))) == (2, verification.OTHER)
