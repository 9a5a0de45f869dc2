"""Seals the secrets of subscriptions anew after a change of SECRET_KEY, and gives up those that are lost.

The deliverer does it and not the maintenance loops, because workers have no SECRET_KEY.
"""

from datetime import timedelta
from typing import Final

import asyncpg

from app.core.sql import Statement
from app.notifications.sealing import Sealing, SecretLost
from app.notifications.states import DisabledReason
from app.notifications.values import SealedSecret

AT_ONCE: Final = 100
LOST_AFTER: Final = timedelta(hours=1)
"""Longer than any rollout: meanwhile another process may have the key."""

# Which secrets did the previous key seal?
_SEALED_BEFORE: Final = Statement("""
SELECT id, secrets FROM subscriptions WHERE sealed_with = ANY (:key_names::text[])
ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED""")

# Replace the secrets of a subscription by the same ones under another key.
_REPLACE: Final = Statement("""
UPDATE subscriptions SET secrets = :secrets::jsonb, sealed_with = :key_name WHERE id = :id""")

# Disable subscriptions whose secrets were sealed with a key that this process does not have, if something has
# been due for so long that no process seems to have it.
_DISABLE_LOST: Final = Statement("""
UPDATE subscriptions s SET status = 'disabled', reason = jsonb_build_object('code', :code::text)
WHERE s.status = 'active' AND s.sealed_with IS NOT NULL AND s.sealed_with <> ALL (:key_names::text[])
    AND EXISTS (SELECT FROM deliveries d
        WHERE d.subscription_id = s.id AND d.status = 'pending'
            AND greatest(d.next_try_at, s.held_until, d.created_at) < now() - :after::interval)
RETURNING s.id""")


async def reseal(connection: asyncpg.Connection, sealing: Sealing) -> int:
    """Seal secrets with the current key that are under the previous one. Return of how many subscriptions.

    Runs in the caller's transaction.
    """
    before = list(sealing.key_names[1:])
    rows = await _SEALED_BEFORE.fetch(connection, key_names=before, limit=AT_ONCE) if before else []
    for row in rows:
        try:
            secrets = [_resealed(SealedSecret.from_json(secret), sealing) for secret in row["secrets"]]
        except SecretLost:
            continue  # the next try of a delivery disables the subscription
        await _REPLACE.execute(
            connection,
            id=row["id"],
            secrets=[secret.to_json() for secret in secrets],
            key_name=sealing.key_name,
        )
    return len(rows)


async def disable_lost(
    connection: asyncpg.Connection, sealing: Sealing, *, after: timedelta = LOST_AFTER
) -> int:
    """Disable subscriptions whose secrets no process has opened for so long. Return how many."""
    rows = await _DISABLE_LOST.fetch(
        connection, key_names=list(sealing.key_names), code=DisabledReason.SECRET_LOST, after=after
    )
    return len(rows)


def _resealed(secret: SealedSecret, sealing: Sealing) -> SealedSecret:
    return SealedSecret(sealing.seal(sealing.open(secret.sealed)), secret.expires_at)
